"""What the pages ask for, in their own words: reading on one port, deciding on another.

`Pages` is answered from the journal (runs, proposals, playbooks: always there) and from
the record (search, trends: there while the recorder is up; else they say why not).
`Desk` is the review service as the pages use it, `News` tells them when to draw again.
They are protocols, so that the pages can be tried over any journal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from control_plane.auth import Principal
from control_plane.run_views import ProgressView
from control_plane.trend_changes import Change, Mark
from control_plane.waits import Waits
from control_plane.web.dossier import Dossier
from control_plane.web.story import RunStory
from runtime.journal.port import RunRow
from runtime.playbook.model import Playbook
from runtime.record.search import Cause
from runtime.run.events import ConfigStored, Json, PlaybookRegistered, Recorded


class RecordAway(Exception):
    """The record cannot be asked just now; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs to list. ``before`` is the id of the last run of the page before."""

    state: str = ""
    playbook: str = ""
    system: bool = False
    before: str = ""
    limit: int = 50


@dataclass(frozen=True, slots=True)
class RunLine:
    """A run in the list. Figures that only the record knows are None while it is away."""

    row: RunRow
    cost_usd: float | None = None
    attempts: int | None = None
    waits: Waits | None = None

    def seconds(self, now: float) -> float:
        """From submission to the end, or to now."""
        end = now if self.row.ended_at is None else self.row.ended_at
        return max(0.0, end - self.row.submitted_at)


@dataclass(frozen=True, slots=True)
class RunView:
    """A run with what it ran: its story, and the playbook version if it can be read."""

    row: RunRow
    story: RunStory
    playbook: Playbook | None
    configs: Mapping[str, ConfigStored]
    waits: Waits | None = None
    """The hours of the day that it waits for while nothing of it is at work."""


@dataclass(frozen=True, slots=True)
class PlaybookLine:
    """A playbook in the list: its latest version and how its last runs went."""

    registered: PlaybookRegistered
    registered_at: float
    last: Sequence[RunRow]
    waits: Mapping[str, Waits] = field(default_factory=dict)
    """What runs among the last wait for, by run."""


@dataclass(frozen=True, slots=True)
class PlaybookView:
    """One version of a playbook, with the values in force for each tunable step."""

    registered: PlaybookRegistered
    playbook: Playbook | None
    versions: Sequence[tuple[int, str, float]]
    last: Sequence[RunRow]
    knobs: Sequence[KnobLine]
    waits: Mapping[str, Waits] = field(default_factory=dict)
    """What runs among the last wait for, by run."""


@dataclass(frozen=True, slots=True)
class KnobLine:
    """One tunable value: the author's, the one in force, and what is being tried."""

    step: str
    knob: str
    default: Json
    value: Json
    bounds: str
    experiment: str = ""
    suspended: bool = False

    @property
    def changed(self) -> bool:
        """Whether an overlay set it to something else than the author."""
        return bool(self.value != self.default)


@dataclass(frozen=True, slots=True)
class Question:
    """A search: words, and what to keep to."""

    text: str
    kind: str = ""
    playbook: str = ""
    state: str = ""
    limit: int = 20
    step: str = ""
    like: str = ""
    """A run: what is like it is asked for, in place of words."""
    hardware: str = ""
    since: float | None = None
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """One hit of a search: what it is, why it matched and where it leads."""

    kind: str
    title: str
    text: str
    why: str
    score: float
    href: str
    facts: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TrendQuestion:
    """Which trend: by playbook, step or configuration, over which time."""

    by: str = "step"
    playbook: str = ""
    step: str = ""
    hours: float = 24.0


@dataclass(frozen=True, slots=True)
class TrendPoint:
    """One bucket of time of one line. Seconds and dollars are per attempt."""

    line: str
    at: float
    attempts: int
    p50_s: float
    p95_s: float
    p99_s: float
    cost_usd: float | None
    failed: int


@dataclass(frozen=True, slots=True)
class Trend:
    """The points, and the width of a bucket."""

    points: Sequence[TrendPoint]
    bucket_s: float
    marks: Sequence[Mark] = ()
    """When an overlay changed or a version entered, and which."""
    changes: Sequence[Change] = ()
    """Where lines went over to another level."""


