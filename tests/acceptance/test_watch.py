"""The watch says each thing once, and a restart says nothing again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from control_plane.capacity import Capacity
from control_plane.clock import wall
from control_plane.costs import ledger
from control_plane.serve import Server, open_server
from control_plane.settings import load
from listening import listening
from runtime.data.folder import DataFolder
from runtime.journal.port import Append
from runtime.journal.sqlite import SqliteJournal
from runtime.run.events import (
    AttemptFinished,
    AttemptScheduled,
    BudgetExceeded,
    BudgetWarned,
    RunCompleted,
    RunStarted,
    RunSubmitted,
)

HOUR, DAY = 3600.0, 86_400.0
HOURS, SLOWER_AT = 60, 48


def record_a_step_that_got_slower(folder: DataFolder, now: float) -> float:
    """Write a run an hour, two dollars each; returns when the step went from 1 s to 2 s."""
    folder.prepare()
    journal = SqliteJournal(folder.journal, now)
    begin = now // HOUR * HOUR - HOURS * HOUR
    for hour in range(HOURS):
        total_s = (1.0 if hour < SLOWER_AT else 2.0) * (1 + 0.01 * (hour % 3))
        attempt = f"r{hour}/job/-1/1"
        journal.append([Append(f"run/r{hour}", 0, begin + hour * HOUR + 60, (
            RunSubmitted("etl/load", "v1", 1, {}, "me"), RunStarted(),
            AttemptScheduled(attempt, "job", 1, "", "k"),
            AttemptFinished(
                attempt, "job", 1, "succeeded", 3, run_s=total_s, total_s=total_s,
                hardware="local", price_usd_hour=1.0, cost_usd=2.0,
            ),
            RunCompleted(),
        ))])  # fmt: skip
    journal.close()
    return begin + SLOWER_AT * HOUR


@contextmanager
def keeping() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A web server that keeps what is posted to it."""
    posted: list[dict[str, Any]] = []

    class Keeps(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with listening(Keeps) as url:
        yield f"{url}/", posted


def served(
    folder: DataFolder, story: Callable[[Server], Coroutine[Any, Any, Any]], webhook: str = ""
) -> Any:
    async def play() -> Any:
        settings, _ = load(
            None, environ={"TRIMTAB_SERVER_PORT": "0", "TRIMTAB_WATCH_WEBHOOK": webhook}
        )
        server = await open_server(folder, settings, ticking=False)
        try:
            recorder = server.parts.recorder
            assert recorder is not None
            await recorder.caught_up(server.parts.engine.journal.heads(), 120)
            return await story(server)
        finally:
            await server.close()

    return asyncio.run(play())


async def slots_of_a_day_cost_what_they_cost_busy_or_not(server: Server) -> None:
    """Two slots are up over the last midnight at a dollar an hour; some of that was used."""
    (server.parts.folder.root / "hardware.yaml").write_text(
        "hardware: [{class: local, prices: [{from: 2020-01-01, usd_per_hour: 1}]}]"
    )
    parts, midnight = server.parts, wall() // DAY * DAY
    at = [midnight - 2 * HOUR]
    capacity = Capacity(parts.engine, 2, 15, lambda: at[0])
    assert await capacity.tell() == []
    at[0] = midnight + HOUR
    told = await capacity.tell()
    assert [(e.since, e.until, e.slots) for e in told] == [
        (midnight - 2 * HOUR, midnight, {"local": 2}), (midnight, midnight + HOUR, {"local": 2}),
    ]  # fmt: skip
    rows = await ledger(parts.readings, parts.engine.journal, midnight - DAY, midnight)
    used = sum(row["slot_s"] for row in rows)
    assert used > 0
    assert sum(row["idle_s"] for row in rows) == pytest.approx(4 * HOUR - used)
    assert sum(row["idle_usd"] for row in rows) == pytest.approx(4 - used / HOUR)
    assert {row["playbook"] for row in rows} == {"etl/load"}


async def look(server: Server) -> tuple[list[Any], list[Any]]:
    watch = server.parts.watch
    return await watch.look_at_budgets(), await watch.look_at_trends()


def test_what_is_used_up_and_what_got_slower_is_said_once_over_restarts(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    slower_at = record_a_step_that_got_slower(folder, wall())
    (folder.root / "budgets.yaml").write_text(
        "budgets: [{playbook: etl/load, usd_per_month: 0.5, warn_at: 80%}]", encoding="utf-8"
    )

    async def twice(server: Server) -> tuple[list[Any], list[Any], list[Any]]:
        await slots_of_a_day_cost_what_they_cost_busy_or_not(server)
        said, shifted = await look(server)
        assert await look(server) == ([], [])
        return said, shifted, server.parts.watch.alerts(10)

    with keeping() as (url, posted):
        said, (shift,), alerts = served(folder, twice, url)
    assert [told["type"] for told in posted] == [
        "budget.warned",
        "budget.exceeded",
        "trend.shifted",
    ]
    assert posted[0]["playbook"] == "etl/load"
    assert [type(event) for event in said] == [BudgetWarned, BudgetExceeded]
    assert {event.playbook for event in said} == {"etl/load"}
    assert (shift.playbook, shift.step, shift.slower) == ("etl/load", "job", True)
    assert (shift.since, round(shift.factor, 1)) == (slower_at, 2.0)
    assert len(alerts) == 3
    assert served(folder, look) == ([], [])
