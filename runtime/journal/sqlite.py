"""The journal on SQLite: WAL, synchronous FULL, one writer, many readers.

One transaction an `append`, so one fdatasync however many events it carries. The writer
takes a fresh epoch in table ``writer`` when it opens; the data folder's lock keeps a
second one out. Readers open the same file read-only from any process.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import Any, Final

from runtime.journal.index import ENDED, INDEXED, moved, updated
from runtime.journal.port import Append, JournalUnreadable, RunRow, StreamMoved
from runtime.journal.wire import decode, encode
from runtime.run.events import Event, Recorded, RunSubmitted

_EVENT: Final = "writer, pos, stream, stream_seq, type, version, at, body"
_INSERT: Final = f"insert into event ({_EVENT}) values (?,?,?,?,?,?,?,?)"  # noqa: S608
_ROWS: Final = 64
_INSERT_ROWS: Final = _INSERT + ",(?,?,?,?,?,?,?,?)" * (_ROWS - 1)
"""Many rows in one statement: while it is at work the loop has the interpreter to itself."""
_RUN: Final = (
    "run, playbook, version, number, state, submitted_at, started_at, ended_at, actor, key,"
    " system, length"
)
_LENGTH: Final = "(select max(stream_seq) from event where stream = 'run/' || run)"
_RUN_READ: Final = _RUN.replace("length", _LENGTH)
"""A run's line is written when its state changes, so its length is asked of its events."""
_UPSERT: Final = (
    f"insert into run ({_RUN}) values (?,?,?,?,?,?,?,?,?,?,?,?)"  # noqa: S608
    " on conflict (run) do update set state = excluded.state,"
    " started_at = excluded.started_at, ended_at = excluded.ended_at, length = excluded.length"
)
_MOVE: Final = (
    "update run set state = ?, started_at = coalesce(?, started_at), ended_at = ?, length = ?"
    " where run = ?"
)
_HEADS_KEPT: Final = 100_000
_PAGE: Final = 10_000


def schema() -> str:
    """Return the journal's DDL."""
    return files("runtime.journal").joinpath("schema.sql").read_text(encoding="utf-8")


