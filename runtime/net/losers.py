"""Losers: the steps that work for the sake of one join alone.

Every way on from such a step leads to the join, in the same round of the loop that the join
is in. Once the join has fired nobody waits for them any more. A step that may also end a
branch, lead to another one or begin another round is left alone.

>>> out = {"a": ("b", "c"), "b": ("j",), "c": ("j", "log"), "j": (), "log": ()}
>>> sorted(losers_of("j", out, Loops()))
['b']
"""

from __future__ import annotations

from runtime.net.loops import Loops, Outputs


def losers_of(join: str, outputs: Outputs, loops: Loops) -> frozenset[str]:
    """Return the steps all of whose ways on lead to the join."""
    steps = _around(join, outputs, loops)
    while True:
        kept = {
            name
            for name in steps
            if (to := outputs[name]) and all(_leads_on(name, t, join, steps, loops) for t in to)
        }
        if len(kept) == len(steps):
            return frozenset(kept)
        steps = kept


def _around(join: str, outputs: Outputs, loops: Loops) -> set[str]:
    """The steps of the innermost loop whose round the join is in, less its head, or all."""
    for loop in loops.inner_first:
        if join in loop.body and join != loop.head:
            return set(loop.body) - {loop.head, join}
    return set(outputs) - {join}


def _leads_on(source: str, target: str, join: str, steps: set[str], loops: Loops) -> bool:
    if target == join:
        return not loops.is_back(source, target)
    return target in steps
