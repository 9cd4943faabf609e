"""The facts of a run: how it began, moved on and ended."""

from __future__ import annotations

from typing import ClassVar

from msgspec import field

from runtime.run.facts.fact import Fact, Fault, Json


class RunSubmitted(Fact, frozen=True):
    """A run was asked for. ``overrides`` is step → knob → value, above every other layer.

    ``parent`` is the attempt that started it, ``depth`` how many runs are above it;
    ``children`` pins the version (hash) of each playbook that it may start. ``forked`` is
    ``{run, seq}`` of the run that this one goes on from. ``retried`` says how, when it was
    asked to go on from a step: ``{steps, undone, failed_only, once, reason}``. ``due`` is by
    when the run that waits for it has to know its end.
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
    retried: dict[str, Json] | None = None
    due: float | None = None


class RunStarted(Fact, frozen=True):
    """The run's first step may fire."""

    TYPE: ClassVar[str] = "run.started"
    VERSION: ClassVar[int] = 1


class RunPaused(Fact, frozen=True):
    """Nothing new fires until the run is resumed."""

    TYPE: ClassVar[str] = "run.paused"
    VERSION: ClassVar[int] = 1
    actor: str
    reason: str = ""


class RunResumed(Fact, frozen=True):
    """A paused run goes on."""

    TYPE: ClassVar[str] = "run.resumed"
    VERSION: ClassVar[int] = 1
    actor: str
    reason: str = ""


class RunCancelRequested(Fact, frozen=True):
    """Somebody wants the run to end; what runs is given a grace period, unless ``now``."""

    TYPE: ClassVar[str] = "run.cancel.requested"
    VERSION: ClassVar[int] = 1
    actor: str
    reason: str = ""
    now: bool = False


class RunHurried(Fact, frozen=True):
    """Somebody wants a run that is ending already to end sooner.

    What still runs of its flow is ended after the grace period, or ``now``, and then so is
    the compensation or ``finally`` step that runs.
    """

    TYPE: ClassVar[str] = "run.hurried"
    VERSION: ClassVar[int] = 1
    actor: str
    reason: str = ""
    now: bool = False


class RunCancelled(Fact, frozen=True):
    """Nothing of the run is in flight any more; it ended by request."""

    TYPE: ClassVar[str] = "run.cancelled"
    VERSION: ClassVar[int] = 1
    trace: str = ""


class RunFailing(Fact, frozen=True):
    """A step failed and no arc caught it: nothing new fires, what runs is drained.

    ``step`` is empty when the run's deadline passed; what runs is then ended.
    """

    TYPE: ClassVar[str] = "run.failing"
    VERSION: ClassVar[int] = 1
    step: str
    fault: Fault


class RunCompleted(Fact, frozen=True):
    """Every token is consumed. ``result`` is the value of the last step, or a reference.

    ``trace`` is the running hash of every marking: a replay must come to the same.
    """

    TYPE: ClassVar[str] = "run.completed"
    VERSION: ClassVar[int] = 1
    result: Json = None
    trace: str = ""


class RunFailed(Fact, frozen=True):
    """The run ended without proper completion."""

    TYPE: ClassVar[str] = "run.failed"
    VERSION: ClassVar[int] = 1
    step: str
    fault: Fault
    trace: str = ""


class ContextSet(Fact, frozen=True):
    """Values entered the run's context from outside a step."""

    TYPE: ClassVar[str] = "context.set"
    VERSION: ClassVar[int] = 1
    values: dict[str, Json]


class StepRouted(Fact, frozen=True):
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


class EachCut(Fact, frozen=True):
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


class StepHeld(Fact, frozen=True):
    """A step that could begin waits for its ``hours`` of the day, until ``due``.

    It has its tokens and begins then, with what was resolved now: ``config``, and how it was
    drawn to it in an ``experiment``. When the event was written is when it would have begun.
    ``zone`` is whose clock tells the hours.
    """

    TYPE: ClassVar[str] = "step.held"
    VERSION: ClassVar[int] = 1
    step: str
    due: float
    hours: str
    config: str
    experiment: str | None = None
    arm: str | None = None
    share: float | None = None
    zone: str = "UTC"


class TimerSet(Fact, frozen=True):
    """Something of the run is due at ``due`` (seconds since the epoch)."""

    TYPE: ClassVar[str] = "timer.set"
    VERSION: ClassVar[int] = 1
    name: str
    due: float
    step: str = ""


class TimerFired(Fact, frozen=True):
    """A timer of the run came due."""

    TYPE: ClassVar[str] = "timer.fired"
    VERSION: ClassVar[int] = 1
    name: str


class SignalReceived(Fact, frozen=True):
    """A signal reached the run from outside."""

    TYPE: ClassVar[str] = "signal.received"
    VERSION: ClassVar[int] = 1
    name: str
    value: Json = None
    actor: str = ""
    reason: str = ""


class ProductPublished(Fact, frozen=True):
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


class CheckFailed(Fact, frozen=True):
    """A contract check failed, so the product was not published."""

    TYPE: ClassVar[str] = "check.failed"
    VERSION: ClassVar[int] = 1
    step: str
    product: str
    checks: list[Json]
