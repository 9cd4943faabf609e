r"""Parse: a playbook's text becomes frozen values, or a list of everything wrong with it.

The text is read once, leniently, into a draft; the lint then looks over the whole. Only
when nothing was found is a `Playbook` made. The position of a fault is the value's for a
bad value, the key's for an unknown one, and points into an expression for those.

>>> parse("kind: Playbok\nworkflow: []", "p.yaml")
Traceback (most recent call last):
    ...
runtime.playbook.faults.PlaybookFaults: p.yaml:1:1 a playbook needs apiVersion (add apiVersion: trimtab/v1)
p.yaml:1:1 a playbook needs metadata (add metadata: {path: folder/name})
p.yaml:1:7 kind: unknown kind 'Playbok' (did you mean Playbook?)
p.yaml:2:11 workflow: a workflow has at least one step
"""  # noqa: E501

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from runtime.playbook import keys, lint
from runtime.playbook.blocks import PATH, PATH_HINT
from runtime.playbook.draft import Draft, StepDraft
from runtime.playbook.faults import PlaybookFault, PlaybookFaults
from runtime.playbook.inputs import TYPES, fits, objection
from runtime.playbook.model import Input, Json, Limit, Place, Playbook, Step
from runtime.playbook.part import NAME, NAME_HINT, Part
from runtime.playbook.steps import read_last, read_step
from runtime.playbook.syntax import WORDS
from runtime.playbook.tree import read

__all__ = ["parse", "PlaybookFault", "PlaybookFaults"]

_MISSING: Final = {
    "apiVersion": f"add apiVersion: {keys.API_VERSION}",
    "kind": f"add kind: {keys.KIND}",
    "metadata": "add metadata: {path: folder/name}",
    "workflow": "add workflow: with a list of steps",
}


def parse(text: str, name: str = "playbook.yaml") -> Playbook:
    """Return the playbook that a text describes.

    Raises PlaybookFaults with every fault at once; after a syntax error nothing can be
    judged, so that one stands alone.
    """
    root, faults = read(text, name)
    part = Part(root, "", root.place, faults)
    draft = Draft(faults)
    head = _head(part, draft)
    faults += lint.check(draft)
    if faults:
        raise PlaybookFaults(list(dict.fromkeys(faults)), name)
    return Playbook(
        steps=tuple(map(_finished, draft.steps)), inputs=tuple(draft.inputs),
        finally_=tuple(map(_finished, draft.last)), **head,
    )  # fmt: skip


def _finished(draft: StepDraft) -> Step:
    split: Any = draft.split
    arcs = tuple(arc for arc, _ in draft.arcs)
    if draft.step is None:
        raise AssertionError(f"{draft.name} has no faults and is no step")
    places = {**draft.step.places, **_places(draft)}
    return replace(draft.step, arcs=arcs, split=split, join=draft.join, places=places)


def _places(draft: StepDraft) -> dict[str, Place]:
    """Return where each arc's target stands."""
    return {f"next>{arc.to}": part.place for arc, part in reversed(draft.arcs)}


def _head(part: Part, draft: Draft) -> dict[str, Any]:
    """Read everything into the draft; return the playbook's own fields."""
    if part.node.kind != "map":
        part.refuse(
            "a playbook is a mapping of keys", f"begin with apiVersion: {keys.API_VERSION}"
        )
        return {}
    part.keys(keys.PLAYBOOK, habits={"steps": "workflow", "always": "finally"})
    for name, hint in _MISSING.items():
        if part.child(name) is None:
            part.refuse(f"a playbook needs {name}", hint)
    for name, only in (("apiVersion", keys.API_VERSION), ("kind", keys.KIND)):
        child = part.child(name)
        if child is not None:
            child.choice(name, (only,))
    draft.secrets = _secrets(part.child("secrets"))
    _inputs(part.child("workload"), draft)
    own = _metadata(part.child("metadata"))
    draft.path = own.get("path") or ""
    _steps(part.child("workflow"), draft)
    _last(part.child("finally"), draft)
    objective, deadline = part.child("objective"), part.child("deadline")
    return {
        **own,
        "limits": _limits(part.child("limits")),
        "objective": (objective and _objective(objective)) or "cost",
        "secrets": tuple(draft.secrets),
        "deadline_s": deadline.duration("deadline") if deadline else None,
    }


def _objective(part: Part) -> str | None:
    if part.node.kind == "map":
        part.refuse("an objective of several parts is not supported yet", "write cost or time")
        return None
    return part.choice("objective", ("cost", "time"))


