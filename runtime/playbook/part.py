"""A part of the YAML while it is read: a node, its path, and where faults go.

Every method returns the value it was asked for, or None after it has written down a
fault; nothing raises, so that one reading finds every fault.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from runtime.playbook.faults import PlaybookFault, did_you_mean
from runtime.playbook.model import Json, Place
from runtime.playbook.tree import Node
from runtime.playbook.units import (
    DURATION_HINT,
    SHARE_HINT,
    SIZE_HINT,
    duration_s,
    share,
    size_bytes,
)

NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
CLASS_HINT: Final = "one word, such as cpu-small"
NAME_HINT: Final = "letters, digits and _, a letter first"


@dataclass(frozen=True, slots=True)
class Part:
    """A node with its dotted path and its key's place (the node's own, in a list)."""

    node: Node
    path: str
    key: Place
    faults: list[PlaybookFault]

    @property
    def place(self) -> Place:
        return self.node.place

    @property
    def value(self) -> Json:
        return self.node.plain()

    def refuse(self, message: str, hint: str = "", *, at: Place | None = None) -> None:
        """Write down a fault at this value, or at another place within it."""
        if self.node.broken and at is None:
            return
        place = at or self.node.place
        self.faults.append(PlaybookFault(place.line, place.column, self.path, message, hint))

    # ---- going down ---------------------------------------------------------------------

    def child(self, name: str) -> Part | None:
        """Return what a key of this mapping holds, or None when it is not there."""
        entry = self.node.entries.get(name)
        if entry is None:
            return None
        path = f"{self.path}.{name}" if self.path else name
        return Part(entry.node, path, entry.place, self.faults)

    def children(self) -> dict[str, Part]:
        """Return every key of this mapping, in order."""
        found = {name: self.child(name) for name in self.node.entries}
        return {name: part for name, part in found.items() if part is not None}

    def elements(self) -> list[Part]:
        """Return the elements of this list, in order."""
        return [
            Part(node, f"{self.path}[{i}]", node.place, self.faults)
            for i, node in enumerate(self.node.items)
        ]

    def is_map(self, what: str, hint: str = "") -> bool:
        """Whether this is a mapping; a fault when it is not."""
        if self.node.kind != "map":
            self.refuse(f"{what} must be a mapping of keys, not {self._seen()}", hint)
        return self.node.kind == "map"

    def is_list(self, what: str) -> bool:
        """Whether this is a list; a fault when it is not."""
        if self.node.kind != "list":
            self.refuse(f"{what} must be a list, not {self._seen()}")
        return self.node.kind == "list"

    def keys(
        self,
        known: Collection[str],
        *,
        later: Collection[str] = (),
        habits: Mapping[str, str] | None = None,
    ) -> None:
        """Refuse keys that are unknown, and those of the design that do not work yet.

        ``habits`` are words of other systems and what they are called here.
        """
        for name, part in self.children().items():
            if name in known:
                continue
            if name in later:
                part.refuse(f"{name} is not supported yet", "leave it out", at=part.key)
                continue
            habit = (habits or {}).get(name)
            hint = f"here it is called {habit}" if habit else did_you_mean(name, known)
            part.refuse(f"unknown key {name}", hint, at=part.key)

    # ---- values -------------------------------------------------------------------------

    def text(
        self, what: str, pattern: re.Pattern[str] | None = None, hint: str = ""
    ) -> str | None:
        """Return a text that is not empty and fits the pattern."""
        value = self.node.value
        if self.node.kind != "scalar" or not isinstance(value, str) or not value.strip():
            self.refuse(f"{what} must be a text, not {self._seen()}", hint)
        elif pattern is not None and not pattern.fullmatch(value):
            self.refuse(f"{_short(value)} is no {what}", hint)
        else:
            return value
        return None

    def name(self, what: str) -> str | None:
        """Return a name that expressions can use."""
        return self.text(what, NAME, NAME_HINT)

    def whole(self, what: str, low: int, high: int) -> int | None:
        """Return a whole number within bounds."""
        value = self.node.value
        if not isinstance(value, int) or isinstance(value, bool):
            self.refuse(f"{what} must be a whole number, not {self._seen()}")
        elif not low <= value <= high:
            self.refuse(f"{what} must be {low} to {high}, not {value}")
        else:
            return value
        return None

    def number(self, what: str) -> float | None:
        """Return a number."""
        value = self.node.value
        if isinstance(value, int | float) and not isinstance(value, bool):
            return value
        self.refuse(f"{what} must be a number, not {self._seen()}")
        return None

    def switch(self, what: str) -> bool | None:
        """Return true or false; ``on`` and ``off`` are words for them here."""
        words = {"on": True, "off": False, True: True, False: False}
        value = self.node.value
        if isinstance(value, bool | str) and value in words:
            return words[value]
        self.refuse(f"{what} must be true or false, not {self._seen()}")
        return None

    def duration(self, what: str) -> float | None:
        """Return the seconds of a duration, above nothing."""
        value = self.node.value
        found = duration_s(value) if isinstance(value, str) else None
        if not found:
            self.refuse(f"{what} must be a duration, not {self._seen()}", DURATION_HINT)
            return None
        return found

    def share(self, what: str) -> float | None:
        """Return a percentage as a share between 0 and 1."""
        value = self.node.value
        found = share(value) if isinstance(value, str) else None
        if found is None:
            self.refuse(f"{what} must be a percentage, not {self._seen()}", SHARE_HINT)
        return found

    def size(self, what: str) -> int | None:
        """Return the bytes of a size, above nothing."""
        value = self.node.value
        found = size_bytes(value) if isinstance(value, str) else None
        if not found:
            self.refuse(f"{what} must be a size, not {self._seen()}", SIZE_HINT)
            return None
        return found

    def choice(
        self, what: str, options: Collection[str], later: Collection[str] = ()
    ) -> str | None:
        """Return one of a few words."""
        value = self.node.value
        if isinstance(value, str) and value in options:
            return value
        if isinstance(value, str) and value in later:
            self.refuse(f"{what} {value} is not supported yet", did_you_mean("", options))
        elif isinstance(value, str):
            self.refuse(f"unknown {what} {_short(value)}", did_you_mean(value, options))
        else:
            self.refuse(f"{what} must be a word, not {self._seen()}", did_you_mean("", options))
        return None

    def words(self, what: str, options: Collection[str]) -> tuple[str, ...]:
        """Return one or several of a few words."""
        if self.node.kind == "scalar":
            found = [self.choice(what, options)]
        elif self.is_list(what):
            found = [element.choice(what, options) for element in self.elements()]
        else:
            found = []
        return tuple(dict.fromkeys(word for word in found if word is not None))

    def _seen(self) -> str:
        if self.node.kind != "scalar":
            return "a list" if self.node.kind == "list" else "a mapping"
        value = self.node.value
        if value is None:
            return "nothing"
        if isinstance(value, bool):
            return str(value).lower()
        return _short(value) if isinstance(value, str) else f"the number {value}"


def _short(text: str) -> str:
    line = text if len(text) <= 40 else text[:39] + "…"
    return repr(line)
