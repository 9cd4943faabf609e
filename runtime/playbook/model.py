"""A playbook as frozen values: what the author wrote, checked and given types.

Expressions stay text here (``Template`` strings and bare conditions); durations are
seconds; every value knows nothing of files, clocks or processes. ``parse`` makes these
values and nobody else does.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, TypeAlias

Json: TypeAlias = Any
Effect: TypeAlias = Literal["none", "idempotent", "once"]
Objective: TypeAlias = Literal["cost", "time"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the YAML something stands; lines and columns count from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Input:
    """One declared input of a playbook."""

    name: str
    type: Literal["string", "integer", "number", "boolean", "object", "array", "any"] = "any"
    default: Json = None
    required: bool = False
    min: float | None = None
    max: float | None = None
    choices: tuple[Json, ...] = ()
    description: str = ""


@dataclass(frozen=True, slots=True)
class Arc:
    """A way on from a step. Exactly one of ``when``, ``otherwise``, ``on`` or none is set.

    ``max`` is how often an arc back to the head of its loop may be taken.
    """

    to: str
    when: str | None = None
    otherwise: bool = False
    on: tuple[str, ...] = ()
    max: int | None = None


@dataclass(frozen=True, slots=True)
class Each:
    """The step is mapped over items, cut in batches by the runtime.

    ``over`` is the template for the items. ``failures_allow`` is a share of items
    (0.01 is 1%) or, when ``failures_count`` is set, a number of items. ``reduce`` says what
    the results of the batches come to, by name; they are gathered when it is empty.
    """

    over: str
    batch: int = 1
    in_flight: int = 1
    failures_allow: float = 0.0
    failures_count: int | None = None
    reduce: dict[str, Reduce] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Retry:
    """When to try again: by class of error, with growing delays."""

    attempts: int = 1
    backoff: Literal["exponential", "linear", "constant"] = "exponential"
    initial_s: float = 0.2
    max_s: float = 10.0
    jitter: Literal["full", "none"] = "full"
    on: tuple[str, ...] = ("transient", "timeout", "throttled")
    budget: float | None = None
    """The share of first tries that may be tried again, over all runs; None for all."""


@dataclass(frozen=True, slots=True)
class Hedge:
    """Another try begins beside one that has run for ``after_s``, ``max`` of them at most."""

    after_s: float
    max: int = 1


@dataclass(frozen=True, slots=True)
class Start:
    """For which hours of the day, in ``zone``, a step may wait: ``at_most_s``, and no longer.

    What has waited begins within ``spread_s`` after they open, each run at its own moment.
    """

    hours: str = "any"
    at_most_s: float = 86_400.0
    zone: str = "UTC"
    spread_s: float = 0.0


DEFAULT: Final = "default"
"""What the step's own tool is called among its alternatives."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another tool with the same contract; ``args`` are its own ``with``, None is the step's."""

    tool: dict[str, Json]
    args: dict[str, Json] | None = None


@dataclass(frozen=True, slots=True)
class Knob:
    """What may be tuned on a step, within which bounds or among which choices."""

    name: str
    min: float | None = None
    max: float | None = None
    choices: tuple[Json, ...] = ()


@dataclass(frozen=True, slots=True)
class Publishes:
    """The step's result becomes a version of a data product."""

    product: str
    format: Literal["parquet", "arrow"] = "parquet"
    contract: str | None = None


@dataclass(frozen=True, slots=True)
class Join:
    """When a step with several inputs fires.

    ``within_s`` counts from the first live token; then ``at_deadline`` says what happens:
    ``fire``, ``fail``, or the name of the step that takes over. ``losers`` are what is still
    under way for the join's sake when it has fired.
    """

    kind: Literal["all", "any", "at_least"] = "all"
    n: int = 0
    within_s: float | None = None
    at_deadline: str = "fail"
    losers: Literal["finish", "cancel"] = "finish"

    @property
    def quorum(self) -> int | None:
        """How many live tokens are enough; None when every token must have come."""
        return None if self.kind == "all" else 1 if self.kind == "any" else self.n

    @property
    def takeover(self) -> str | None:
        """The step that takes over when the join is late, if one does."""
        named = self.within_s is not None and self.at_deadline not in ("fire", "fail")
        return self.at_deadline if named else None