def _metadata(part: Part | None) -> dict[str, Any]:
    if part is None or not part.is_map("metadata"):
        return {}
    part.keys(keys.METADATA, habits={"name": "path"})
    path, description, labels = (part.child(name) for name in keys.METADATA)
    if path is None:
        part.refuse("metadata needs path", PATH_HINT)
    return {
        "path": path.text("path", PATH, PATH_HINT) if path else None,
        "description": (description and description.text("description")) or "",
        "labels": _labels(labels) if labels is not None else {},
    }


def _labels(part: Part) -> dict[str, str]:
    if not part.is_map("labels"):
        return {}
    found = {}
    for name, child in part.children().items():
        if child.node.kind != "scalar" or child.value is None:
            child.refuse("a label is one word or number")
        found[name] = str(child.value)
    return found


def _secrets(part: Part | None) -> list[str]:
    if part is None or not part.is_list("secrets"):
        return []
    found = [element.name("secret") for element in part.elements()]
    return [name for name in found if name is not None]


def _steps(part: Part | None, draft: Draft) -> None:
    if part is None or not part.is_list("workflow"):
        return
    if not part.elements():
        part.refuse("a workflow has at least one step")
    for number, element in enumerate(part.elements(), start=1):
        draft.steps.append(read_step(element, number, draft))


def _last(part: Part | None, draft: Draft) -> None:
    if part is None or not part.is_list("finally"):
        return
    for number, element in enumerate(part.elements(), start=1):
        draft.last.append(read_last(element, number, draft))


def _limits(part: Part | None) -> dict[str, Limit]:
    if part is None or not part.is_map("limits"):
        return {}
    for name, child in part.children().items():
        if not NAME.fullmatch(name):
            child.refuse(f"{name!r} is no limit name", NAME_HINT, at=child.key)
    return {name: _limit(child) for name, child in part.children().items()}


def _limit(part: Part) -> Limit:
    if not part.is_map("a limit"):
        return Limit()
    part.keys(keys.LIMIT, habits={"concurrency": "in_flight", "rate": "per_second"})
    flying, rate = part.child("in_flight"), part.child("per_second")
    if flying is None and rate is None:
        part.refuse("a limit says how much it allows", "add in_flight or per_second")
    return Limit(
        flying.whole("in_flight", 1, 1_000_000) if flying is not None else None,
        _rate(rate) if rate is not None else None,
    )


def _rate(part: Part) -> float | None:
    found = part.number("per_second")
    if found is not None and not 0.001 <= found <= 1_000_000:
        part.refuse(f"per_second must be 0.001 to 1000000, not {found:g}")
    return found


# ---- inputs -----------------------------------------------------------------------------


def _inputs(part: Part | None, draft: Draft) -> None:
    if part is None:
        return
    if not part.is_map("workload"):
        draft.inputs_lost = True
        return
    for name, child in part.children().items():
        if not NAME.fullmatch(name) or name in WORDS:
            child.refuse(f"{name!r} is no input name", NAME_HINT, at=child.key)
        draft.inputs.append(_input(name, child))


def _input(name: str, part: Part) -> Input:
    if part.node.kind != "map":
        return Input(name, _type_of(part.value), default=part.value)
    part.keys(keys.INPUT, habits={"enum": "choices", "values": "choices", "minimum": "min"})
    kind, default, required, low, high, choices, description = (
        part.child(key) for key in keys.INPUT
    )
    chosen: Any = kind.choice("type", TYPES) if kind is not None else None
    needed = required.switch("required") if required is not None else default is None
    item = Input(
        name=name,
        type=chosen or "any",
        default=default.value if default is not None else None,
        required=bool(needed),
        min=low.number("min") if low is not None else None,
        max=high.number("max") if high is not None else None,
        choices=_allowed(choices, chosen or "any") if choices is not None else (),
        description=(description and description.text("description")) or "",
    )
    _consistent(item, default, required, high)
    return item


def _consistent(
    item: Input, default: Part | None, required: Part | None, high: Part | None
) -> None:
    if required is not None and item.required and default is not None:
        required.refuse("a required input has no use for a default", "leave out one of the two")
    if item.min is not None and item.max is not None and item.min > item.max and high:
        high.refuse(f"max {item.max:g} is below min {item.min:g}")
    elif default is not None:
        why = objection(item, item.default)
        if why:
            default.refuse(f"the default {why}")


def _allowed(part: Part, kind: str) -> tuple[Json, ...]:
    if not part.is_list("choices"):
        return ()
    for element in part.elements():
        if not fits(kind, element.value):
            element.refuse(f"{element.value!r} is no {kind}")
    return tuple(element.value for element in part.elements())


def _type_of(value: Json) -> Any:
    if value is None:
        return "any"
    return next(kind for kind in ("boolean", "integer", "number", "string", "array", "object")
                if fits(kind, value))  # fmt: skip
