"""The recorder's own memory: how far each sink is, and which batch is under way.

A batch's span is stored here before anything of it is written, and the cursor moves in
the same transaction that forgets the batch. So after a crash the recorder knows which span
may be half written, and writes exactly that one again.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from runtime.record.follow import Span

_DDL: Final = """
create table if not exists cursor (
  sink text not null, writer integer not null, pos integer not null, primary key (sink, writer)
) without rowid;
create table if not exists batch (
  sink text not null, writer integer not null, first integer not null, last integer not null,
  primary key (sink, writer)
) without rowid;
"""


class Ledger:
    """Cursor and open batch of one sink. One connection, for one thread."""

    def __init__(self, path: Path, sink: str) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = full")
        self._db.execute("pragma busy_timeout = 5000")
        self._db.executescript(_DDL)
        self._sink = sink

    def cursor(self) -> dict[int, int]:
        """Return up to where everything is written."""
        rows = self._db.execute("select writer, pos from cursor where sink = ?", (self._sink,))
        return dict(rows.fetchall())

    def open_batch(self) -> Span | None:
        """Return the span that was begun and not settled, or None."""
        sql = "select writer, first, last from batch where sink = ?"
        row = self._db.execute(sql, (self._sink,)).fetchone()
        return None if row is None else Span(*row)

    def begin(self, span: Span) -> None:
        """Store the span durably, before the first row of it is written."""
        self._db.execute(
            "insert or replace into batch values (?,?,?,?)",
            (self._sink, span.writer, span.first, span.last),
        )

    def settle(self, cursor: dict[int, int]) -> None:
        """Move the cursor and forget the open batch, in one transaction."""
        self._db.execute("begin immediate")
        self._db.executemany(
            "insert or replace into cursor values (?,?,?)",
            [(self._sink, writer, pos) for writer, pos in cursor.items()],
        )
        self._db.execute("delete from batch where sink = ?", (self._sink,))
        self._db.execute("commit")

    def reset(self) -> None:
        """Start from nothing: the sink is empty."""
        self._db.execute("begin immediate")
        self._db.execute("delete from cursor where sink = ?", (self._sink,))
        self._db.execute("delete from batch where sink = ?", (self._sink,))
        self._db.execute("commit")

    def close(self) -> None:
        """Close the file."""
        self._db.close()
