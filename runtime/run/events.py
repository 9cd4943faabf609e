"""The facts: everything that can happen, as a closed union of frozen values.

An event is the only thing that changes anything. A run, an overlay, an experiment,
a proposal, a policy and a schedule are each a fold over the events of one *stream*.
Fields hold JSON values only (``Json``), so an event reads the same in the journal,
in ClickHouse and in a test. A field that keeps its default is left out on the wire.

Streams: ``run/<id>``, ``playbook/<path>``, ``config/<hash>``, ``overlay/<path>``,
``experiment/<id>``, ``kill``, ``proposal/<id>``, ``policy/<profile>``,
``schedule/<name>``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, TypeAlias

Json: TypeAlias = Any
"""None, bool, int, float, str, or lists and string-keyed dicts of them."""

OUTCOMES: Final = ("succeeded", "failed", "timed_out", "lost", "cancelled")
ERROR_CLASSES: Final = (
    "transient", "timeout", "throttled", "permanent", "data", "resource", "lost",
    "unknown", "no_route", "no_quorum", "expression", "cancelled",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fault:
    """What went wrong in an attempt or a run.

    ``where`` points into the playbook or its code (``file:line``); ``fingerprint`` is
    equal for faults of one cause (numbers and ids masked).
    """

    cls: str
    message: str
    where: str = ""
    traceback: str = ""
    fingerprint: str = ""
    retry_after_s: float | None = None


# ---- catalogue --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PlaybookRegistered:
    """A version of a playbook entered the catalogue. ``version`` is the bundle's hash."""

    TYPE: ClassVar[str] = "playbook.registered"
    VERSION: ClassVar[int] = 1
    path: str
    version: str
    number: int
    source: str
    files: dict[str, str]
    actor: str
    description: str = ""
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ConfigStored:
    """One effective configuration of a step, stored once per distinct hash.

    ``chain`` is the list of layers that made it, in order, each ``{layer, source, values}``.
    """

    TYPE: ClassVar[str] = "config.stored"
    VERSION: ClassVar[int] = 1
    config: str
    playbook: str
    step: str
    effective: dict[str, Json]
    chain: list[Json]
    locked: bool = False


# ---- runs -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunSubmitted:
    """A run was asked for. ``overrides`` is step → knob → value, above every other layer.

    ``parent`` is the attempt that started it, ``depth`` how many runs are above it;
    ``children`` pins the version (hash) of each playbook that it may start. ``forked`` is
    ``{run, seq}`` of the run that this one goes on from.
    """

    TYPE: ClassVar[str] = "run.submitted"
    VERSION: ClassVar[int] = 1
    playbook: str
    version: str
    number: int
    workload: dict[str, Json]
    actor: str
    key: str | None = None
    overrides: dict[str, dict[str, Json]] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    priority: int = 0
    system: bool = False
    parent: str | None = None
    depth: int = 0
    children: dict[str, str] = field(default_factory=dict)
    forked: dict[str, Json] | None = None


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The run's first step may fire."""

    TYPE: ClassVar[str] = "run.started"
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class RunPaused:
    """Nothing new fires until the run is resumed."""

    TYPE: ClassVar[str] = "run.paused"
    VERSION: ClassVar[int] = 1
    actor: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RunResumed:
    """A paused run goes on."""

    TYPE: ClassVar[str] = "run.resumed"
    VERSION: ClassVar[int] = 1
    actor: str


@dataclass(frozen=True, slots=True)
class RunCancelRequested:
    """Somebody wants the run to end; what runs is given a grace period."""

    TYPE: ClassVar[str] = "run.cancel.requested"
    VERSION: ClassVar[int] = 1
    actor: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RunCancelled:
    """Nothing of the run is in flight any more; it ended by request."""

    TYPE: ClassVar[str] = "run.cancelled"
    VERSION: ClassVar[int] = 1
    trace: str = ""


@dataclass(frozen=True, slots=True)
class RunFailing:
    """A step failed and no arc caught it: nothing new fires, what runs is drained.

    ``step`` is empty when the run's deadline passed; what runs is then ended.
    """

    TYPE: ClassVar[str] = "run.failing"
    VERSION: ClassVar[int] = 1
    step: str
    fault: Fault


@dataclass(frozen=True, slots=True)
class RunCompleted:
    """Every token is consumed. ``result`` is the value of the last step, or a reference.

    ``trace`` is the running hash of every marking: a replay must come to the same.
    """

    TYPE: ClassVar[str] = "run.completed"
    VERSION: ClassVar[int] = 1
    result: Json = None
    trace: str = ""


