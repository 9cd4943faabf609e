"""What is wrong with a playbook, said all at once and each at its place.

::

    PlaybookError
    ├── PlaybookFaults     the text is no playbook: every fault with line and column
    ├── WorkloadFaults     the inputs of a run do not fit what the playbook declares
    ├── BundleFault        the files beside a playbook cannot be taken along
    └── ExpressionFault    an expression is malformed, names something unknown, or failed
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class PlaybookError(Exception):
    """Something about a playbook that its author can mend."""


@dataclass(frozen=True, slots=True, order=True)
class PlaybookFault:
    """One fault: where it stands (from 1), which key it concerns, what to do about it."""

    line: int
    column: int
    path: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.line}:{self.column} {where}{self.message}{hint}"


class PlaybookFaults(PlaybookError):
    """The playbook has faults; ``faults`` holds every one, in the order of the text."""

    def __init__(self, faults: Sequence[PlaybookFault], name: str = "playbook.yaml") -> None:
        self.faults = sorted(faults)
        self.name = name
        super().__init__("\n".join(f"{name}:{fault}" for fault in self.faults))


class WorkloadFaults(PlaybookError):
    """The values given to a run do not fit; ``faults`` is input → what is wrong with it."""

    def __init__(self, faults: dict[str, str]) -> None:
        self.faults = faults
        super().__init__("; ".join(f"{name}: {why}" for name, why in faults.items()))


class BundleFault(PlaybookError):
    """A file of the bundle is missing, too large or outside its folder."""


class ExpressionFault(PlaybookError):
    """An expression cannot be read or evaluated.

    ``text`` is the expression; ``offset`` counts the characters before the fault in the whole
    template; ``unknown`` is the name that stands for nothing.
    """

    def __init__(
        self, message: str, *, text: str = "", offset: int = 0, unknown: str = "", hint: str = ""
    ) -> None:
        self.message, self.text, self.offset = message, text, offset
        self.unknown, self.hint = unknown, hint
        super().__init__(f"{message} ({hint})" if hint else message)


def a(noun: str) -> str:
    """Return a noun with its article.

    >>> a("signal"), a("approval"), a("http")
    ('a signal', 'an approval', 'an http')
    """
    return f"an {noun}" if noun[0] in "aeio" or noun in ("http", "sql") else f"a {noun}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the hint that names the nearest known word, or lists a few of them.

    >>> did_you_mean("timout", ["timeout", "retry"])
    'did you mean timeout?'
    >>> did_you_mean("xyz", ["timeout", "retry"])
    'known: retry, timeout'
    """
    words = sorted(known)
    near = nearest(word, words)
    if near:
        return f"did you mean {near}?"
    if not words:
        return ""
    more = ", …" if len(words) > 12 else ""
    return "known: " + ", ".join(words[:12]) + more


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the known word that is most like this one, or an empty string."""
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return found[0] if found else ""