class SqliteReader:
    """Reading, over one connection. Not for use by two threads at once."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    @classmethod
    def open(cls, path: Path) -> SqliteReader:
        """Open an existing journal for reading, from any process."""
        db = sqlite3.connect(
            f"file:{path}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
        )
        db.execute("pragma busy_timeout = 5000")
        return cls(db)

    def read(self, stream: str, after: int = 0) -> Iterator[Recorded]:
        return self._pages(stream, after, self.length(stream))

    def _pages(self, stream: str, after: int, until: int) -> Iterator[Recorded]:
        """Yield a stream as it was, a page at a time: a run of a million batches is large."""
        sql = f"select {_EVENT} from event where stream = ? and stream_seq between ? and ? order by stream_seq"  # noqa: E501, S608
        while after < until:
            page = min(after + _PAGE, until)
            yield from map(_recorded, self._db.execute(sql, (stream, after + 1, page)).fetchall())
            after = page

    def story(self, stream: str) -> Iterator[tuple[Event, float]]:
        """Yield each event of a stream with its time: what a fold needs, and nothing else."""
        sql = "select type, version, body, at from event where stream = ? and stream_seq between ? and ? order by stream_seq"  # noqa: E501
        until = self.length(stream)
        for after in range(0, until, _PAGE):
            page = (stream, after + 1, min(after + _PAGE, until))
            for type_, version, body, at in self._db.execute(sql, page).fetchall():
                yield decode(type_, version, body), at

    def follow(self, cursor: dict[int, int], limit: int = 1000) -> list[Recorded]:
        return [_recorded(row) for row in self.follow_rows(cursor, limit)]

    def follow_rows(self, cursor: dict[int, int], limit: int = 1000) -> list[tuple[Any, ...]]:
        """Like `follow`, with rows as they stand, in the order of the table's columns."""
        sql = f"select {_EVENT} from event where writer = ? and pos > ? order by pos limit ?"  # noqa: S608
        rows: list[tuple[Any, ...]] = []
        for (writer,) in self._db.execute("select writer from writer order by writer").fetchall():
            rows += self._db.execute(sql, (writer, cursor.get(writer, 0), limit - len(rows)))
            if len(rows) >= limit:
                break
        return rows

    def event(self, stream: str, seq: int) -> Recorded | None:
        sql = f"select {_EVENT} from event where stream = ? and stream_seq = ?"  # noqa: S608
        row = self._db.execute(sql, (stream, seq)).fetchone()
        return None if row is None else _recorded(row)

    def of_type(self, type_: str) -> Iterator[Recorded]:
        """Yield every event of a type, oldest first. Quick for ``product.published`` alone."""
        sql = f"select {_EVENT} from event where type = ? order by writer, pos"  # noqa: S608
        return map(_recorded, self._db.execute(sql, (type_,)))

    def length(self, stream: str) -> int:
        row = self._db.execute(
            "select max(stream_seq) from event where stream = ?", (stream,)
        ).fetchone()
        return int(row[0] or 0)

    def streams(self, prefix: str) -> list[str]:
        sql = "select distinct stream from event where stream >= ? and stream < ? order by stream"
        return [s for (s,) in self._db.execute(sql, (prefix, prefix + "\U0010ffff"))]

    def heads(self) -> dict[int, int]:
        sql = (
            "select w.writer, (select max(pos) from event e where e.writer = w.writer)"
            " from writer w"
        )
        return {writer: pos for writer, pos in self._db.execute(sql) if pos is not None}

    def runs(
        self, *, state: str | None = None, playbook: str | None = None,
        system: bool | None = False, limit: int = 100, before: str | None = None,
    ) -> list[RunRow]:  # fmt: skip
        where: list[tuple[str, Any]] = []
        if state == "live":
            where.append(("ended_at is null and ?", 1))
        elif state is not None:
            where.append(("state = ?", state))
        if playbook is not None:
            where.append(("playbook = ?", playbook))
        if system is not None:
            where.append(("system = ?", int(system)))
        if before is not None:
            where.append(("run < ?", before))
        clause = " and ".join(text for text, _ in where) or "1"
        sql = f"select {_RUN_READ} from run where {clause} order by run desc limit ?"  # noqa: S608
        return [_row(r) for r in self._db.execute(sql, [*(v for _, v in where), limit])]

    def run(self, run: str) -> RunRow | None:
        row = self._db.execute(f"select {_RUN_READ} from run where run = ?", (run,)).fetchone()  # noqa: S608
        return None if row is None else _row(row)

    def run_by_key(self, key: str) -> RunRow | None:
        row = self._db.execute(f"select {_RUN_READ} from run where key = ?", (key,)).fetchone()  # noqa: S608
        return None if row is None else _row(row)

    def ended_since(self, at: float, limit: int) -> list[tuple[str, str, float]]:
        """Return run, state and end of the last ``limit`` runs that ended at ``at`` or later.

        The first to end comes first. It looks at every run.
        """
        sql = (
            "select run, state, ended_at from run where ended_at >= ?"
            " order by ended_at desc limit ?"
        )
        return self._db.execute(sql, (at, limit)).fetchall()[::-1]

    def was_held(self, run: str) -> bool:
        sql = "select 1 from event where stream = ? and type = 'step.held'"
        return self._db.execute(sql, (f"run/{run}",)).fetchone() is not None

    def forks(self, run: str) -> list[str]:
        sql = (
            "select stream from event where type = 'run.submitted'"
            " and json_extract(body, '$.forked.run') = ? order by stream"
        )
        return [stream.removeprefix("run/") for (stream,) in self._db.execute(sql, (run,))]

    def close(self) -> None:
        """Close the connection."""
        self._db.close()


