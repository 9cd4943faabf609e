"""The logs of searches over many knobs, in ``trials.db``: one row an entry, none ever changed.

A log's entries are numbered from 0 without a gap. Who writes a number that another process
took in the meantime takes the next one, so that every reader sees the same order. Any
database that SQLAlchemy speaks to will do.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import registry
from sqlmodel import Field, Session, SQLModel, col, func, select

from control_plane.database import sqlite_engine

TRIES: Final = 20


class _Table(SQLModel, registry=registry()):
    """The table of ``trials.db``, apart from everybody else's."""


class EntryRow(_Table, table=True):
    """One entry of one search's log."""

    __tablename__ = "trial_entry"
    search: str = Field(primary_key=True)
    number: int = Field(primary_key=True)
    body: str


class LogTaken(RuntimeError):
    """A search's log is written by too many processes at once."""

    def __init__(self, search: str) -> None:
        super().__init__(f"the log of {search} was taken {TRIES} times in a row; ask again")


@dataclass(frozen=True, slots=True)
class TrialLog:
    """The log of one search: what `optimizer.search.numeric` calls a `Log`."""

    engine: Engine
    search: str

    def read(self, since: int) -> Sequence[dict[str, Any]]:
        """Return the entries from the one numbered ``since``."""
        wanted = (
            select(EntryRow.body)
            .where(EntryRow.search == self.search, EntryRow.number >= since)
            .order_by(col(EntryRow.number))
        )
        with Session(self.engine) as db:
            return [json.loads(body) for body in db.exec(wanted)]

    def append(self, entries: Sequence[dict[str, Any]]) -> None:
        """Add entries, all or none."""
        for _ in range(TRIES):
            try:
                self._append(entries)
            except IntegrityError:
                continue  # another process took the number
            return
        raise LogTaken(self.search)

    def _append(self, entries: Sequence[dict[str, Any]]) -> None:
        with Session(self.engine) as db:
            last = func.coalesce(func.max(EntryRow.number), -1)
            first = db.exec(select(last).where(EntryRow.search == self.search)).one() + 1
            for number, entry in enumerate(entries, first):
                db.add(EntryRow(search=self.search, number=number, body=json.dumps(entry)))
            db.commit()


class TrialLogs:
    """All logs of one installation, in a SQLite file or at a database's URL."""

    def __init__(self, place: Path | str) -> None:
        url = f"sqlite:///{place}" if isinstance(place, Path) else _driven(place)
        self._engine = sqlite_engine(url) if url.startswith("sqlite") else create_engine(url)
        _Table.metadata.create_all(self._engine)

    def of(self, search: str) -> TrialLog:
        """Return the log of one search; a new one is empty."""
        return TrialLog(self._engine, search)

    def close(self) -> None:
        """Close the database."""
        self._engine.dispose()


def _driven(url: str) -> str:
    """The URL with the driver that the extra ``postgres`` installs, where none is named."""
    scheme, rest = url.split("://", 1)
    return f"postgresql+psycopg://{rest}" if scheme in ("postgres", "postgresql") else url
