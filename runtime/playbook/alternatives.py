"""Reading ``alternatives``: other tools that a step may run, with the same contract.

Each is read as the step's own tool is, which is the one called ``default``. Only what a
worker runs can be exchanged, and the strictest effect of them all is the step's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from runtime.playbook.arguments import read_args
from runtime.playbook.blocks import read_block
from runtime.playbook.draft import Draft, StepDraft
from runtime.playbook.kinds import declaration
from runtime.playbook.model import DEFAULT, Alternative, Effect, Json
from runtime.playbook.part import NAME, NAME_HINT, Part

_STRICT: Final[tuple[Effect, ...]] = ("none", "idempotent", "once")


def read_alternatives(
    read: StepDraft, part: Part | None, draft: Draft
) -> dict[str, Alternative]:  # fmt: skip
    """Return the alternatives of a step by name."""
    if part is None or not part.is_map("alternatives"):
        return {}
    if not part.node.entries:
        part.refuse("there is no alternative", "add name: {kind: …}")
    found = {}
    for name, child in part.children().items():
        _name(child, name)
        block = read_block(read, child, draft, "alternative")
        if block is not None:
            with_ = child.child("with") if child.node.kind == "map" else None
            args = None if with_ is None else read_args(read, with_, draft)
            found[name] = Alternative(block, args)
    return found


def _name(part: Part, name: str) -> None:
    if name == DEFAULT:
        part.refuse(f"{name} is the step's own tool", "give the alternative another name",
                    at=part.key)  # fmt: skip
    elif not NAME.fullmatch(name):
        part.refuse(f"{name!r} is no name of an alternative", NAME_HINT, at=part.key)


def strictest(blocks: Iterable[dict[str, Json]]) -> Effect:
    """Return the effect of a step that may run any of these tools and does not say which it has.

    >>> strictest([{"kind": "python"}, {"kind": "shell"}])
    'once'
    """
    effects = [declaration(b["kind"]).effect_of(b) for b in blocks if b["kind"]]
    return max(effects, key=_STRICT.index, default="idempotent")
