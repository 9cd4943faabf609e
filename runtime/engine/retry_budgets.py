"""Retry budgets of a server: one for each step that has one, and for each arm while it is tried.

They begin empty with each server. What an arm has earned is forgotten when its experiment
ends; its last tries share the bucket of their step.

>>> kept = RetryBudgets()
>>> kept.of("demo/a", "ask", ("x-1", "candidate")) is kept.of("demo/a", "ask", ("x-1", "control"))
False
>>> kept.of("demo/a", "ask") is kept.of("demo/a", "ask"), len(kept)
(True, 3)
>>> kept.ended("x-1"), len(kept)
(None, 1)
"""

from __future__ import annotations

from typing import Final

from runtime.run.budget import Budget

NO_ARM: Final = ("", "")
"""Outside of an experiment."""


class RetryBudgets:
    """Budgets by playbook and step, and by experiment and arm."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str, str, str], Budget] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def of(self, playbook: str, step: str, arm: tuple[str, str] = NO_ARM) -> Budget:
        """The budget that the tries of a step, or of an arm of it, share; empty at first."""
        key = (playbook, step, *arm)
        known = self._kept.get(key)
        if known is None:
            known = self._kept[key] = Budget()
        return known

    def ended(self, experiment: str) -> None:
        """An experiment has ended: its arms have no budgets any more."""
        for key in [key for key in self._kept if key[2] == experiment]:
            del self._kept[key]
