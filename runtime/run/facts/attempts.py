"""The facts of an attempt: one try of a step, or of one batch of it."""

from __future__ import annotations

from typing import ClassVar

from runtime.run.facts.fact import Fact, Fault, Json


class AttemptScheduled(Fact, frozen=True):
    """One try of a step, or of one batch of it, may run. Written before anything runs.

    ``attempt`` is ``<run>/<step>/<batch>/<number>``; ``batch`` is -1 for a step that is
    not an ``each``; in a loop the step carries its round, as ``<step>~<round>``. ``key``
    is the idempotency key, the same over all tries. ``args`` are the rendered inputs of a
    step that is not an ``each``. ``start`` and ``items`` are the batch's item range.
    ``hedges`` is the attempt beside which this one begins, of the same ``number``.
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
    hedges: str | None = None


class AttemptLeased(Fact, frozen=True):
    """A worker may now act on an attempt whose effect happens at most once."""

    TYPE: ClassVar[str] = "attempt.leased"
    VERSION: ClassVar[int] = 1
    attempt: str
    step: str
    worker: str


class AttemptFinished(Fact, frozen=True):
    """How one try ended, and all that is known about it.

    ``scheduled`` is the stream sequence of its ``attempt.scheduled``. ``retry_at``
    (seconds since the epoch) is set when another try follows. ``fatal``: this batch's
    failure is more than the step allows, nothing more of it is scheduled. ``arcs``, ``sets`` and
    ``value`` are set on the attempt that ends its step: the targets taken, the context
    values set, and the step's value when it differs from ``result`` (an ``each``).
    ``moot``: another try of the same work, begun beside it, decided the work or still may;
    nothing follows from this one, but it had its cost. ``rescued``: a candidate of an experiment
    failed for good, and the try that follows has the stable configuration. ``folds`` are what
    a batch gives to each name of its step's ``reduce``, in place of ``result``: name →
    {reducer: value}. ``no_way``: why the step failed though its work may have succeeded: there
    was no arc to go on by (with ``arcs`` that was caught), or the join it worked for has fired
    without it.
    Seconds: ``queue_s`` from scheduled to handed to a worker, ``run_s`` in the tool,
    ``total_s`` their sum. ``cost_usd`` is price × reserved slot time + ``spend_usd``;
    None when no price is known. ``copied``: it happened in the run that this one goes on
    from, and was measured, paid and counted there. ``tokens`` and ``calls`` are what its tool
    reported beside ``spend_usd``. ``over_budget``: another try would have followed, but the
    step's retry budget was spent, as the fault says.
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
    moot: bool = False
    rescued: bool = False
    folds: dict[str, Json] | None = None
    no_way: Fault | None = None
    copied: bool = False
    tokens: int = 0
    calls: int = 0
    over_budget: bool = False

    @property
    def went_down(self) -> bool:
        """Whether it was lost with the server, and no worker is known to have died at it.

        That says nothing of the step: it may never have begun.
        """
        told = self.fault is None or self.fault.cls == "lost"
        return self.outcome == "lost" and not self.worker and told

    @property
    def speaks_against(self) -> bool:
        """Whether it is a failure of its step: not if another try beat it, or it went down."""
        beaten = self.moot and self.outcome == "cancelled"
        return self.outcome != "succeeded" and not beaten and not self.went_down
