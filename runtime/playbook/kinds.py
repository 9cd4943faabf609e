"""Which kinds of tools a playbook may name: ours, and those that installed distributions add.

A distribution adds a kind by an entry point of the group ``trimtab.tools``: a class with a
``kind``, a ``declaration`` (`runtime.playbook.tools.ToolKind`) and ``run``. Entry points are
read only for a kind that is not ours, since that means looking at every distribution; the
class is loaded only for a kind that is named, so what it needs to run should be imported
when it runs.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from runtime.playbook.tools import TOOLS, ToolKind

GROUP: Final = "trimtab.tools"


class KindFault(Exception):
    """A kind of tool cannot be used; the message says why."""


def names() -> tuple[str, ...]:
    """Every kind that a playbook may name; ours come first."""
    return tuple(dict.fromkeys((*TOOLS, *sorted(others()))))


def declaration(kind: str) -> ToolKind:
    """What a kind takes and promises.

    Raises:
        KindFault: nothing installed offers it, or what offers it is broken.
    """
    return TOOLS[kind] if kind in TOOLS else _declared(kind)


@cache
def verbatim(kind: str) -> frozenset[str]:
    """The keys of a block that are handed to the tool as they are written.

    Raises:
        KindFault: as `declaration` does.
    """
    keys = declaration(kind).keys
    return frozenset({"kind"} | {name for name, key in keys.items() if key.verbatim})


@cache
def others() -> dict[str, EntryPoint]:
    """The kinds that other distributions add, not loaded yet. None can take a name of ours."""
    return {e.name: e for e in entry_points(group=GROUP) if e.name not in TOOLS}


@cache
def _declared(kind: str) -> ToolKind:
    entry = others().get(kind)
    if entry is None:
        raise KindFault(f"there is no tool of kind {kind!r}; known are {', '.join(names())}")
    try:
        found: Any = getattr(entry.load(), "declaration", None)
    except Exception as error:  # whatever an author's module may raise when it is imported
        raise KindFault(f"tool {kind} ({entry.value}) cannot be loaded: {error}") from error
    if not isinstance(found, ToolKind):
        raise KindFault(f"tool {kind} ({entry.value}) has no `declaration` of type ToolKind")
    return found
