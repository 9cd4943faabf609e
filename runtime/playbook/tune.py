"""Reading what may be tuned: each knob with its bounds or choices.

The author's own value must lie within them, and the step must have what the knob turns.
"""

from __future__ import annotations

from typing import Final

from runtime.playbook import keys
from runtime.playbook.faults import did_you_mean
from runtime.playbook.hours import ANY, windows
from runtime.playbook.knobs import (
    DURATIONS,
    KNOBS,
    LATER,
    LIMITS,
    RETRYABLE,
    SHARES,
    SUBSETS,
    KnobClass,
    defaults,
)
from runtime.playbook.model import DEFAULT, Json, Knob, Step
from runtime.playbook.part import CLASS_HINT, WORD, Part
from runtime.playbook.start import read_hours

_CHOSEN: Final[dict[KnobClass, str]] = {
    "placement": "[cpu-small, cpu-large]", "alternative": "[default, cheap]",
    "schedule": "[any, 22-6], or {window: 4h}",
}  # fmt: skip
"""Classes of knobs that have choices alone, with how they are written."""
_WRITTEN: Final = {"retry.on": "[transient, timeout, throttled]"}
_WINDOWS: Final = (1, 2, 3, 4, 6, 8, 12)
"""Hours of windows that a day is made of."""
_NEEDED: Final = ("each", "timeout", "hedge", "alternatives", "start")
"""Keys that a step must have for their knobs to turn anything."""


def read_tune(part: Part | None, step_part: Part, step: Step) -> tuple[Knob, ...]:
    """Return the knobs of a step that may be tuned."""
    if part is None or not part.is_map("tune"):
        return ()
    part.keys(KNOBS, later=LATER)
    knobs = []
    for name, child in part.children().items():
        if name in KNOBS:
            knob = _knob(name, child)
            if knob is not None and _has(name, child, step_part):
                _within(knob, child, step_part, step)
                knobs.append(knob)
    return tuple(knobs)


def _knob(name: str, part: Part) -> Knob | None:
    if part.node.kind == "list":
        return Knob(name, choices=_choices(name, part))
    if not part.is_map(f"tune {name}"):
        return None
    part.keys(keys.BOUNDS)
    choices = part.child("choices")
    if choices is not None:
        return Knob(name, choices=_choices(name, choices))
    window = part.child("window")
    if window is not None:
        return _cut(name, window)
    written = _WRITTEN.get(name) or _CHOSEN.get(KNOBS[name])
    if written is not None:
        part.refuse(f"{name} has choices, not bounds", f"write {name}: {written}")
        return None
    low, high = (_bound(name, part, end) for end in ("min", "max"))
    if low is not None and high is not None and low > high:
        part.children()["max"].refuse(f"max {high:g} is below min {low:g}")
        return None
    return Knob(name, low, high) if low is not None and high is not None else None


def _cut(name: str, part: Part) -> Knob | None:
    """Return the choices among windows of one length, or none at all."""
    length_s = part.duration("window") if KNOBS[name] == "schedule" else None
    if KNOBS[name] != "schedule":
        part.refuse(f"{name} has no window", "write min and max, or choices", at=part.key)
    elif length_s is not None and length_s / 3600 not in _WINDOWS:
        part.refuse(
            "a day is not made of windows of that length", "write 1h, 2h, 3h, 4h, 6h, 8h or 12h"
        )
    elif length_s is not None:
        return Knob(name, choices=(ANY, *windows(round(length_s / 3600))))
    return None


def _bound(name: str, part: Part, end: str) -> float | None:
    child = part.child(end)
    if child is None:
        part.refuse(f"tune {name} needs min and max", f"add {end}: …")
        return None
    found: float | None = _knob_value(name, child)
    return found


def _choices(name: str, part: Part) -> tuple[Json, ...]:
    if not part.is_list("choices"):
        return ()
    if not part.elements():
        part.refuse("there is nothing to choose from")
    found = [_knob_value(name, element) for element in part.elements()]
    return tuple(value for value in found if value is not None)


def _knob_value(name: str, part: Part) -> Json:
    if name in LIMITS:
        return part.whole(name, *LIMITS[name])
    if name in DURATIONS:
        return part.duration(name)
    if name in SHARES:
        return _above_nothing(name, part)
    if name in SUBSETS:
        return part.choice("error class", RETRYABLE)
    if name == "alternatives":
        return part.name("alternative")
    if KNOBS[name] == "schedule":
        return read_hours(part)
    return part.text("hardware class", WORD, CLASS_HINT)


def _above_nothing(name: str, part: Part) -> float | None:
    found = part.share(name)
    if found == 0.0:
        part.refuse(f"a {name} of nothing allows no retry", "tune retry.attempts instead")
        return None
    return found


def _has(name: str, part: Part, step: Part) -> bool:
    """Whether the step has what the knob turns."""
    needs = name.partition(".")[0]
    if needs not in _NEEDED or step.child(needs) is not None:
        return True
    part.refuse(f"{name} cannot be tuned: the step has no {needs}", f"add {needs}", at=part.key)
    return False


def _within(knob: Knob, part: Part, step_part: Part, step: Step) -> None:
    """Hold the author's own value, if there is a sound one, against the knob's bounds."""
    if knob.name == "alternatives":
        _known_alternatives(part, step)
    value = defaults(step)[knob.name] if _is_stated(knob.name, step_part) else None
    if value is None:
        return
    if knob.name in SUBSETS:
        _all_chosen(knob, part, value)
    elif knob.choices and value not in knob.choices:
        part.refuse(f"the step's own {knob.name}, {value}, is not among the choices")
    elif knob.min is not None and knob.max is not None and not knob.min <= value <= knob.max:
        bounds = f"{knob.min:g} to {knob.max:g}"
        part.refuse(f"the step's own {knob.name}, {value:g}, is outside {bounds}")


def _all_chosen(knob: Knob, part: Part, value: Json) -> None:
    """Refuse choices that lack one which the author's own value has."""
    missing = [one for one in value if one not in knob.choices]
    if missing:
        part.refuse(f"the step's own {knob.name}, {missing[0]}, is not among the choices")


def _known_alternatives(part: Part, step: Step) -> None:
    """Refuse alternatives that the step does not have, and choices without its own tool."""
    known = (DEFAULT, *step.alternatives)
    choices = part if part.node.kind == "list" else part.child("choices")
    named = choices.elements() if choices is not None else []
    for element in named:
        if isinstance(element.value, str) and element.value not in known:
            hint = did_you_mean(element.value, known)
            element.refuse(f"{step.name} has no alternative {element.value}", hint)
    if named and DEFAULT not in [element.value for element in named]:
        part.refuse(f"the step's own tool, {DEFAULT}, is not among the choices")


def _is_stated(name: str, step: Part) -> bool:
    """Whether the author gave the knob a value that could be read."""
    owner, _, inner = name.partition(".")
    stated = step.child(owner)
    if stated is not None and name == "hedge" and stated.node.kind == "map":
        inner = "after"
    if stated is not None and inner:
        stated = stated.child(inner)
    if stated is None:
        return False
    alone = Part(stated.node, stated.path, stated.key, [])
    if name in SUBSETS:
        return bool(alone.words("error class", RETRYABLE))
    return _knob_value(name, alone) is not None