@dataclass(frozen=True, slots=True)
class Repeat:
    """The step runs again until the bare expression ``until`` holds, ``max`` times at most."""

    until: str
    max: int
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Reduce:
    """A value for the context that is combined with what is there."""

    op: Literal["add", "append", "merge", "min", "max"]
    value: Json


@dataclass(frozen=True, slots=True)
class Limit:
    """A resource that steps share: so many at once, so many begun per second."""

    in_flight: int | None = None
    per_second: float | None = None


@dataclass(frozen=True, slots=True)
class Slo:
    """What the step is meant to keep: p95 seconds of an attempt, share of successes."""

    p95_s: float | None = None
    success: float | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """A transition of the net: consumes tokens, runs a tool, produces tokens.

    ``tool`` is None for a step that only routes; else ``{"kind": …, …}`` with templates
    inside. ``args`` is the step's ``with``. ``alternative`` is which of its tools it has: its
    own, unless it is a `variant`. ``place`` is the step's place in the YAML and
    ``places`` those of its keys (dotted, ``tool.call``).
    """

    name: str
    tool: dict[str, Json] | None = None
    arcs: tuple[Arc, ...] = ()
    split: Literal["all", "exclusive", "inclusive"] = "all"
    join: Join = field(default_factory=Join)
    each: Each | None = None
    retry: Retry = field(default_factory=Retry)
    hedge: Hedge | None = None
    start: Start | None = None
    timeout_s: float | None = None
    total_timeout_s: float | None = None
    queue_timeout_s: float | None = None
    heartbeat_s: float | None = None
    memory_bytes: int | None = None
    output_bytes: int | None = None
    processes: int | None = None
    effect: Effect = "idempotent"
    runs_on: str = "local"
    args: dict[str, Json] = field(default_factory=dict)
    sets: dict[str, Json] = field(default_factory=dict)
    alternatives: dict[str, Alternative] = field(default_factory=dict)
    alternative: str = DEFAULT
    tune: tuple[Knob, ...] = ()
    slo: Slo = field(default_factory=Slo)
    publishes: Publishes | None = None
    repeat: Repeat | None = None
    uses: tuple[str, ...] = ()
    compensate: dict[str, Json] | None = None
    record_text: bool = True
    place: Place = Place(1, 1)
    places: dict[str, Place] = field(default_factory=dict)

    def knob(self, name: str) -> Knob | None:
        """Return the declaration of a knob, or None when it may not be tuned."""
        return next((k for k in self.tune if k.name == name), None)

    def variant(self, name: str) -> Step:
        """Return the step as it is with one of its alternatives for a tool.

        Raises:
            KeyError: there is none of that name.
        """
        if name == self.alternative:
            return self
        other = self.alternatives[name]
        args = self.args if other.args is None else other.args
        return replace(self, tool=other.tool, args=args, alternative=name)


@dataclass(frozen=True, slots=True)
class Playbook:
    """A workload: inputs and steps. The first step is where a run starts."""

    path: str
    steps: tuple[Step, ...]
    description: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    inputs: tuple[Input, ...] = ()
    objective: Objective = "cost"
    secrets: tuple[str, ...] = ()
    limits: dict[str, Limit] = field(default_factory=dict)
    deadline_s: float | None = None
    finally_: tuple[Step, ...] = ()
    _named: dict[str, Step] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        undone = (compensation(s) for s in self.steps if s.compensate is not None)
        named = {s.name: s for s in (*self.steps, *self.finally_, *undone)}
        object.__setattr__(self, "_named", named)

    def step(self, name: str) -> Step:
        """Return the step of that name, one of ``finally`` or a compensation among them.

        Raises:
            KeyError: there is none.
        """
        return self._named[name]


def compensation(step: Step) -> Step:
    """Return the step that undoes ``step``; it is called ``<name>.compensate``.

    No budget holds it back: what was done is undone though much else fails.
    """
    return Step(
        f"{step.name}.compensate", tool=step.compensate, retry=replace(step.retry, budget=None),
        timeout_s=step.timeout_s, heartbeat_s=step.heartbeat_s, memory_bytes=step.memory_bytes,
        output_bytes=step.output_bytes, processes=step.processes, runs_on=step.runs_on,
        args=step.args, place=step.place,
    )  # fmt: skip