class SqliteJournal(SqliteReader):
    """The one writer. `append` is called by one thread; reading goes through `reader`."""

    def __init__(self, path: Path, at: float) -> None:
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        super().__init__(db)
        try:
            for pragma in ("journal_mode = wal", "synchronous = full", "temp_store = memory"):
                db.execute(f"pragma {pragma}")
            db.executescript(schema())
        except sqlite3.DatabaseError as error:
            db.close()
            raise JournalUnreadable(f"{path} cannot be opened: {error}") from error
        self.path = path
        self.writer = int(
            db.execute("insert into writer (started_at) values (?)", (at,)).lastrowid or 0
        )
        self._pos = 0
        self._heads: dict[str, int] = {}
        self.commits = 0

    def reader(self) -> SqliteReader:
        """Open a connection for reading beside the writer's."""
        return SqliteReader.open(self.path)

    def append(self, appends: Sequence[Append]) -> list[Recorded]:
        recorded = list(self._place(appends))
        self._db.execute("begin immediate")
        try:
            self._insert(recorded)
            self._index(recorded)
            self._db.execute("commit")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("rollback")
            raise
        self.commits += 1
        self._pos += len(recorded)
        self._remember(appends)
        return recorded

    def head(self, stream: str) -> int:
        """Return the stream's length, from memory where it is known."""
        head = self._heads.get(stream)
        if head is None:
            head = self._heads[stream] = self.length(stream)
        return head

    def _place(self, appends: Sequence[Append]) -> Iterator[Recorded]:
        pos, heads = self._pos, dict[str, int]()
        for append in appends:
            head = heads.get(append.stream)
            if head is None:
                head = self.head(append.stream)
            if head != append.expected:
                raise StreamMoved(append.stream, append.expected, head)
            for event in append.events:
                pos, head = pos + 1, head + 1
                yield Recorded(self.writer, pos, append.stream, head, append.at, event)
            heads[append.stream] = head

    def _insert(self, recorded: list[Recorded]) -> None:
        whole = len(recorded) - len(recorded) % _ROWS
        for at in range(0, whole, _ROWS):
            rows = map(_values, recorded[at : at + _ROWS])
            self._db.execute(_INSERT_ROWS, list(chain.from_iterable(rows)))
        self._db.executemany(_INSERT, map(_values, recorded[whole:]))

    def _index(self, recorded: Iterable[Recorded]) -> None:
        """Write the lines of the runs whose state changed; none has to be read for it."""
        begun: dict[str, RunRow | None] = {}
        moves: list[tuple[Any, ...]] = []
        for r in recorded:
            if type(r.event) not in INDEXED:
                continue
            run = r.stream[4:]
            if run in begun or type(r.event) is RunSubmitted:
                begun[run] = updated(begun.get(run), r)
            else:
                moves.append((*moved(r), r.stream_seq, run))
        if begun:
            self._db.executemany(_UPSERT, [_run_values(row) for row in begun.values() if row])
        if moves:
            self._db.executemany(_MOVE, moves)

    def _remember(self, appends: Iterable[Append]) -> None:
        if len(self._heads) > _HEADS_KEPT:
            self._heads.clear()
        for append in appends:
            self._heads[append.stream] = append.expected + len(append.events)


def _values(r: Recorded) -> tuple[Any, ...]:
    e = r.event
    body = encode(e).decode()
    return (r.writer, r.pos, r.stream, r.stream_seq, e.TYPE, e.VERSION, r.at, body)


def _recorded(row: tuple[Any, ...]) -> Recorded:
    writer, pos, stream, seq, type_, version, at, body = row
    return Recorded(writer, pos, stream, seq, at, decode(type_, version, body))


def _run_values(row: RunRow) -> tuple[Any, ...]:
    return (
        row.run, row.playbook, row.version, row.number, row.state, row.submitted_at,
        row.started_at, row.ended_at, row.actor, row.key, int(row.system), row.length,
    )  # fmt: skip


def _row(values: tuple[Any, ...]) -> RunRow:
    run, playbook, version, number, state, submitted, started, ended, actor, key, system, n = (
        values
    )
    return RunRow(
        run, playbook, version, number, state, submitted, started, ended, actor, key,
        bool(system), n,
    )  # fmt: skip


__all__ = ["ENDED", "SqliteJournal", "SqliteReader", "schema"]
