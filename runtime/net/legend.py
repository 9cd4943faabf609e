"""The legend: what a drawing of a playbook says of its arcs and joins, in a few words.

The picture on the pages and the diagram of the command line say the same. The way to the
step that takes over when a join is late is an arc, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from runtime.playbook.model import Arc, Join, Step


@dataclass(frozen=True, slots=True)
class Drawn:
    """An arc as it is drawn. ``late`` is the way that a deadline takes."""

    to: str
    words: str = ""
    late: bool = False


def arcs_of(step: Step) -> Iterator[Drawn]:
    """Yield the ways on from a step, the one that its join's deadline takes last."""
    for arc in step.arcs:
        yield Drawn(arc.to, _words_of(arc))
    if step.join.takeover is not None:
        yield Drawn(step.join.takeover, f"late: {_after(step.join)}", late=True)


def _words_of(arc: Arc) -> str:
    words = arc.when or ""
    if arc.on:
        words = "on " + ", ".join(arc.on)
    elif arc.otherwise:
        words = "otherwise"
    return words


def join_words(join: Join) -> str:
    """Say what a step waits for; nothing when that is all of its inputs, for ever."""
    words = []
    if join.kind != "all":
        words.append("any" if join.kind == "any" else f"at least {join.n}")
    if join.within_s is not None and join.takeover is None:
        words.append(f"{_after(join)}, then {'fires' if join.at_deadline == 'fire' else 'fails'}")
    if join.losers == "cancel":
        words.append("cancels losers")
    return ", ".join(words)


def _after(join: Join) -> str:
    """For how long a join waits, as an author would write it."""
    rest = join.within_s or 0.0
    parts = []
    for unit, seconds in (("d", 86_400), ("h", 3600), ("m", 60)):
        if rest >= seconds:
            parts.append(f"{int(rest // seconds)}{unit}")
            rest %= seconds
    if rest or not parts:
        parts.append(f"{rest:g}s" if rest >= 1 or not rest else f"{rest * 1000:g}ms")
    return "".join(parts)
