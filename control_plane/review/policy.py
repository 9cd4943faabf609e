"""The guardrail policy as frozen values: what may be changed, how it is tried, when it waits.

Each field carries how it is read from YAML (`policy_file`) and which of two values is the
more careful (`tighten`), so that neither can forget a field. The defaults are those of
the production profile.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from fnmatch import fnmatchcase
from typing import Any, Final

from control_plane.review.scalars import (
    DAY_S,
    Limit,
    count,
    flag,
    knob,
    limit,
    mode,
    moment,
    number,
    percent,
    seconds,
    text,
)
from runtime.run.layers import digest


def _key(read: Callable[[Any], Any], default: Any, stricter: str = "", many: str = "") -> Any:
    """A field read by ``read``; ``stricter`` (min, max) is the more careful of two values.

    ``many`` is ``list`` or ``mapping`` when the field holds several of them.
    """
    meta = {"read": read, "stricter": stricter, "many": many}
    if default is MISSING:
        return field(metadata=meta)
    return field(default=default, metadata=meta)


def _part(read: Callable[[Any], Any]) -> dict[str, Any]:
    """A field that holds a value of our own."""
    return {"read": read, "stricter": "", "many": ""}


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a ramp: the candidate's share of the blocks, and how many it must have."""

    share: float = _key(percent, MISSING, "min")
    min_candidate: int = _key(count, MISSING, "max")


@dataclass(frozen=True, slots=True)
class Bound:
    """Hard bounds of a knob, above what a playbook declares."""

    knob: str = _key(knob, MISSING)
    playbook: str = _key(text, "*")
    step: str = _key(text, "*")
    min: float = _key(number, -math.inf)
    max: float = _key(number, math.inf)


@dataclass(frozen=True, slots=True)
class Deny:
    """Scopes that nothing may change."""

    playbook: str = _key(text, "*")
    step: str = _key(text, "*")
    knob: str = _key(knob, "*")
    why: str = _key(text, "")


@dataclass(frozen=True, slots=True)
class Freeze:
    """A time in which nothing moves forward; rolling back is always allowed."""

    start: float = _key(moment, MISSING)
    end: float = _key(moment, MISSING)
    playbook: str = _key(text, "*")
    why: str = _key(text, "")


@dataclass(frozen=True, slots=True)
class Shadow:
    """The replay of history before a trial: how many runs, and when it speaks against a change.

    The replay's own errors on recorded runs are why ``max_worse`` is no smaller
    (docs/concepts/what-if.md).
    """

    runs: int = _key(count, 5)
    min_runs: int = _key(count, 3)
    max_worse: float = _key(percent, 0.20, "min")
    max_error: float = _key(percent, 0.15, "max")
    vetoes: bool = _key(flag, True, "max")


_SHADOW: Final = Shadow()


@dataclass(frozen=True, slots=True)
class Verify:
    """The statistics of a trial. They are frozen into the experiment when it starts."""

    harm_alpha: float = _key(percent, 0.05, "max")
    gain_alpha: float = _key(percent, 0.05, "min")
    min_gain: float = _key(percent, 0.05, "max")
    min_units: int = _key(count, 30, "max")
    noninferiority: float = _key(percent, 0.05, "min")
    min_pairs: int = _key(count, 8, "max")
    horizon_runs: int = _key(count, 50, "min")
    horizon_s: float = _key(seconds, 14 * DAY_S, "min")
    t_opt: int = _key(count, 100)
    shadow: Shadow = field(default=_SHADOW, metadata=_part(Shadow))


@dataclass(frozen=True, slots=True)
class Switchback:
    """Drained blocks that alternate between the arms, for knobs that share a limit."""

    batches: int = _key(count, 20)
    of_run: float = _key(percent, 0.25, "min")


_REACH: Final = Limit(factor=8.0)


@dataclass(frozen=True, slots=True)
class Explore:
    """An experiment of several arms: their whole share, the samples each must have, how far."""

    share: float = _key(percent, 0.60, "min")
    min_units: int = _key(count, 20, "max")
    reach: Limit = field(default=_REACH, metadata=_part(limit))