@dataclass(frozen=True, slots=True)
class ScheduleLine:
    """A schedule: when it fires next, and what it did last."""

    name: str
    cron: str
    words: str
    zone: str
    playbook: str
    enabled: bool
    next_at: Sequence[float]
    last_at: float | None
    last_run: str
    problem: str = ""
    overlap: str = "start"


@dataclass(frozen=True, slots=True)
class System:
    """The installation: its workers, its recorder, its journal."""

    workers: Sequence[Mapping[str, object]]
    recorder: Mapping[str, Json]
    journal: Mapping[str, Json]
    about: Mapping[str, Json]
    pool: Mapping[str, Json]
    """Whether the pool works or pauses, and after what."""
    poison: Sequence[Mapping[str, Json]]
    """The steps whose tries fail at once."""
    parked: Sequence[Mapping[str, Json]]
    """The runs that wait until this installation can run them."""


class Pages(Protocol):
    """Everything that a page reads."""

    def now(self) -> float:
        """Seconds since the epoch."""
        ...

    def paths(self) -> list[str]:
        """The paths of all playbooks, sorted."""
        ...

    def hardware(self) -> list[str]:
        """The classes of hardware that there are, sorted."""
        ...

    async def runs(self, wanted: RunFilter) -> list[RunLine]:
        """Return runs, newest first."""
        ...

    def said(self, run: str) -> list[ProgressView]:
        """Return what running attempts of a run told of how far they are."""
        ...

    async def run(self, run: str) -> RunView | None:
        """Return one run, folded, or None."""
        ...

    async def events(self, run: str, after: int, limit: int) -> list[Recorded]:
        """Return events of a run whose sequence is above ``after``, in order."""
        ...

    async def proposals(self) -> list[Dossier]:
        """Return every proposal, the last moved first."""
        ...

    async def proposal(self, proposal: str) -> Dossier | None:
        """Return one proposal, or None."""
        ...

    async def facets(self, question: Question) -> dict[str, dict[str, int]]:
        """Return how many of what is found has each value of each facet."""
        ...

    async def causes(self, question: Question) -> list[Cause]:
        """Return failures grouped by cause, the most frequent first."""
        ...

    async def search(self, question: Question) -> list[Found]:
        """Return hits, best first.

        Raises:
            RecordAway: the record cannot be asked.
        """
        ...

    async def trends(self, question: TrendQuestion) -> Trend:
        """Return p50, p95, p99 and cost over time.

        Raises:
            RecordAway: the record cannot be asked.
        """
        ...

    async def playbooks(self) -> list[PlaybookLine]:
        """Return the catalogue by path."""
        ...

    async def playbook(self, path: str, number: int | None) -> PlaybookView | None:
        """Return one version of a playbook (the latest for None), or None."""
        ...

    async def schedules(self) -> list[ScheduleLine]:
        """Return the schedules by name."""
        ...

    async def system(self) -> System:
        """Return what the installation says of itself."""
        ...


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the policy says now: what speaks against it, and what an approval would start.

    ``bound_hash`` is what an approval given now would be bound to.
    """

    bound_hash: str = ""
    against: Sequence[tuple[str, str]] = ()
    plan: Sequence[str] = ()


class Desk(Protocol):
    """Where a decision goes. Refusals are of the tree in `control_plane.errors`."""

    async def judge(self, proposal: str) -> Judgement:
        """Return what the policy says of a proposal now."""
        ...

    async def approve(self, proposal: str, who: Principal, expected: str) -> None:
        """Approve what was read: refused when it hashes to something else than ``expected``."""
        ...

    async def reject(self, proposal: str, who: Principal, reason: str, note: str) -> None:
        """Reject, with a reason code and words."""
        ...

    async def roll_back(self, proposal: str, who: Principal, note: str) -> None:
        """Take a live or kept change back."""
        ...

    async def pause(self, proposal: str, who: Principal) -> None:
        """Draw no new unit to the candidate."""
        ...

    async def resume(self, proposal: str, who: Principal) -> None:
        """Go on after a pause."""
        ...


class News(Protocol):
    """Who wakes a page that follows something live (`control_plane.streams.Streams`)."""

    closing: bool

    def open(self, wanted: Callable[[Recorded], bool]) -> AbstractContextManager[asyncio.Event]:
        """Give an event that is set when something wanted was committed, or at the end."""
        ...
