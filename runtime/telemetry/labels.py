"""Capped labels: the first so many playbooks and steps keep their names, the rest are ``other``.

>>> labels = Capped(1)
>>> labels.step("etl/orders", "load"), labels.step("etl/orders", "clean")
(('etl/orders', 'load'), ('etl/orders', 'other'))
>>> labels.step("etl/people", "load"), labels.over
(('other', 'other'), 2)
"""

from __future__ import annotations

from runtime.telemetry.table import OTHER

_LONGEST = 200


class Capped:
    """Which names are kept: ``cap`` pairs of playbook and step, and as many playbooks."""

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self._books: set[str] = set()
        self._steps: set[tuple[str, str]] = set()
        self.over = 0

    def book(self, playbook: str) -> str:
        """Return the label of a playbook."""
        if playbook in self._books:
            return playbook
        if len(self._books) < self._cap and 0 < len(playbook) <= _LONGEST:
            self._books.add(playbook)
            return playbook
        self.over += 1
        return OTHER

    def step(self, playbook: str, step: str) -> tuple[str, str]:
        """Return the labels of a step."""
        pair = (playbook, step)
        if pair in self._steps:
            return pair
        book = self.book(playbook)
        if book == OTHER:
            return OTHER, OTHER
        if len(self._steps) < self._cap and len(step) <= _LONGEST:
            self._steps.add(pair)
            return pair
        self.over += 1
        return book, OTHER

    def copy(self) -> Capped:
        """Return one that knows as much."""
        made = Capped(self._cap)
        made._books, made._steps, made.over = self._books.copy(), self._steps.copy(), self.over
        return made