@dataclass(frozen=True, slots=True)
class Gates:
    """What the calendar and the machines must have shown before a change is kept."""

    hold_s: float = _key(seconds, 0.0, "max")
    daily_cycle: bool = _key(flag, True, "max")
    nodes: int = _key(count, 2, "max")
    days: int = _key(count, 7, "max")
    watch_s: float = _key(seconds, 7 * DAY_S, "max")
    holdback: float = _key(percent, 0.05, "max")


@dataclass(frozen=True, slots=True)
class Blast:
    """How much may be in the air at once."""

    max_live: int = _key(count, 5, "min")
    starts_per_hour: int = _key(count, 3, "min")
    cold_start_s: float = _key(seconds, 1800.0, "max")


_RAMP: Final = (Stage(0.05, 30), Stage(0.20, 100), Stage(0.50, 200))
_STEPS: Final = (("each.batch", Limit(factor=2.0)), ("each.in_flight", Limit(factor=2.0)))
_VERIFY, _SWITCHBACK, _EXPLORE = Verify(), Switchback(), Explore()
_GATES, _BLAST = Gates(), Blast()


@dataclass(frozen=True, slots=True)
class Policy:
    """All guardrails of an installation. ``source`` is the YAML text that it was read from."""

    profile: str = _key(text, "production")
    mode: str = _key(mode, "review")
    min_worthwhile: float = _key(percent, 0.05, "max")
    min_support: float = _key(percent, 0.8, "max")
    joint: bool = _key(flag, False, "min")
    step_change: tuple[tuple[str, Limit], ...] = _key(limit, _STEPS, many="mapping")
    bounds: tuple[Bound, ...] = _key(Bound, (), many="list")
    deny: tuple[Deny, ...] = _key(Deny, (), many="list")
    freeze: tuple[Freeze, ...] = _key(Freeze, (), many="list")
    ramp: tuple[Stage, ...] = _key(Stage, _RAMP, many="list")
    verify: Verify = field(default=_VERIFY, metadata=_part(Verify))
    switchback: Switchback = field(default=_SWITCHBACK, metadata=_part(Switchback))
    explore: Explore = field(default=_EXPLORE, metadata=_part(Explore))
    gates: Gates = field(default=_GATES, metadata=_part(Gates))
    blast: Blast = field(default=_BLAST, metadata=_part(Blast))
    expire_s: float = _key(seconds, 7 * DAY_S, "min")
    snooze_s: float = _key(seconds, 30 * DAY_S, "max")
    rollback_deadline_s: float = _key(seconds, 900.0, "min")
    source: str = ""

    @property
    def hash(self) -> str:
        """The hash of what the policy says, whatever its text looks like."""
        return digest(describe(self))

    def frozen(self, playbook: str, at: float) -> Freeze | None:
        """The freeze that holds this playbook at that moment, or None."""
        return next(
            (
                f
                for f in self.freeze
                if fnmatchcase(playbook, f.playbook) and f.start <= at < f.end
            ),
            None,
        )

    def denial(self, playbook: str, step: str, name: str) -> Deny | None:
        """The rule that denies changes of this knob here, or None."""
        return next(
            (
                d
                for d in self.deny
                if fnmatchcase(playbook, d.playbook)
                and fnmatchcase(step, d.step)
                and fnmatchcase(name, d.knob)
            ),
            None,
        )

    def range(self, playbook: str, step: str, name: str) -> tuple[float, float]:
        """The hard bounds of a knob here."""
        hit = [
            b
            for b in self.bounds
            if fnmatchcase(playbook, b.playbook)
            and fnmatchcase(step, b.step)
            and fnmatchcase(name, b.knob)
        ]
        low = max((b.min for b in hit), default=-math.inf)
        return low, min((b.max for b in hit), default=math.inf)

    def largest_step(self, name: str) -> Limit:
        """How far one step of a knob may go."""
        return dict(self.step_change).get(name, Limit())


def describe(value: Any) -> Any:
    """Return the policy as JSON values, without its text."""
    if isinstance(value, Limit):
        return str(value)
    if hasattr(value, "__dataclass_fields__"):
        return {f.name: describe(getattr(value, f.name)) for f in fields(value) if f.metadata}
    if isinstance(value, tuple):
        return [describe(v) for v in value]
    return None if isinstance(value, float) and math.isinf(value) else value
