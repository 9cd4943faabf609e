"""The projection of the schedule streams, and the claims on scheduled times.

``schedule.db`` can be made again from the journal, but for the claims: one row for each
scheduled time, whose key is the claim. However many processes tick at once, the one that
inserts the row fires; a claim whose owner died is taken over when its lease is past.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from sqlalchemy import text
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.orm import registry
from sqlmodel import Field, Session, SQLModel, col, delete, select

from control_plane.database import sqlite_engine
from runtime.run.events import Recorded, ScheduleFired, ScheduleRemoved, ScheduleSet

LEASE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class FireView:
    """One scheduled time and what came of it."""

    name: str
    scheduled_for: float
    state: str
    run: str
    claimed_at: float
    tries: int
    error: str


class _Table(SQLModel, registry=registry()):
    """The tables of ``schedule.db``, apart from everybody else's."""


class ScheduleRow(_Table, table=True):
    """A schedule as its stream says it is now."""

    __tablename__ = "schedule"
    name: str = Field(primary_key=True)
    cron: str
    zone: str
    playbook: str
    workload: str
    enabled: bool
    catch_up: str
    overlap: str
    actor: str
    set_at: float


class FireRow(_Table, table=True):
    """A scheduled time that somebody claimed. Its key is the claim."""

    __tablename__ = "fire"
    name: str = Field(primary_key=True)
    scheduled_for: float = Field(primary_key=True)
    state: str = "claimed"
    run: str = ""
    claimed_at: float
    lease_until: float
    tries: int = 1
    error: str = ""


class Table:
    """The projection and the claims, in ``schedule.db``."""

    def __init__(self, path: Path) -> None:
        self._engine = sqlite_engine(f"sqlite:///{path}")
        _Table.metadata.create_all(self._engine)
        self._add_overlap()

    def _add_overlap(self) -> None:
        """A table that an earlier release made has no such column."""
        with self._engine.begin() as db:
            columns = {str(row[1]) for row in db.execute(text("pragma table_info(schedule)"))}
            if "overlap" not in columns:
                db.execute(
                    text("alter table schedule add column overlap text not null default 'start'")
                )

    def close(self) -> None:
        """Close the database."""
        self._engine.dispose()

    def evolve(self, recorded: Recorded) -> None:
        """Take one event of a schedule's stream into account; again is the same as once."""
        match recorded.event:
            case ScheduleSet() as set_:
                self._put(set_, recorded.at)
            case ScheduleRemoved():
                with Session(self._engine) as db:
                    db.exec(
                        delete(ScheduleRow).where(col(ScheduleRow.name) == recorded.event.name)
                    )
                    db.commit()
            case ScheduleFired() as fired:
                known = self.fire(fired.name, fired.scheduled_for)
                base = known or FireView(
                    fired.name, fired.scheduled_for, "", "", recorded.at, 1, ""
                )
                self.settle(replace(base, state="submitted", run=fired.run, error=""))
            case _:
                pass

    def clear(self) -> None:
        """Forget the schedules, before reading them again; claims stay."""
        with Session(self._engine) as db:
            db.exec(delete(ScheduleRow))
            db.commit()

    def rows(self) -> list[ScheduleRow]:
        """Return every schedule by name."""
        with Session(self._engine) as db:
            return list(db.exec(select(ScheduleRow).order_by(col(ScheduleRow.name))))

    def row(self, name: str) -> ScheduleRow | None:
        """Return one schedule, or None."""
        with Session(self._engine) as db:
            return db.get(ScheduleRow, name)

    def claim(self, name: str, at: float, now: float) -> bool:
        """Take a scheduled time. True for exactly one caller, or when a claim was abandoned."""
        with Session(self._engine) as db:
            values = {
                "name": name, "scheduled_for": at, "state": "claimed", "run": "", "error": "",
                "claimed_at": now, "lease_until": now + LEASE_S, "tries": 1,
            }  # fmt: skip
            fresh = insert(FireRow).values(values).on_conflict_do_nothing()
            won = db.connection().execute(fresh).rowcount == 1
            if not won:
                row = db.get(FireRow, (name, at))
                if row is not None and row.state == "claimed" and row.lease_until <= now:
                    row.lease_until, row.tries, won = now + LEASE_S, row.tries + 1, True
                    db.add(row)
            db.commit()
        return won

    def settle(self, fired: FireView) -> None:
        """Write down what came of a scheduled time."""
        with Session(self._engine) as db:
            db.merge(FireRow(
                name=fired.name, scheduled_for=fired.scheduled_for, state=fired.state,
                run=fired.run, claimed_at=fired.claimed_at, lease_until=fired.claimed_at,
                tries=fired.tries, error=fired.error,
            ))  # fmt: skip
            db.commit()

    def fire(self, name: str, at: float) -> FireView | None:
        """Return what came of one scheduled time, or None when nobody claimed it."""
        with Session(self._engine) as db:
            row = db.get(FireRow, (name, at))
            return None if row is None else _fire_view(row)

    def abandoned(self, now: float) -> list[tuple[str, float]]:
        """Return the claims whose owner never said what came of them."""
        with Session(self._engine) as db:
            query = select(FireRow).where(FireRow.state == "claimed", FireRow.lease_until <= now)
            return [(row.name, row.scheduled_for) for row in db.exec(query)]

    def fires(self, name: str | None, limit: int) -> list[FireView]:
        """Return scheduled times, the latest first."""
        with Session(self._engine) as db:
            query = select(FireRow).order_by(col(FireRow.scheduled_for).desc()).limit(limit)
            if name is not None:
                query = query.where(FireRow.name == name)
            return [_fire_view(row) for row in db.exec(query)]

    def begun(self, name: str, limit: int) -> list[str]:
        """Return the latest runs that a schedule has started, the latest first."""
        wanted = (FireRow.name == name, FireRow.run != "")
        latest = col(FireRow.scheduled_for).desc()
        with Session(self._engine) as db:
            return list(db.exec(select(FireRow.run).where(*wanted).order_by(latest).limit(limit)))

    def _put(self, set_: ScheduleSet, at: float) -> None:
        with Session(self._engine) as db:
            db.merge(ScheduleRow(
                name=set_.name, cron=set_.cron, zone=set_.zone, playbook=set_.playbook,
                workload=json.dumps(set_.workload), enabled=set_.enabled,
                catch_up=set_.catch_up, overlap=set_.overlap, actor=set_.actor, set_at=at,
            ))  # fmt: skip
            db.commit()


def _fire_view(row: FireRow) -> FireView:
    return FireView(
        row.name, row.scheduled_for, row.state, row.run, row.claimed_at, row.tries, row.error
    )
