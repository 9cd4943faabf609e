"""The pages' data, from the journal and the record of a running server.

Runs and proposals are folded from their streams and kept while they are looked at: the
next look only reads what is new. Nothing here waits for the record except search and
trends, and those give up after `PATIENCE_S` with words that say what is missing.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, TypeVar

from control_plane import waits
from control_plane.clock import Clock
from control_plane.readings import MeasuresQuestion, Readings
from control_plane.readings import TrendQuestion as Asked
from control_plane.run_views import ProgressView, progress_of
from control_plane.schedule import Schedules, ScheduleView
from control_plane.waits import WAITING, Waiting, Waits
from control_plane.watch import marks_in
from control_plane.web.dossier import Dossier, gather
from control_plane.web.hits import found_by, narrow_to
from control_plane.web.levels import levels, shown
from control_plane.web.port import (
    Found,
    KnobLine,
    PlaybookLine,
    PlaybookView,
    Question,
    RecordAway,
    RunFilter,
    RunLine,
    RunView,
    ScheduleLine,
    System,
    Trend,
    TrendQuestion,
)
from control_plane.web.story import RunStory
from control_plane.web.trend_points import (
    MEASURED,
    bucket_of,
    measured_point,
    run_point,
    step_points,
)
from control_plane.web.words import classes
from runtime.engine.catalogue import Version
from runtime.engine.engine import Engine
from runtime.engine.errors import UnknownPlaybook
from runtime.engine.hardware import LOCAL
from runtime.ids import run_stream
from runtime.journal.port import RunRow
from runtime.playbook.model import Knob, Playbook
from runtime.playbook.parse import PlaybookFaults
from runtime.record.access import RecordError
from runtime.record.lag import Lag
from runtime.record.search import Cause
from runtime.record.supervise import RecorderProcess
from runtime.run.events import ConfigStored, Json, Recorded

PATIENCE_S: Final = 6.0
KEPT_STORIES: Final = 24
LONGEST_TOLD: Final = waits.LONGEST
"""A run in the list is not folded, for its cost and its waits, beyond so many events."""
SLICE: Final = 2000
T = TypeVar("T")


@dataclass(slots=True)
class _Told:
    """A story in the making; the lock keeps two looks from feeding it twice."""

    story: RunStory
    waiting: Waiting = field(default_factory=Waiting)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def waits(self, row: RunRow) -> Waits | None:
        """What the run waits for; only one that is running does."""
        return self.waiting.found if row.state == "running" else None


class JournalPages:
    """Answers `control_plane.web.port.Pages` for a running server."""

    def __init__(
        self, engine: Engine, readings: Readings, schedules: Schedules,
        recorder: RecorderProcess | None, clock: Clock, about: Mapping[str, Json],
    ) -> None:  # fmt: skip
        self._engine, self._readings, self._schedules = engine, readings, schedules
        self._recorder, self._clock, self._about = recorder, clock, about
        self._stories: OrderedDict[str, _Told] = OrderedDict()
        self._ended: dict[str, tuple[float | None, int]] = {}
        self._dossiers: dict[str, tuple[int, Dossier]] = {}
        self._configs: dict[str, ConfigStored] = {}

    def now(self) -> float:
        return self._clock()

    def paths(self) -> list[str]:
        return self._engine.catalogue.paths()

    def hardware(self) -> list[str]:
        return sorted({LOCAL, *self._engine.hardware.slots})

    # ---- runs ---------------------------------------------------------------------------

    async def runs(self, wanted: RunFilter) -> list[RunLine]:
        journal, state = self._engine.journal, wanted.state or None
        which: dict[str, Any] = {
            "playbook": wanted.playbook or None, "system": None if wanted.system else False,
            "before": wanted.before or None,
        }  # fmt: skip
        if state == WAITING:
            rows = [row for row, _ in islice(waits.rows(journal, **which), wanted.limit)]
        else:
            rows = journal.runs(state=state, limit=wanted.limit, **which)
        return [await self._line(row) for row in rows]

    def said(self, run: str) -> list[ProgressView]:
        return progress_of(self._engine, run)

    async def run(self, run: str) -> RunView | None:
        row = self._engine.journal.run(run)
        if row is None:
            return None
        told = await self._tell(run)
        story, row = told.story, self._engine.journal.run(run) or row
        configs = {s.config: self._config(s.config) for s in story.steps.values() if s.config}
        known = {name: config for name, config in configs.items() if config is not None}
        playbook = self._playbook(row.playbook, row.version)
        return RunView(row, story, playbook, known, told.waits(row))

    async def events(self, run: str, after: int, limit: int) -> list[Recorded]:
        journal, stream = self._engine.journal, run_stream(run)
        last = min(journal.length(stream), after + limit)
        found = (journal.event(stream, seq) for seq in range(after + 1, last + 1))
        return [one for one in found if one is not None]

    async def _line(self, row: RunRow) -> RunLine:
        if row.run in self._ended:
            return RunLine(row, *self._ended[row.run])
        if row.length > LONGEST_TOLD and row.run not in self._stories:
            return RunLine(row)
        told = await self._tell(row.run)
        story = told.story
        if story.ended:
            self._ended[row.run] = (story.cost_usd, story.attempts)
        await asyncio.sleep(0)
        return RunLine(row, story.cost_usd, story.attempts, told.waits(row))

    async def _tell(self, run: str) -> _Told:
        told = self._stories.setdefault(run, _Told(RunStory(run)))
        self._stories.move_to_end(run)
        while len(self._stories) > KEPT_STORIES:
            self._stories.popitem(last=False)
        async with told.turn:
            fresh = self._engine.journal.read(run_stream(run), told.story.length)
            for i, recorded in enumerate(fresh, 1):
                told.story.take(recorded)
                told.waiting.take(recorded)
                if i % SLICE == 0:
                    await asyncio.sleep(0)
        return told

    def _config(self, config: str) -> ConfigStored | None:
        if config not in self._configs:
            recorded = self._engine.journal.event(f"config/{config}", 1)
            if recorded is None or not isinstance(recorded.event, ConfigStored):
                return None
            self._configs[config] = recorded.event
        return self._configs[config]

    def _playbook(self, path: str, version: str) -> Playbook | None:
        try:
            return self._engine.catalogue.get(path, version).playbook
        except (UnknownPlaybook, PlaybookFaults):
            return None  # the page says that there is no picture

    # ---- proposals ----------------------------------------------------------------------

    async def proposals(self) -> list[Dossier]:
        names = [s.removeprefix("proposal/") for s in self._engine.journal.streams("proposal/")]
        dossiers = [d for name in names if (d := self._dossier(name)) is not None]
        return sorted(dossiers, key=lambda d: -d.moved_at)

    async def proposal(self, proposal: str) -> Dossier | None:
        return self._dossier(proposal)

    def _dossier(self, proposal: str) -> Dossier | None:
        journal = self._engine.journal
        streams = [f"proposal/{proposal}", f"experiment/x-{proposal.removeprefix('p-')}"]
        length = sum(journal.length(stream) for stream in streams)
        kept = self._dossiers.get(proposal)
        if kept is not None and kept[0] == length:
            return kept[1]
        dossier = gather(proposal, [one for stream in streams for one in journal.read(stream)])
        if dossier is not None:
            self._dossiers[proposal] = (length, dossier)
        return dossier

    # ---- the record ---------------------------------------------------------------------

    async def search(self, question: Question) -> list[Found]:
        self._must_record()
        narrow = narrow_to(question)
        if question.like:
            hits = await asked(self._readings.similar(question.like, question.limit, **narrow))
        else:
            hits = await asked(
                self._readings.search(question.text, limit=question.limit, **narrow)
            )
        return [found_by(hit) for hit in hits]

    async def facets(self, question: Question) -> dict[str, dict[str, int]]:
        self._must_record()
        return await asked(self._readings.facets(question.text, **narrow_to(question)))

    async def causes(self, question: Question) -> list[Cause]:
        self._must_record()
        narrow = {k: v for k, v in narrow_to(question).items() if k != "kind"}
        return await asked(self._readings.causes(**narrow))

    async def trends(self, question: TrendQuestion) -> Trend:
        self._must_record()
        until = self._clock()
        since, bucket = until - question.hours * 3600, bucket_of(question.hours)
        wanted = Asked(since, until, bucket, question.playbook, question.step)
        if question.by == "playbook":
            rows = await asked(self._readings.query(
                "trend_runs", bucket=bucket, playbook=question.playbook,
                since=int(since), until=int(until),
            ))  # fmt: skip
            points = [run_point(row) for row in rows]
        elif question.by in MEASURED:
            rows = await asked(self._readings.measures(MeasuresQuestion(
                since, until, bucket, MEASURED[question.by], question.playbook, question.step,
            )))  # fmt: skip
            points = [measured_point(row) for row in rows]
        else:
            rows = await asked(self._readings.trends(wanted))
            points = step_points(rows, question.by)
        marks = marks_in(self._engine.journal, question.playbook)
        changes = await asyncio.to_thread(levels, points, bucket, marks)
        return Trend(points, bucket, shown(marks, points, question.step, since), changes)

    def _must_record(self) -> None:
        must_record(self._recorder)

    # ---- the rest -----------------------------------------------------------------------

    async def playbooks(self) -> list[PlaybookLine]:
        return [self._playbook_line(path) for path in self._engine.catalogue.paths()]

    def _playbook_line(self, path: str) -> PlaybookLine:
        told = self._engine.catalogue.latest(path).registered
        last = self._engine.journal.runs(playbook=path, system=None, limit=10)
        at = self._registered_at(path, told.number)
        return PlaybookLine(told, at, last, self._waits(last))

    def _waits(self, rows: Sequence[RunRow]) -> dict[str, Waits]:
        found = {row.run: waits.of_row(self._engine.journal, row) for row in rows}
        return {run: why for run, why in found.items() if why is not None}

    def _registered_at(self, path: str, number: int) -> float:
        recorded = self._engine.journal.event(f"playbook/{path}", number)
        return recorded.at if recorded is not None else 0.0

    async def playbook(self, path: str, number: int | None) -> PlaybookView | None:
        try:
            version = self._engine.catalogue.get(path, None if number is None else str(number))
        except UnknownPlaybook:
            return None
        versions = [
            (v.registered.number, v.registered.version, 0.0)
            for v in self._engine.catalogue.versions(path)
        ]
        last = self._engine.journal.runs(playbook=path, system=None, limit=10)
        playbook = self._playbook(path, version.registered.version)
        knobs = self._knobs(version, playbook) if playbook is not None else []
        return PlaybookView(version.registered, playbook, versions, last, knobs, self._waits(last))

    def _knobs(self, version: Version, playbook: Playbook) -> list[KnobLine]:
        layers, path = self._engine.layers, playbook.path
        lines = []
        for step in playbook.steps:
            if not step.tune:
                continue
            bound, defaults = version.bound(step.name), version.defaults(step.name)
            killed = layers.is_killed(path, step.name)
            stable = {} if killed else layers.stable(path, step.name, bound)
            live = layers.experiment(path, step.name, bound)
            tried = {k for values in live.started.arms.values() for k in values} if live else set()
            suspended = layers.suspended(path, step.name, bound)
            lines += [
                KnobLine(
                    step.name, knob.name, defaults.get(knob.name),
                    stable.get(knob.name, defaults.get(knob.name)), bounds_of(knob),
                    live.started.proposal if live and knob.name in tried else "",
                    knob.name in suspended,
                )
                for knob in step.tune
            ]  # fmt: skip
        return lines

    async def schedules(self) -> list[ScheduleLine]:
        return [_schedule(view) for view in self._schedules.list()]

    async def system(self) -> System:
        journal = self._engine.journal
        said = dict(self._engine.status)
        workers, pool = said.pop("workers"), said.pop("pool")
        poison, parked = said.pop("poison"), said.pop("parked")
        about = {**self._about, "hardware classes": classes(said.pop("hardware"))}
        written = {"events": sum(journal.heads().values()), **said}
        recorder = await self._recorder_status()
        return System(workers, recorder, written, about, pool, poison, parked)

    async def _recorder_status(self) -> dict[str, Json]:
        if self._recorder is None:
            return {"state": "switched off by the setting record.enabled"}
        try:
            return _recorder_line(await asyncio.wait_for(self._recorder.status(), PATIENCE_S))
        except (RecordError, OSError, TimeoutError) as error:
            return {"state": "does not answer at the moment", "why": str(error) or "no answer"}


def _recorder_line(said: Mapping[str, Any]) -> dict[str, Json]:
    """Return the recorder's status with a row per sink."""
    sinks = [
        {
            "sink": sink.name, "state": sink.sentence, "behind_events": sink.behind_events,
            "behind_s": sink.behind_s, "events": sink.events, "batches": sink.batches,
            "cursor": ", ".join(f"{w}:{pos}" for w, pos in sorted(sink.cursor.items())),
        }
        for sink in Lag.of(said).sinks
    ]  # fmt: skip
    whole = {key: said[key] for key in ("pid", "up_s", "behind_events", "behind_s") if key in said}
    return {**whole, "sinks": sinks}


