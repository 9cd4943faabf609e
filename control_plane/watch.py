"""The watch: looks at the record now and then, and says what nobody should have to look for.

Budgets that are used up and steps that are slower than usual become events, each once: what
was said is read from the journal, so a restart says nothing again. With ``watch.webhook`` an
event is posted there too, at most once; who does not answer is named in the log.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from control_plane import budgets
from control_plane.appending import append_last
from control_plane.budgets import BudgetView, Spent
from control_plane.clock import Clock
from control_plane.costs import ledger
from control_plane.readings import MeasuresQuestion, Readings
from control_plane.settings import WatchSettings
from control_plane.trend_changes import Change, Mark, changes_in, shifts
from runtime.engine.engine import Engine
from runtime.journal.port import JournalReader
from runtime.record.access import RecordError
from runtime.run.events import (
    BudgetExceeded,
    BudgetWarned,
    OverlayAppended,
    PlaybookRegistered,
    Recorded,
    TrendShifted,
)

LOG: Final = logging.getLogger("trimtab.watch")
MINUTE_S: Final = 60.0
BUCKET_S: Final = 3600
LOOK_BACK_S: Final = 21 * 86_400.0
MEASURE: Final = "total_p50_s"
POST_S: Final = 5.0
_SAID: Final = (BudgetWarned, BudgetExceeded, TrendShifted)


class Watch:
    """Says what was found, and shows what is used of budgets and what changed in trends."""

    def __init__(
        self, engine: Engine, readings: Readings, settings: WatchSettings, clock: Clock
    ) -> None:
        self._engine, self._readings, self._clock = engine, readings, clock
        self._settings = settings
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Look from now on, again and again."""
        looks = ((self._settings.budget_minutes, self.look_at_budgets),
                 (self._settings.trend_minutes, self.look_at_trends))  # fmt: skip
        self._tasks = [
            asyncio.create_task(self._again(minutes * MINUTE_S, look), name=look.__name__)
            for minutes, look in looks if minutes
        ]  # fmt: skip

    async def close(self) -> None:
        """Look no more."""
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _again(self, pause_s: float, look: Any) -> None:
        while True:
            await asyncio.sleep(pause_s)
            try:
                await look()
            except (RecordError, OSError) as fault:
                LOG.warning("%s: %s; the next look is in %.0f s", look.__name__, fault, pause_s)
            except Exception:
                LOG.exception("%s failed; the next look is in %.0f s", look.__name__, pause_s)

    # ---- budgets ------------------------------------------------------------------------

    async def budgets(self) -> list[BudgetView]:
        """Return every budget and what is used of it this month.

        Raises:
            BadBudgets: the user's file has faults.
        """
        wanted = budgets.load_budgets(self._engine.folder.root)
        month, spent = await self._spent() if wanted else ("", {})
        return [budgets.view(b, month, spent.get(b.playbook, Spent())) for b in wanted]

    async def look_at_budgets(self) -> list[BudgetWarned | BudgetExceeded]:
        """Say which shares of which budgets were used up since the last look."""
        wanted = budgets.load_budgets(self._engine.folder.root)
        if not wanted:
            return []
        month, spent = await self._spent()
        news = []
        for budget in wanted:
            of = spent.get(budget.playbook, Spent())
            for event in budgets.crossed(
                budget, month, of, self.said(f"budget/{budget.playbook}")
            ):
                await self._say(f"budget/{budget.playbook}", event)
                news.append(event)
        return news

    async def _spent(self) -> tuple[str, dict[str, Spent]]:
        month, since, until = budgets.month_of(self._clock())
        rows = await ledger(self._readings, self._engine.journal, since, until)
        return month, budgets.spent_by_playbook(rows)

    # ---- trends -------------------------------------------------------------------------

    async def changes(self, asked: MeasuresQuestion, measure: str) -> list[Change]:
        """Return where a measure went over to another level, with what came just before."""
        rows = await self._readings.measures(asked)
        return changes_in(
            rows, measure, asked.bucket_s, marks_in(self._engine.journal, asked.playbook)
        )

    async def look_at_trends(self) -> list[TrendShifted]:
        """Say which steps are slower or faster than usual since the last look."""
        now = self._clock()
        whole = now // BUCKET_S * BUCKET_S - 1  # an hour that is not over says too little
        asked = MeasuresQuestion(max(now - LOOK_BACK_S, 0), max(whole, 0), BUCKET_S)
        lines: dict[str, list[Change]] = {}
        for change in await self.changes(asked, MEASURE):
            lines.setdefault(change.line, []).append(change)
        news = []
        for line, changes in lines.items():
            stream = f"trend/{line.partition(' › ')[0]}"
            for event in shifts(changes, self.said(stream), BUCKET_S):
                await self._say(stream, event)
                news.append(event)
        return news

    # ---- saying -------------------------------------------------------------------------

    def said(self, stream: str) -> list[Recorded]:
        """Return what was said on a stream."""
        return list(self._engine.journal.read(stream))

    def alerts(self, limit: int) -> list[Recorded]:
        """Return what was said of budgets and trends, the latest first."""
        journal = self._engine.journal
        streams = [s for kind in ("budget/", "trend/") for s in journal.streams(kind)]
        every = [r for s in streams for r in journal.read(s) if isinstance(r.event, _SAID)]
        return sorted(every, key=lambda r: -r.at)[:limit]

    async def _say(self, stream: str, event: BudgetWarned | BudgetExceeded | TrendShifted) -> None:
        await append_last(self._engine, stream, event, self._clock)
        LOG.warning("%s: %s", event.TYPE, event)
        if self._settings.webhook:
            await asyncio.to_thread(
                _post, self._settings.webhook, alert_json(self._clock(), event)
            )


def alert_json(at: float, event: Any) -> dict[str, Any]:
    """Return an alert as JSON: its type, its time, and what it says."""
    from msgspec import structs

    return {"type": event.TYPE, "at": at, **structs.asdict(event)}


def _post(url: str, told: dict[str, Any]) -> None:
    import httpx2

    try:
        httpx2.post(url, json=told, timeout=POST_S).raise_for_status()
    except httpx2.HTTPError as fault:
        LOG.error("the webhook did not take %s: %s", told["type"], fault)


def marks_in(journal: JournalReader, playbook: str = "") -> list[Mark]:
    """Return what was changed when: versions that entered, overlays that were set."""
    found = []
    for kind in ("playbook", "overlay"):
        streams = [f"{kind}/{playbook}"] if playbook else journal.streams(f"{kind}/")
        found += [_mark(r) for stream in streams for r in journal.read(stream)]
    return [mark for mark in found if mark is not None]


def _mark(recorded: Recorded) -> Mark | None:
    event = recorded.event
    if isinstance(event, PlaybookRegistered):
        page = f"/playbooks/{event.path}?version={event.number}"
        return Mark(recorded.at, event.path, "", "version", f"version {event.number}", page)
    if isinstance(event, OverlayAppended):
        said = ", ".join(f"{knob} {value}" for knob, value in event.knobs.items())
        playbook = recorded.stream.removeprefix("overlay/")
        page = f"/proposals/{event.proposal}" if event.proposal else f"/playbooks/{playbook}"
        what = said or "back to defaults"
        return Mark(recorded.at, playbook, event.step, "configuration", what, page)
    return None


def named_alerts(recorded: Sequence[Recorded]) -> list[dict[str, Any]]:
    """Return alerts as the API shows them."""
    return [alert_json(r.at, r.event) for r in recorded]
