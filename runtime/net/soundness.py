r"""Soundness: whether every run of a playbook can end properly, seen before the first one.

Without loops a flow is sound by construction: each arc sees one token, live or dead, so every
step fires or is skipped, once. What can go wrong is a step that nothing reaches, a circle that
waits for itself, a quorum that was never there, and the rounds of a loop: each must end by
exactly one firing that goes back or leaves. So each loop is a region of its own, made smaller
and played through, the innermost first.

>>> from runtime.net.notation import read
>>> check(read("a: b\nb: c, log\nc: b?*3 | d\nd\nlog"))
Unsound(reason='branch_ends_in_loop', firings=('a', 'b', 'c → b'), steps=('b', 'log', 'c'))
"""

from __future__ import annotations

from typing import Final

from runtime.net.flow import FlowNet, describe
from runtime.net.loops import TwoEntries
from runtime.net.outline import Outline, entangled, stray
from runtime.net.region import Budget
from runtime.net.rounds import Rounds
from runtime.net.verdict import NotSound, Sound, Undecided, Unsound, Verdict
from runtime.playbook.model import Playbook

STATES: Final = 20_000
"""How many states are looked at before a flow is called undecided."""

__all__ = [
    "NotSound", "Sound", "Undecided", "Unsound", "Verdict", "check", "describe", "refuse_unsound",
]  # fmt: skip


def refuse_unsound(playbook: Playbook) -> Verdict:
    """Check a playbook. An undecided one is not refused: the verdict says so.

    Raises:
        NotSound: some run of it could not end properly.
    """
    verdict = check(describe(playbook))
    if isinstance(verdict, Unsound):
        raise NotSound(verdict.text, list(verdict.steps), verdict.firings)
    return verdict


def check(flow: FlowNet, budget: int = STATES) -> Verdict:
    """Return whether a flow is sound. The same flow and budget give the same verdict."""
    fault = stray(flow)
    if fault is not None:
        return fault
    try:
        outline = Outline(flow)
    except TwoEntries as found:
        return entangled(flow, found.cycle)
    states = Budget(budget)
    verdict = (
        next(outline.faults(), None)
        or Rounds(outline, states).judge()
        or next(outline.boundless(), None)
    )
    return verdict or Sound(states.spent)
