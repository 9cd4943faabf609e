"""Comparing two policies: which is the more careful, field by field.

A running proposal obeys the policy that it was approved under and today's at once, and
of each field whichever is stricter: an edit can only ever make it more careful.

>>> from control_plane.review.policy import Policy
>>> tighten(Policy(mode="review"), Policy(mode="advise")).mode
'advise'
"""

from __future__ import annotations

from dataclasses import Field, fields, replace
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from control_plane.review.policy import Policy, Stage, describe
from control_plane.review.scalars import MODES, Limit

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")
Steps: TypeAlias = tuple[tuple[str, Limit], ...]


def tighten(approved: Policy, today: Policy) -> Policy:
    """Return the policy that is, field by field, the stricter of the two.

    Denials, bounds and freezes of both hold. The order of the arguments decides only
    fields that know no stricter side (the profile's name, the horizon's design point).
    """
    changes: dict[str, Any] = {f.name: _stricter(f, approved, today) for f in _plain(approved)}
    for part in ("verify", "switchback", "explore", "gates", "blast"):
        changes[part] = _tighten_part(getattr(approved, part), getattr(today, part))
    shadow = _tighten_part(approved.verify.shadow, today.verify.shadow)
    changes["verify"] = replace(changes["verify"], shadow=shadow)
    for rules in ("deny", "bounds", "freeze"):
        both = (*getattr(approved, rules), *getattr(today, rules))
        changes[rules] = tuple(dict.fromkeys(both))
    reach = _narrower(approved.explore.reach, today.explore.reach)
    changes["explore"] = replace(changes["explore"], reach=reach)
    changes["mode"] = min(approved.mode, today.mode, key=MODES.index)
    changes["step_change"] = _tighten_steps(approved.step_change, today.step_change)
    changes["ramp"] = _tighten_ramp(approved.ramp, today.ramp)
    return replace(approved, **changes)


def _plain(value: Any) -> list[Field[Any]]:
    return [f for f in fields(value) if f.metadata.get("stricter")]


def _stricter(f: Field[Any], a: Any, b: Any) -> Any:
    pick = min if f.metadata["stricter"] == "min" else max
    return pick(getattr(a, f.name), getattr(b, f.name))


def _tighten_part(a: T, b: T) -> T:
    changes = {f.name: _stricter(f, a, b) for f in _plain(a)}
    return replace(a, **changes)


def _tighten_steps(a: Steps, b: Steps) -> Steps:
    mine, theirs, free = dict(a), dict(b), Limit()
    names = sorted({*mine, *theirs})
    return tuple((n, _narrower(mine.get(n, free), theirs.get(n, free))) for n in names)


def _narrower(a: Limit, b: Limit) -> Limit:
    return Limit(min(a.factor, b.factor), min(a.difference, b.difference))


def _tighten_ramp(a: tuple[Stage, ...], b: tuple[Stage, ...]) -> tuple[Stage, ...]:
    longer, shorter = (a, b) if len(a) >= len(b) else (b, a)
    head = [_tighten_part(x, y) for x, y in zip(longer, shorter, strict=False)]
    return (*head, *longer[len(shorter) :])


def relaxations(policy: Policy, reference: Policy) -> list[str]:
    """Say in which fields a policy is less careful than a reference, one line each."""
    mine, theirs = _flat(describe(policy)), _flat(describe(reference))
    tight = _flat(describe(tighten(policy, reference)))
    return [
        f"{key}: {mine[key]} (in {reference.profile}: {theirs.get(key)})"
        for key in mine
        if key in theirs and mine[key] != tight.get(key) and key != "profile"
    ]


def _flat(value: Any, where: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {where: value}
    out: dict[str, Any] = {}
    for key, inner in value.items():
        out |= _flat(inner, f"{where}.{key}".lstrip("."))
    return out
