"""Reading ``hedge``: when a second try of the same work begins beside one that takes long.

Both may act, so only work that may be done twice can be hedged.
"""

from __future__ import annotations

from typing import Final

from runtime.playbook import keys
from runtime.playbook.model import Effect, Hedge
from runtime.playbook.part import Part

HEDGES: Final = 5
"""How many tries may begin beside a first one, at most."""
_HABITS: Final = {"delay": "after", "wait": "after", "attempts": "max", "tries": "max"}


def read_hedge(part: Part | None, step: Part, effect: Effect) -> Hedge | None:
    """Return when a step is hedged: ``hedge: 2s``, or ``hedge: {after: 2s, max: 1}``."""
    if part is None:
        return None
    if effect == "once":
        hint = "leave it out, or say effect: idempotent if the step may act twice"
        part.refuse("what happens at most once cannot be hedged", hint, at=part.key)
    if step.child("publishes") is not None:
        hint = "let a step of its own publish the result"
        part.refuse("a step that publishes cannot be hedged", hint, at=part.key)
    if part.node.kind == "scalar":
        after_s, most = part.duration("hedge"), None
    elif not part.is_map("hedge"):
        return None
    else:
        after_s, most = _read_map(part)
    return None if after_s is None else Hedge(after_s, most or 1)


def _read_map(part: Part) -> tuple[float | None, int | None]:
    part.keys(keys.HEDGE, habits=_HABITS)
    after, most = part.child("after"), part.child("max")
    if after is None:
        part.refuse("hedge says after how long", "add after: 2s")
    return (
        after.duration("hedge") if after is not None else None,
        most.whole("hedge.max", 1, HEDGES) if most is not None else None,
    )
