"""The facts of the catalogue: versions of playbooks, configurations, and schedules."""

from __future__ import annotations

from typing import ClassVar

from msgspec import field

from runtime.run.facts.fact import Fact, Json


class PlaybookRegistered(Fact, frozen=True):
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


class ConfigStored(Fact, frozen=True):
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


class ScheduleSet(Fact, frozen=True):
    """A schedule was made or changed.

    ``catch_up`` says which times that were missed it makes up for: ``latest``, ``none`` or
    ``all``; ``overlap`` what it does at a time at which a run of it has not ended: ``start``
    another, or ``skip`` that time.
    """

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
    overlap: str = "start"


class ScheduleRemoved(Fact, frozen=True):
    """A schedule is gone."""

    TYPE: ClassVar[str] = "schedule.removed"
    VERSION: ClassVar[int] = 1
    name: str
    actor: str


class ScheduleFired(Fact, frozen=True):
    """A scheduled time was claimed and its run submitted."""

    TYPE: ClassVar[str] = "schedule.fired"
    VERSION: ClassVar[int] = 1
    name: str
    scheduled_for: float
    run: str


class StepPoisoned(Fact, frozen=True):
    """Attempts of a step version killed their workers in a row: further tries fail at once."""

    TYPE: ClassVar[str] = "step.poisoned"
    VERSION: ClassVar[int] = 1
    playbook: str
    version: str
    step: str
    deaths: int
    attempt: str
    told: str


class StepCleared(Fact, frozen=True):
    """A step version that was poison may run again: a try survived, or an operator said so."""

    TYPE: ClassVar[str] = "step.cleared"
    VERSION: ClassVar[int] = 1
    playbook: str
    version: str
    step: str
    actor: str
    reason: str = ""
