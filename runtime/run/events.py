"""The facts: everything that can happen, as a closed union of frozen values.

An event is the only thing that changes anything. A run, an overlay, an experiment,
a proposal, a policy and a schedule are each a fold over the events of one *stream*.
Fields hold JSON values only (``Json``), so an event reads the same in the journal,
in ClickHouse and in a test. A field that keeps its default is left out on the wire.

Streams: ``run/<id>``, ``playbook/<path>``, ``config/<hash>``, ``overlay/<path>``,
``experiment/<id>``, ``kill``, ``proposal/<id>``, ``policy/<profile>``,
``schedule/<name>``, ``poison/<path>``, ``budget/<path>``, ``trend/<path>``,
``capacity/<month>``.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from msgspec import Struct

from runtime.run.facts.attempts import (
    AttemptFinished,
    AttemptLeased,
    AttemptScheduled,
)
from runtime.run.facts.catalogue import (
    ConfigStored,
    PlaybookRegistered,
    ScheduleFired,
    ScheduleRemoved,
    ScheduleSet,
    StepCleared,
    StepPoisoned,
)
from runtime.run.facts.fact import (
    ERROR_CLASSES,
    OUTCOMES,
    Fact,
    Fault,
    Json,
)
from runtime.run.facts.layers import (
    ExperimentEnded,
    ExperimentPaused,
    ExperimentRamped,
    ExperimentResumed,
    ExperimentStarted,
    KillSet,
    OverlayAppended,
)
from runtime.run.facts.review import (
    LessonRecorded,
    OutcomeRecorded,
    PolicySet,
    ProposalDrafted,
    ProposalMoved,
    VerdictReached,
)
from runtime.run.facts.runs import (
    CheckFailed,
    ContextSet,
    EachCut,
    ProductPublished,
    RunCancelled,
    RunCancelRequested,
    RunCompleted,
    RunFailed,
    RunFailing,
    RunHurried,
    RunPaused,
    RunResumed,
    RunStarted,
    RunSubmitted,
    SignalReceived,
    StepHeld,
    StepRouted,
    TimerFired,
    TimerSet,
)
from runtime.run.facts.watching import (
    BudgetExceeded,
    BudgetWarned,
    CapacityHeld,
    TrendShifted,
)

RunEvent: TypeAlias = (
    RunSubmitted | RunStarted | RunPaused | RunResumed | RunCancelRequested | RunHurried
    | RunCancelled | RunFailing | RunCompleted | RunFailed | ContextSet | StepRouted
    | StepHeld | EachCut | TimerSet | TimerFired | SignalReceived | ProductPublished | CheckFailed
    | AttemptScheduled | AttemptLeased | AttemptFinished
)  # fmt: skip
LayerEvent: TypeAlias = (
    OverlayAppended | ExperimentStarted | ExperimentRamped | ExperimentPaused
    | ExperimentResumed | ExperimentEnded | KillSet
)  # fmt: skip
ReviewEvent: TypeAlias = (
    ProposalDrafted | ProposalMoved | VerdictReached | OutcomeRecorded | LessonRecorded
    | PolicySet
)  # fmt: skip
ScheduleEvent: TypeAlias = ScheduleSet | ScheduleRemoved | ScheduleFired
CatalogueEvent: TypeAlias = PlaybookRegistered | ConfigStored | StepPoisoned | StepCleared
WatchEvent: TypeAlias = BudgetWarned | BudgetExceeded | TrendShifted | CapacityHeld
Event: TypeAlias = (
    RunEvent | LayerEvent | ReviewEvent | ScheduleEvent | CatalogueEvent | WatchEvent
)  # fmt: skip

TYPES: Final[dict[str, type[Event]]] = {
    cls.TYPE: cls
    for cls in (
        PlaybookRegistered, ConfigStored, RunSubmitted, RunStarted, RunPaused, RunResumed,
        RunCancelRequested, RunHurried, RunCancelled, RunFailing, RunCompleted, RunFailed,
        ContextSet, StepRouted, StepHeld, EachCut, TimerSet, TimerFired, SignalReceived,
        ProductPublished, CheckFailed, AttemptScheduled, AttemptLeased, AttemptFinished,
        OverlayAppended,
        ExperimentStarted, ExperimentRamped, ExperimentPaused, ExperimentResumed,
        ExperimentEnded, KillSet, ProposalDrafted, ProposalMoved, VerdictReached,
        OutcomeRecorded, LessonRecorded, PolicySet, ScheduleSet, ScheduleRemoved,
        ScheduleFired, StepPoisoned, StepCleared, BudgetWarned, BudgetExceeded, TrendShifted,
        CapacityHeld,
    )
}  # fmt: skip


class Recorded(Struct, frozen=True, gc=False):
    """An event with its place in the journal.

    ``pos`` counts without gaps within ``writer`` (one server's life); ``stream_seq``
    counts from 1 within ``stream``; ``at`` is seconds since the epoch.
    """

    writer: int
    pos: int
    stream: str
    stream_seq: int
    at: float
    event: Event


__all__ = [
    "AttemptFinished",
    "AttemptLeased",
    "AttemptScheduled",
    "BudgetExceeded",
    "BudgetWarned",
    "CapacityHeld",
    "CatalogueEvent",
    "CheckFailed",
    "ConfigStored",
    "ContextSet",
    "ERROR_CLASSES",
    "EachCut",
    "Event",
    "ExperimentEnded",
    "ExperimentPaused",
    "ExperimentRamped",
    "ExperimentResumed",
    "ExperimentStarted",
    "Fact",
    "Fault",
    "Json",
    "KillSet",
    "LayerEvent",
    "LessonRecorded",
    "OUTCOMES",
    "OutcomeRecorded",
    "OverlayAppended",
    "PlaybookRegistered",
    "PolicySet",
    "ProductPublished",
    "ProposalDrafted",
    "ProposalMoved",
    "Recorded",
    "ReviewEvent",
    "RunCancelRequested",
    "RunCancelled",
    "RunCompleted",
    "RunEvent",
    "RunFailed",
    "RunFailing",
    "RunHurried",
    "RunPaused",
    "RunResumed",
    "RunStarted",
    "RunSubmitted",
    "ScheduleEvent",
    "ScheduleFired",
    "ScheduleRemoved",
    "ScheduleSet",
    "SignalReceived",
    "StepCleared",
    "StepHeld",
    "StepPoisoned",
    "StepRouted",
    "TYPES",
    "TimerFired",
    "TimerSet",
    "TrendShifted",
    "VerdictReached",
    "WatchEvent",
]