@dataclass(frozen=True, slots=True)
class RunFailed:
    """The run ended without proper completion."""

    TYPE: ClassVar[str] = "run.failed"
    VERSION: ClassVar[int] = 1
    step: str
    fault: Fault
    trace: str = ""


@dataclass(frozen=True, slots=True)
class ContextSet:
    """Values entered the run's context from outside a step."""

    TYPE: ClassVar[str] = "context.set"
    VERSION: ClassVar[int] = 1
    values: dict[str, Json]


@dataclass(frozen=True, slots=True)
class StepRouted:
    """A step ended without an attempt to end it. ``arcs`` are the targets taken.

    It has no tool, is an ``each`` over no items (``value`` is its empty result), could not
    be rendered, or ran out of time between two tries. With a ``fault`` and ``arcs`` the
    failure was caught.
    """

    TYPE: ClassVar[str] = "step.routed"
    VERSION: ClassVar[int] = 1
    step: str
    arcs: list[str] = field(default_factory=list)
    sets: dict[str, Json] = field(default_factory=dict)
    value: Json = None
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class EachCut:
    """Items ``[start, stop)`` of an ``each`` step were cut into batches of ``size``.

    Its batches are numbered from ``first_batch``. ``kind`` is ``all`` (no experiment),
    ``block`` (a unit of an experiment) or ``rescue`` (items of a failed or unfinished
    batch ``rescues``, cut again at the stable size). ``items`` is written on the first
    cut of a step alone: ``{"count": n, "source": value or reference}``. A ``drained``
    block starts only when the one before it is empty, and lets ``in_flight`` run at once.
    """

    TYPE: ClassVar[str] = "each.cut"
    VERSION: ClassVar[int] = 1
    step: str
    block: int
    kind: str
    start: int
    stop: int
    size: int
    first_batch: int
    in_flight: int
    config: str
    items: dict[str, Json] | None = None
    experiment: str | None = None
    arm: str | None = None
    share: float | None = None
    drained: bool = False
    pair: int | None = None
    rescues: int | None = None


@dataclass(frozen=True, slots=True)
class TimerSet:
    """Something of the run is due at ``due`` (seconds since the epoch)."""

    TYPE: ClassVar[str] = "timer.set"
    VERSION: ClassVar[int] = 1
    name: str
    due: float
    step: str = ""


@dataclass(frozen=True, slots=True)
class TimerFired:
    """A timer of the run came due."""

    TYPE: ClassVar[str] = "timer.fired"
    VERSION: ClassVar[int] = 1
    name: str


@dataclass(frozen=True, slots=True)
class SignalReceived:
    """A signal reached the run from outside."""

    TYPE: ClassVar[str] = "signal.received"
    VERSION: ClassVar[int] = 1
    name: str
    value: Json = None
    actor: str = ""


@dataclass(frozen=True, slots=True)
class ProductPublished:
    """A new version of a data product passed its contract and is the one readers see."""

    TYPE: ClassVar[str] = "product.published"
    VERSION: ClassVar[int] = 1
    step: str
    product: str
    number: int
    location: str
    media: str
    rows: int
    bytes: int
    sha256: str
    schema: dict[str, str]
    checks: list[Json] = field(default_factory=list)
    inputs: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class CheckFailed:
    """A contract check failed, so the product was not published."""

    TYPE: ClassVar[str] = "check.failed"
    VERSION: ClassVar[int] = 1
    step: str
    product: str
    checks: list[Json]


# ---- attempts ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AttemptScheduled:
    """One try of a step, or of one batch of it, may run. Written before anything runs.

    ``attempt`` is ``<run>/<step>/<batch>/<number>``; ``batch`` is -1 for a step that is
    not an ``each``; in a loop the step carries its round, as ``<step>~<round>``. ``key``
    is the idempotency key, the same over all tries. ``args`` are the rendered inputs of a
    step that is not an ``each``. ``start`` and ``items`` are the batch's item range.
    """

    TYPE: ClassVar[str] = "attempt.scheduled"
    VERSION: ClassVar[int] = 1
    attempt: str
    step: str
    number: int
    config: str
    key: str
    batch: int = -1
    block: int = -1
    start: int = 0
    items: int = 1
    args: dict[str, Json] | None = None
    experiment: str | None = None
    arm: str | None = None
    share: float | None = None


@dataclass(frozen=True, slots=True)
class AttemptLeased:
    """A worker may now act on an attempt whose effect happens at most once."""

    TYPE: ClassVar[str] = "attempt.leased"
    VERSION: ClassVar[int] = 1
    attempt: str
    step: str
    worker: str


