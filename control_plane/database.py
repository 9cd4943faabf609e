"""The small SQLite databases beside the journal: keys, schedules, the logs of searches."""

from __future__ import annotations

import sqlite3

from sqlalchemy import Engine, create_engine, event


def sqlite_engine(url: str) -> Engine:
    """Return an engine for the SQLite database at a URL, which survives a crash as it was."""
    engine = create_engine(url, connect_args={"timeout": 10})
    event.listen(engine, "connect", _pragmas)
    return engine


def _pragmas(connection: sqlite3.Connection, _: object) -> None:
    cursor = connection.cursor()
    cursor.execute("pragma journal_mode = wal")
    cursor.execute("pragma synchronous = full")
    cursor.close()
