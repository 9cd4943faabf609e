r"""A short notation for nets, one step a line: for tests, the docs and a talk at a board.

    a: b, c              both of them
    a: b? | c? | d       the first that matches, else d
    a: b? + c?           all that match
    a: b ! permanent x   x when it fails for good; more classes with commas
    d[any] d[2]          joins; d[all late fire], … late fail, … late x
    a: b? | a*5          an arc back, to be taken five times at most
    ~a: b                a step without a tool

>>> [arc.kind for arc in read("a: a?*3 | b ! timeout b\nb").step("a").arcs]
['when', 'otherwise', 'error']
"""

from __future__ import annotations

import re
from typing import Final

from runtime.net.flow import ROUTING, FlowArc, FlowJoin, FlowNet, FlowStep, Split

_HEAD: Final = re.compile(r"(~?)([\w.-]+)(?:\[(\w+)(?: late (\w+))?\])?")
_ARC: Final = re.compile(r"([\w.-]+)(\?)?(?:\*(\d+))?")


def read(text: str) -> FlowNet:
    """Read a net.

    Raises:
        ValueError: a line is not in the notation.
    """
    lines = (line.split("#")[0].strip() for line in text.splitlines())
    return FlowNet(tuple(_step(line) for line in lines if line))


def _step(line: str) -> FlowStep:
    way, *errors = line.split("!")
    head, _, normal = way.partition(":")
    match = _HEAD.fullmatch(head.strip())
    if match is None:
        raise ValueError(f"no step is written like this: {line}")
    routing, name, join, late = match.groups()
    split: Split = "inclusive" if "+" in normal else "exclusive" if "?" in normal else "all"
    words = [word.strip() for word in re.split(r"[,|+]", normal)]
    arcs = [_arc(word, split) for word in words if word]
    arcs += [_error(error) for error in errors]
    if late not in (None, "fire", "fail"):
        arcs.append(FlowArc(late, "late"))
    raises = (ROUTING | {"timeout"} if late == "fail" else ROUTING) if routing else None
    return FlowStep(name, tuple(arcs), split, _join(join, late), works=not routing,
                    raises=raises)  # fmt: skip


def _join(kind: str | None, late: str | None) -> FlowJoin:
    if kind in (None, "all"):
        return FlowJoin(None, late)
    return FlowJoin(1 if kind == "any" else int(kind or 0), late)


def _arc(word: str, split: Split) -> FlowArc:
    match = _ARC.fullmatch(word)
    if match is None:
        raise ValueError(f"no arc is written like this: {word}")
    to, condition, rounds = match.groups()
    kind = "always" if split == "all" else "when" if condition else "otherwise"
    return FlowArc(to, kind, max=int(rounds) if rounds else None)  # type: ignore[arg-type]


def _error(text: str) -> FlowArc:
    classes, _, word = text.strip().rpartition(" ")
    arc = _arc(word, "all")
    return FlowArc(arc.to, "error", frozenset(re.findall(r"\w+", classes)), arc.max)