@dataclass(frozen=True, slots=True)
class AttemptFinished:
    """How one try ended, and all that is known about it.

    ``scheduled`` is the stream sequence of its ``attempt.scheduled``. ``retry_at``
    (seconds since the epoch) is set when another try follows. ``fatal``: this batch's
    failure is more than the step allows, nothing more of it is scheduled. ``arcs``, ``sets`` and
    ``value`` are set on the attempt that ends its step: the targets taken, the context
    values set, and the step's value when it differs from ``result`` (an ``each``).
    Seconds: ``queue_s`` from scheduled to handed to a worker, ``run_s`` in the tool,
    ``total_s`` their sum. ``cost_usd`` is price × reserved slot time + ``spend_usd``;
    None when no price is known.
    """

    TYPE: ClassVar[str] = "attempt.finished"
    VERSION: ClassVar[int] = 1
    attempt: str
    step: str
    number: int
    outcome: str
    scheduled: int
    batch: int = -1
    fault: Fault | None = None
    retry_at: float | None = None
    fatal: bool = False
    queue_s: float = 0.0
    run_s: float = 0.0
    total_s: float = 0.0
    rows_in: int = 0
    rows_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    cpu_s: float = 0.0
    rss_peak: int = 0
    worker: str = ""
    hardware: str = ""
    environment: str = ""
    price_usd_hour: float | None = None
    cost_usd: float | None = None
    spend_usd: float = 0.0
    result: Json = None
    stdout: str = ""
    post_decision: bool = False
    arcs: list[str] | None = None
    sets: dict[str, Json] | None = None
    value: Json = None


