"""Hardware: the classes of workers that this installation has, and how much of each.

The classes are those of the hardware catalogue, and ``local``: this machine, as it is. A
class may have ``slots``: so many attempts run on it at once, 0 for none. What asks for a
class that is not there is refused or fails with a word, and never waits for it.

>>> hardware = Hardware({"cpu-small": 2, "gpu-l4": 0}, "hardware.yaml")
>>> hardware.uses("cpu-small"), hardware.why_not("cpu-small"), hardware.why_not("local")
(('@hardware:cpu-small',), '', '')
>>> hardware.why_not("gpu-l4")
'no worker is of class gpu-l4 (hardware.yaml gives it 0 slots)'
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from runtime.playbook.faults import did_you_mean
from runtime.playbook.model import Limit

LOCAL: Final = "local"
"""The class of workers that every installation has."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """Each class with its slots; None for as many as there are."""

    slots: Mapping[str, int | None]
    source: str

    def why_not(self, name: str) -> str:
        """Why nothing can run on a class, or nothing when something can."""
        if self.slots.get(name) == 0:
            return f"no worker is of class {name} ({self.source} gives it 0 slots)"
        if name == LOCAL or name in self.slots:
            return ""
        known = sorted({LOCAL, *self.slots})
        hint = did_you_mean(name, known) or f"there are {', '.join(known)}"
        return f"no worker is of class {name}, and {self.source} does not list it: {hint}"

    def limits(self) -> dict[str, Limit]:
        """The classes that have so many slots, as limits of the queue."""
        return {_limit(name): Limit(in_flight=n) for name, n in self.slots.items() if n}

    def uses(self, name: str) -> tuple[str, ...]:
        """The limit that work on a class is under."""
        return (_limit(name),) if self.slots.get(name) else ()


def _limit(name: str) -> str:
    return f"@hardware:{name}"
