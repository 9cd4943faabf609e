"""Poison: a step version whose attempts killed their workers, one after another.

A worker that dies is no fault of the work, so a lost attempt is tried again. But when
`MOST` attempts of one step version in a row, over all its runs, each begun after the one
before had died, ended with a dead worker, that is a fact about the step. It is written
down, and its further tries fail at once; now and then one is let through to see. A try
that its worker survives clears the step, and so does an operator; another version of the
playbook is another step. Workers that died at the same moment count once: whoever killed
them all at once was not the step.

>>> poison, step = Poison(), Step("risk/score", "1f", "score")
>>> [poison.died(step, sent_at=n, at=n + 0.5, told="exit code 1") for n in range(5)]
[False, False, False, False, True]
>>> poison.enters(step, Entry(5, "exit code 1", since=5.0))
>>> poison.refusal(step, 6.0)[:46], poison.refusal(step, 70.0)
('score is poison: 5 attempts in a row killed th', None)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

MOST: Final = 5
PROBE_S: Final = 60.0
"""How long until one try of a poison step is let through, to see."""


class Step(NamedTuple):
    """A step of one version of a playbook."""

    playbook: str
    version: str
    step: str


@dataclass(slots=True)
class Entry:
    """What is known of a step that kills its workers."""

    deaths: int
    told: str
    since: float
    """When the last of them died; of a poison step, since when it is."""
    probed_at: float = 0.0


class Poison:
    """Steps that kill their workers: those that may be poison, and those that are."""

    def __init__(self) -> None:
        self._suspects: dict[Step, Entry] = {}
        self.known: dict[Step, Entry] = {}
        self._clearing: set[Step] = set()

    @property
    def watches(self) -> bool:
        """Whether any step has killed a worker since it last did well."""
        return bool(self._suspects or self.known)

    def died(self, step: Step, sent_at: float, at: float, told: str) -> bool:
        """A worker died at an attempt that it was sent then; whether the step is poison now."""
        if step in self.known:
            return False
        entry = self._suspects.get(step)
        if entry is None:
            entry = self._suspects[step] = Entry(0, told, 0.0)
        elif sent_at < entry.since:
            return False  # it was under way when the last one died
        entry.deaths, entry.told, entry.since = entry.deaths + 1, told, at
        return entry.deaths == MOST

    def survived(self, step: Step) -> bool:
        """A worker has done an attempt; whether that clears a step which was poison."""
        self._suspects.pop(step, None)
        clears = step in self.known and step not in self._clearing
        if clears:
            self._clearing.add(step)
        return clears

    def enters(self, step: Step, entry: Entry) -> None:
        """The step is poison: that was decided."""
        self._suspects.pop(step, None)
        self.known[step] = entry
        entry.probed_at = entry.since

    def cleared(self, step: Step) -> None:
        """The step is poison no more: that was decided."""
        self.known.pop(step, None)
        self._clearing.discard(step)

    def refusal(self, step: Step, at: float) -> str | None:
        """Why a try of the step is to fail at once; None when it may run."""
        entry = self.known.get(step)
        if entry is None:
            return None
        if at >= entry.probed_at + PROBE_S:
            entry.probed_at = at
            return None
        return (
            f"{step.step} is poison: {entry.deaths} attempts in a row killed their worker "
            f"({entry.told}); mend it, or clear it with "
            f"`trimtab playbook clear {step.playbook} {step.step}`"
        )

    def of(self, playbook: str, step: str) -> list[Step]:
        """The poison versions of a step."""
        return [key for key in self.known if (key.playbook, key.step) == (playbook, step)]
