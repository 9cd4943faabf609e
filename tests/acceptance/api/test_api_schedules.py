"""A schedule says when it fires, fires each time once, and catches up after a sleep."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from control_plane.schedule_table import LEASE_S, Table
from control_plane.serve import Server, open_server
from control_plane.settings import load
from runtime.data.folder import DataFolder
from runtime.playbook.bundle import load_text
from runtime.run.events import ScheduleFired, ScheduleSet

HOUR = 3600.0
NOON = 1_800_000_000.0 - 1_800_000_000.0 % 86_400 + 12 * HOUR
TICK = """
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: tests/tick}
workflow:
  - step: only
    tool: {kind: python, code: "result = 1"}
"""


class Hand:
    """A clock that is moved by hand."""

    def __init__(self, at: float) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


def test_a_schedule_is_made_read_paused_and_removed(api: Any) -> None:
    body = {"cron": "30 6 * * 1", "playbook": "tests/double", "zone": "Europe/Berlin"}
    view = api.ask("PUT", "/api/schedules/weekly", "operator", json=body).json()
    assert view["text"] == "At 06:30 AM, only on Monday"
    assert len(view["next"]) == 5
    assert view["next"] == sorted(view["next"])
    assert view in api.get("/api/schedules")
    paused = api.post("/api/schedules/weekly/pause", who="operator")
    assert (paused["enabled"], paused["next"]) == (False, [])
    assert api.post("/api/schedules/weekly/resume", who="operator")["next"] == view["next"]
    assert api.ask("DELETE", "/api/schedules/weekly", "operator").status_code == 204
    assert api.ask("GET", "/api/schedules/weekly", "viewer").status_code == 404


def test_the_next_times_are_shown_before_a_schedule_is_set(api: Any) -> None:
    told = api.get("/api/schedules/next", cron="*/15 * * * *", count=3)
    assert told["text"] == "Every 15 minutes"
    assert [b - a for a, b in zip(told["next"], told["next"][1:], strict=False)] == [900.0] * 2


def test_firing_now_starts_a_run_and_is_a_job(api: Any) -> None:
    body = {"cron": "0 0 1 1 *", "playbook": "tests/double", "workload": {"numbers": [21]}}
    assert api.ask("PUT", "/api/schedules/yearly", "operator", json=body).status_code == 200
    fired = api.post("/api/schedules/yearly/fire", who="operator")
    assert fired["state"] == "submitted"
    assert api.ended(fired["run"])["result"] == {"total": 42}
    job = api.get("/api/jobs")[0]
    assert (job["fire"]["run"], job["run"]["state"]) == (fired["run"], "completed")
    assert api.get("/api/schedules/yearly")["last"]["run"] == fired["run"]
    assert api.get("/api/schedules/yearly/fires")[0] == job["fire"]


def test_a_time_is_claimed_by_one_and_taken_over_when_its_owner_is_gone(data: DataFolder) -> None:
    tables = [Table(data.schedules) for _ in range(3)]
    assert [table.claim("s", 10.0, now=10.0) for table in tables] == [True, False, False]
    assert tables[0].abandoned(10.0 + LEASE_S) == [("s", 10.0)]
    late = [table.claim("s", 10.0, now=10.0 + LEASE_S) for table in tables]
    assert late == [True, False, False]
    assert tables[1].fires("s", 5)[0].tries == 2
    for table in tables:
        table.close()


async def opened(folder: DataFolder, clock: Hand, *, ticking: bool = True) -> Server:
    flags = {"server.port": 0, "workers.slots": 1, "record.enabled": False, "optimize.cron": ""}
    return await open_server(folder, *load(folder, {}, flags), clock=clock, ticking=ticking)


def fired(server: Server) -> list[float]:
    events = server.parts.engine.journal.read("schedule/hourly")
    return [r.event.scheduled_for for r in events if isinstance(r.event, ScheduleFired)]


@pytest.mark.parametrize(
    ("catch_up", "expected"), [("latest", [15.0]), ("none", []), ("all", [13.0, 14.0, 15.0])]
)
def test_what_was_missed_is_caught_up_as_the_schedule_says(
    data: DataFolder, catch_up: str, expected: list[float]
) -> None:
    async def story() -> None:
        clock = Hand(NOON + 60)
        server = await opened(data, clock)
        await server.parts.engine.register(load_text(TICK, {}), "test")
        await server.parts.schedules.set(
            ScheduleSet("hourly", "0 * * * *", "UTC", "tests/tick", {}, "test", True, catch_up)
        )
        await server.close()
        clock.at = NOON + 3 * HOUR + 60
        for _ in range(2):
            server = await opened(data, clock)
            assert [(at - NOON) / HOUR + 12 for at in fired(server)] == expected
            await server.close()

    asyncio.run(story())


STAYS = TICK.replace('kind: python, code: "result = 1"', "kind: wait, for: 1d")


@pytest.mark.parametrize(("overlap", "states"), [
    ("start", ["submitted"] * 3), ("skip", ["submitted", "skipped", "skipped"]),
])  # fmt: skip
def test_a_time_is_skipped_while_a_run_of_an_earlier_one_has_not_ended_if_so_said(
    data: DataFolder, overlap: str, states: list[str]
) -> None:
    async def story() -> None:
        clock = Hand(NOON + 60)
        server = await opened(data, clock)
        await server.parts.engine.register(load_text(STAYS, {}), "test")
        await server.parts.schedules.set(ScheduleSet(
            "hourly", "0 * * * *", "UTC", "tests/tick", {}, "test", True, "all", overlap
        ))  # fmt: skip
        await server.close()
        clock.at = NOON + 3 * HOUR + 60
        server = await opened(data, clock)
        schedules, engine = server.parts.schedules, server.parts.engine
        fires = list(reversed(schedules.fires("hourly")))
        assert [fire.state for fire in fires] == states
        assert len(engine.journal.runs(playbook="tests/tick")) == states.count("submitted")
        if overlap == "skip":
            assert fires[0].run in fires[1].error
            await engine.cancel(fires[0].run, "test", now=True)
            await engine.wait(fires[0].run)
            assert schedules.get("hourly").overlap == "skip"
            assert (await schedules.fire("hourly", clock.at)).state == "submitted"
        await server.close()

    asyncio.run(story())


def test_the_run_that_lets_times_be_skipped_is_found_however_many_were(data: DataFolder) -> None:
    async def story() -> None:
        clock = Hand(NOON + 60)
        server = await opened(data, clock, ticking=False)
        await server.parts.engine.register(load_text(STAYS, {}), "test")
        schedules = server.parts.schedules
        await schedules.set(ScheduleSet(
            "often", "* * * * *", "UTC", "tests/tick", {}, "test", True, "all", "skip"
        ))  # fmt: skip
        first = await schedules.fire("often", NOON + 60)
        await server.close()
        with closing(sqlite3.connect(data.schedules)) as db:
            skipped = [("often", NOON + 60 * n, "skipped", "", 0, 0, 1, "") for n in range(2, 200)]
            db.executemany("insert into fire values (?, ?, ?, ?, ?, ?, ?, ?)", skipped)
            db.commit()
        clock.at = NOON + 60 * 200
        server = await opened(data, clock)
        (last, *_) = server.parts.schedules.fires("often")
        assert (last.scheduled_for, last.state) == (NOON + 60 * 200, "skipped")
        assert first.run in last.error
        await server.close()

    asyncio.run(story())


def test_a_table_of_an_earlier_release_is_taken_over(data: DataFolder) -> None:
    table = Table(data.schedules)
    table.claim("s", 10.0, now=10.0)
    table.close()
    with closing(sqlite3.connect(data.schedules)) as db:
        db.execute("alter table schedule drop column overlap")
        db.commit()
    table = Table(data.schedules)
    assert (table.rows(), len(table.fires("s", 5))) == ([], 1)
    table.close()


def test_a_fire_that_was_cut_off_starts_its_run_once(data: DataFolder) -> None:
    async def story() -> None:
        clock = Hand(NOON)
        server = await opened(data, clock, ticking=False)
        await server.parts.engine.register(load_text(TICK, {}), "test")
        schedules = server.parts.schedules
        await schedules.set(ScheduleSet("hourly", "0 * * * *", "UTC", "tests/tick", {}, "test"))
        first = await schedules.fire("hourly", NOON + HOUR)
        await server.close()
        table = Table(data.schedules)
        table.settle(FireOf(first).cut_off())
        table.close()
        clock.at = NOON + HOUR + LEASE_S
        server = await opened(data, clock)
        again = server.parts.schedules.fires("hourly")[0]
        assert (again.state, again.run) == ("submitted", first.run)
        assert len(server.parts.engine.journal.runs(playbook="tests/tick")) == 1
        await server.close()

    asyncio.run(story())


class FireOf:
    """A fire as a crash between its run and its row leaves it."""

    def __init__(self, fire: Any) -> None:
        self._fire = fire

    def cut_off(self) -> Any:
        from dataclasses import replace

        return replace(self._fire, state="claimed", run="")
