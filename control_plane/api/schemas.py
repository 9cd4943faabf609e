"""What a client sends: one value per request, strict about names it does not know.

Answers are the services' own views; only what comes in needs a shape of its own.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

Name = Annotated[str, Meta(min_length=1, max_length=200)]
Text = Annotated[str, Meta(max_length=4000)]
Values = dict[str, Any]


class Sent(Struct, frozen=True, forbid_unknown_fields=True):
    """A body a client sends."""


class RunSubmit(Sent, frozen=True):
    """Start a run of a registered playbook. ``version`` is a hash or a number; else the latest."""

    playbook: Name
    version: str | None = None
    workload: Values = field(default_factory=dict)
    overrides: dict[str, Values] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    priority: int = 0
    key: Annotated[str, Meta(min_length=1, max_length=200)] | None = None


class Reason(Sent, frozen=True):
    """Why something is done."""

    reason: Text = ""


class Cancel(Sent, frozen=True):
    """Why a run is to end, and whether ``now``: without a grace for what runs."""

    reason: Text = ""
    now: bool = False


class RunRetry(Sent, frozen=True):
    """From which step an ended run goes on as a new one; without one, where it stopped.

    ``round`` counts the step's firings in a loop from 1. ``failed_only`` keeps an ``each``
    step's finished batches. ``once`` lets a step act again that may act only once and has.
    ``version`` is a number or a hash: what is left then runs other code.
    """

    step: Name | None = None
    round: Annotated[int, Meta(ge=1)] | None = None
    failed_only: bool = False
    once: bool = False
    version: Name | None = None
    reason: Text = ""


class RunFilter(Sent, frozen=True):
    """Which runs: all that meet every condition. Times are seconds since the epoch."""

    playbook: Name | None = None
    status: Name | None = None
    labels: dict[str, str] = field(default_factory=dict)
    since: float | None = None
    until: float | None = None
    step: Name | None = None
    error_class: Name | None = None


class RunActions(Sent, frozen=True):
    """Do something to every run that a filter means. ``all`` allows a filter without conditions.

    ``now`` is for cancel; ``name`` and ``value`` for signal; ``step`` and ``approved`` for
    answer; ``retry`` for retry.
    """

    action: Literal["pause", "resume", "cancel", "signal", "answer", "retry"]
    filter: RunFilter = field(default_factory=RunFilter)
    dry_run: bool = False
    all: bool = False
    reason: Text = ""
    now: bool = False
    name: Annotated[str, Meta(max_length=200)] = ""
    value: Any = None
    step: Annotated[str, Meta(max_length=200)] = ""
    approved: bool | None = None
    retry: RunRetry = field(default_factory=RunRetry)


class RunFork(Sent, frozen=True):
    """Go on from event ``at`` of a run as a new one. ``workload`` replaces inputs by name."""

    at: Annotated[int, Meta(ge=1)]
    workload: Values | None = None
    version: str | None = None


class SignalSend(Sent, frozen=True):
    """A signal for a run: the step that waits for it goes on with ``value``."""

    name: Name
    value: Any = None
    reason: Text = ""


class StepAnswer(Sent, frozen=True):
    """A person's answer to an ``approval`` step."""

    approved: bool
    note: Text = ""


class BundleSend(Sent, frozen=True):
    """A playbook and the files beside it, by relative name."""

    source: str
    files: dict[str, str] = field(default_factory=dict)


class Propose(Sent, frozen=True):
    """A change or an experiment that somebody proposes, with the evidence for it."""

    kind: Literal["change", "experiment"]
    playbook: Name
    step: Name
    knob_class: Name
    objective: Literal["cost", "time"]
    diff: list[Values]
    base: Values
    evidence: Values
    predicted: Values = field(default_factory=dict)
    note: Text = ""


class Approve(Sent, frozen=True):
    """Approve what was read: the hash says which content that was."""

    bound_hash: str | None = None


class Reject(Sent, frozen=True):
    """Reject, with a reason code and words."""

    reason: Name = "rejected"
    note: Text = ""


class Note(Sent, frozen=True):
    """Words that go with a decision."""

    note: Text = ""


class ScheduleSend(Sent, frozen=True):
    """When a playbook runs by itself."""

    cron: Name
    playbook: Name
    zone: Name = "UTC"
    workload: Values = field(default_factory=dict)
    enabled: bool = True
    catch_up: Literal["latest", "none", "all"] = "latest"
    overlap: Literal["start", "skip"] = "start"


class KillSend(Sent, frozen=True):
    """Set or release the kill switch; ``scope`` is ``*``, a playbook or playbook#step."""

    scope: Name = "*"
    on: bool = True
    reason: Text = ""


class PoisonClear(Sent, frozen=True):
    """Let a step run again whose attempts killed their workers."""

    playbook: Name
    step: Name
    reason: Text = ""
