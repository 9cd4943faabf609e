"""Reading where a step leads: its arcs and how they are chosen.

``next`` is a name, a list of names, or arcs ``{to, when | otherwise | on}``. A target is
kept with its place: whether there is such a step is for the lint to say.
"""

from __future__ import annotations

from typing import Final

from runtime.playbook import keys
from runtime.playbook.draft import Mention, StepDraft
from runtime.playbook.model import Arc
from runtime.playbook.part import Part

CATCHABLE: Final = (
    "transient", "timeout", "throttled", "permanent", "data", "resource", "lost", "unknown",
    "no_route", "no_quorum", "expression",
)  # fmt: skip
"""Classes of failure that an arc may catch."""
ROUNDS: Final = 1_000_000
"""How often an arc back may be taken at all."""


def read_arcs(read: StepDraft, part: Part | None) -> None:
    """Read ``next`` in any of its shapes into the draft."""
    if part is None:
        return
    if part.node.kind == "list":
        elements = part.elements()
        if not elements:
            part.refuse("next names no step", "leave it out to end the branch here")
        for element in elements:
            _arc(read, element)
    else:
        _arc(read, part)
    _mixed(read)


def _arc(read: StepDraft, part: Part) -> None:
    if part.node.kind == "map":
        _conditional(read, part)
        return
    target = part.text("next", hint="name a step, a list of steps, or arcs {to, when}")
    if target is None:
        read.arcs_lost = True
        return
    if any(arc.to == target and not _conditions(arc) for arc, _ in read.arcs):
        part.refuse(f"{target} is here twice")
        return
    read.arcs.append((Arc(target), part))


def _conditional(read: StepDraft, part: Part) -> None:
    part.keys(keys.ARC, habits={"limit": "max", "step": "to", "if": "when",
                                "else": "otherwise", "then": "to"})  # fmt: skip
    to, when, otherwise, on, most = (part.child(name) for name in keys.ARC)
    given = [child for child in (when, otherwise, on) if child is not None]
    for child in given[1:]:
        child.refuse("an arc has one of when, otherwise and on", "write two arcs", at=child.key)
    target = to.text("step") if to is not None else None
    if to is None:
        part.refuse("an arc says where it leads", "add to: step")
    arc = Arc(
        to=target or "",
        when=_when(read, when),
        otherwise=_otherwise(otherwise),
        on=on.words("error class", CATCHABLE) if on is not None else (),
        max=most.whole("max", 1, ROUNDS) if most is not None else None,
    )
    if to is None or target is None:
        read.arcs_lost = True
    else:
        read.arcs.append((arc, to))


def _when(read: StepDraft, part: Part | None) -> str | None:
    if part is None:
        return None
    text = part.text("condition", hint='a bare expression, such as "load.rows > 0"')
    if text is not None:
        read.mentions.append(Mention(part, text, "when"))
    return text or "false"


def _otherwise(part: Part | None) -> bool:
    if part is None:
        return False
    if part.value is not True:
        part.refuse("otherwise must be true", "leave it out where it is not meant")
    return True


def _conditions(arc: Arc) -> bool:
    return arc.when is not None or arc.otherwise or bool(arc.on)


def _mixed(read: StepDraft) -> None:
    """Hold the arcs of a step against each other."""
    arcs = read.arcs
    if any(arc.when is not None for arc, _ in arcs):
        for arc, part in arcs:
            if not _conditions(arc):
                part.refuse(
                    f"the arc to {arc.to} has no condition while others have",
                    "add when, otherwise: true or on",
                )
    elif not read.arcs_lost:
        for arc, part in arcs:
            if arc.otherwise:
                part.refuse("otherwise needs another arc with when", "write a plain arc")
    others = [part for arc, part in arcs if arc.otherwise]
    for part in others[1:]:
        part.refuse("only one arc can be the otherwise")
    caught: set[str] = set()
    for arc, part in arcs:
        for cls in caught.intersection(arc.on):
            part.refuse(f"{cls} is already caught by an arc above")
        caught.update(arc.on)


def read_split(read: StepDraft, part: Part | None) -> str:
    """Return how the step's arcs are chosen: all, exclusive or inclusive."""
    conditional = any(arc.when is not None for arc, _ in read.arcs)
    if part is None:
        return "exclusive" if conditional else "all"
    chosen = part.choice("split", ("exclusive", "inclusive"))
    if chosen and not conditional and not read.arcs_lost:
        part.refuse("split needs arcs with when", "leave it out", at=part.key)
    return chosen or "exclusive"