# ---- layers -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OverlayAppended:
    """Approved knob values of one step became the stable ones, or were set back.

    ``bound`` is the hash of the step's tool, code and knob declaration: when the author
    changes those the entry is suspended. ``previous`` holds what the same keys were
    before (None: not set). A value of None in ``knobs`` removes the key.
    """

    TYPE: ClassVar[str] = "overlay.appended"
    VERSION: ClassVar[int] = 1
    playbook: str
    step: str
    knobs: dict[str, Json]
    previous: dict[str, Json]
    bound: str
    proposal: str
    author: str
    approver: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ExperimentStarted:
    """A share of a step's work is tried with other knob values, beside a control.

    ``arms`` maps an arm's name (``candidate`` or ``candidate.1``…) to its knob values; the
    ``control`` arm has the stable ones in ``base``. ``design`` is ``blocks``,
    ``switchback`` or ``run``. ``shares`` maps arm to share of the blocks, the rest is
    control. ``block_items`` is the number of items of a block. ``salt`` is random.
    ``bound`` is as in `OverlayAppended`. ``plan`` holds the frozen statistical settings.
    """

    TYPE: ClassVar[str] = "experiment.started"
    VERSION: ClassVar[int] = 1
    experiment: str
    proposal: str
    playbook: str
    step: str
    knob_class: str
    design: str
    base: dict[str, Json]
    arms: dict[str, dict[str, Json]]
    shares: dict[str, float]
    salt: str
    bound: str
    block_items: int
    plan: dict[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ExperimentRamped:
    """The experiment entered its next stage, with new shares."""

    TYPE: ClassVar[str] = "experiment.ramped"
    VERSION: ClassVar[int] = 1
    experiment: str
    stage: int
    shares: dict[str, float]


@dataclass(frozen=True, slots=True)
class ExperimentPaused:
    """No new unit is drawn to a candidate until it is resumed."""

    TYPE: ClassVar[str] = "experiment.paused"
    VERSION: ClassVar[int] = 1
    experiment: str
    actor: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ExperimentResumed:
    """Units are drawn again."""

    TYPE: ClassVar[str] = "experiment.resumed"
    VERSION: ClassVar[int] = 1
    experiment: str
    actor: str


@dataclass(frozen=True, slots=True)
class ExperimentEnded:
    """The experiment is over; everything new runs the stable configuration."""

    TYPE: ClassVar[str] = "experiment.ended"
    VERSION: ClassVar[int] = 1
    experiment: str
    reason: str


@dataclass(frozen=True, slots=True)
class KillSet:
    """The kill switch was set or released. ``scope`` is ``*``, a playbook or playbook#step."""

    TYPE: ClassVar[str] = "kill.set"
    VERSION: ClassVar[int] = 1
    scope: str
    on: bool
    actor: str
    reason: str = ""


# ---- review -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ProposalDrafted:
    """A diff over knobs of one step was proposed, with its evidence.

    ``kind`` is ``change`` (one candidate) or ``experiment`` (several, to learn).
    ``diff`` is a list of ``{knob, from, to}`` (change) or ``{knob, from, values}``
    (experiment). ``base`` holds the stable values of the proposal's own keys.
    ``evidence`` is the whole record with its content hash under ``id``. ``predicted`` is
    ``{objective: {lower, median, upper}}``, relative changes (-0.4 is 40% less) with a
    90% interval for the effect as it will be measured.
    """

    TYPE: ClassVar[str] = "proposal.drafted"
    VERSION: ClassVar[int] = 1
    proposal: str
    kind: str
    playbook: str
    step: str
    knob_class: str
    objective: str
    diff: list[Json]
    base: dict[str, Json]
    evidence: dict[str, Json]
    predicted: dict[str, Json]
    author: str
    key: str
    content: str
    cycle: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class ProposalMoved:
    """A proposal went from one state of its life to another.

    ``reason`` is a code of a closed list; ``bound_hash`` is the hash of diff, evidence,
    base and policy at that moment (on ``approve``).
    """

    TYPE: ClassVar[str] = "proposal.moved"
    VERSION: ClassVar[int] = 1
    proposal: str
    move: str
    source: str
    target: str
    actor: str
    reason: str
    note: str = ""
    bound_hash: str = ""
    policy_hash: str = ""
    stage: int = 0
    facts: dict[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VerdictReached:
    """What the measurements say so far or at the end: better, worse or inconclusive."""

    TYPE: ClassVar[str] = "verdict.reached"
    VERSION: ClassVar[int] = 1
    proposal: str
    experiment: str
    verdict: str
    reason: str
    units: dict[str, Json]
    statistics: dict[str, Json]
    final: bool = True


@dataclass(frozen=True, slots=True)
class OutcomeRecorded:
    """Predicted against realised, for the ledger. Effects are relative changes."""

    TYPE: ClassVar[str] = "outcome.recorded"
    VERSION: ClassVar[int] = 1
    proposal: str
    knob_class: str
    objective: str
    predicted: dict[str, Json]
    realised: float | None
    interval: list[Json]
    covered: bool | None
    units: dict[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LessonRecorded:
    """What a rejection, a rollback or an experiment taught."""

    TYPE: ClassVar[str] = "lesson.recorded"
    VERSION: ClassVar[int] = 1
    lesson: str
    proposal: str
    playbook: str
    step: str
    knob_class: str
    text: str
    reason: str
    content: str


@dataclass(frozen=True, slots=True)
class PolicySet:
    """A guardrail policy came into force."""

    TYPE: ClassVar[str] = "policy.set"
    VERSION: ClassVar[int] = 1
    profile: str
    text: str
    policy_hash: str
    actor: str


# ---- schedules --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ScheduleSet:
    """A schedule was made or changed."""

    TYPE: ClassVar[str] = "schedule.set"
    VERSION: ClassVar[int] = 1
    name: str
    cron: str
    zone: str
    playbook: str
    workload: dict[str, Json]
    actor: str
    enabled: bool = True
    catch_up: str = "latest"


@dataclass(frozen=True, slots=True)
class ScheduleRemoved:
    """A schedule is gone."""

    TYPE: ClassVar[str] = "schedule.removed"
    VERSION: ClassVar[int] = 1
    name: str
    actor: str


@dataclass(frozen=True, slots=True)
class ScheduleFired:
    """A scheduled time was claimed and its run submitted."""

    TYPE: ClassVar[str] = "schedule.fired"
    VERSION: ClassVar[int] = 1
    name: str
    scheduled_for: float
    run: str


RunEvent: TypeAlias = (
    RunSubmitted | RunStarted | RunPaused | RunResumed | RunCancelRequested | RunCancelled
    | RunFailing | RunCompleted | RunFailed | ContextSet | StepRouted | EachCut | TimerSet
    | TimerFired | SignalReceived | ProductPublished | CheckFailed | AttemptScheduled
    | AttemptLeased | AttemptFinished
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
CatalogueEvent: TypeAlias = PlaybookRegistered | ConfigStored
Event: TypeAlias = RunEvent | LayerEvent | ReviewEvent | ScheduleEvent | CatalogueEvent

TYPES: Final[dict[str, type[Event]]] = {
    cls.TYPE: cls
    for cls in (
        PlaybookRegistered, ConfigStored, RunSubmitted, RunStarted, RunPaused, RunResumed,
        RunCancelRequested, RunCancelled, RunFailing, RunCompleted, RunFailed, ContextSet,
        StepRouted, EachCut, TimerSet, TimerFired, SignalReceived, ProductPublished,
        CheckFailed, AttemptScheduled, AttemptLeased, AttemptFinished, OverlayAppended,
        ExperimentStarted, ExperimentRamped, ExperimentPaused, ExperimentResumed,
        ExperimentEnded, KillSet, ProposalDrafted, ProposalMoved, VerdictReached,
        OutcomeRecorded, LessonRecorded, PolicySet, ScheduleSet, ScheduleRemoved,
        ScheduleFired,
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Recorded:
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