def must_record(recorder: RecorderProcess | None) -> None:
    """Refuse to wait for a recorder that is switched off.

    Raises:
        RecordAway: it is.
    """
    if recorder is None:
        raise RecordAway(
            "The recorder is switched off (record.enabled), so there is nothing to search, no "
            "trend and no cost. `trimtab config set record.enabled on` and a restart bring them."
        )


async def asked(question: Awaitable[T], patience_s: float = PATIENCE_S) -> T:
    """Wait for the record, but not for ever.

    Raises:
        RecordAway: it said no, or nothing, in time.
    """
    try:
        return await asyncio.wait_for(question, patience_s)
    except TimeoutError:
        raise RecordAway(
            "The recorder does not answer at the moment. Runs go on without it; this page "
            "fills when it is back. `trimtab doctor` says more."
        ) from None
    except (RecordError, OSError) as error:
        raise RecordAway(str(error)) from error


def bounds_of(knob: Knob) -> str:
    """Say what a knob may be set to."""
    if knob.choices:
        return ", ".join(str(choice) for choice in knob.choices)
    low = "" if knob.min is None else f"{knob.min:g}"
    high = "" if knob.max is None else f"{knob.max:g}"
    return f"{low} to {high}".strip()


def _schedule(view: ScheduleView) -> ScheduleLine:
    last = view.last
    return ScheduleLine(
        view.name, view.cron, view.text, view.zone, view.playbook, view.enabled, view.next[:3],
        last.scheduled_for if last else None, last.run if last else "",
        last.error if last else "", view.overlap,
    )  # fmt: skip
