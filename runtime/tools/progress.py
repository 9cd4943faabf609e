"""Progress: how far a long attempt is, told while it runs.

::

    from trimtab import progress

    for n, row in enumerate(rows):
        progress(n, len(rows), "scoring")

It may be called as often as one likes: a few times a second something is sent, the rest
is dropped, and the last word is always sent. It is also the sign of life that a step's
``heartbeat`` asks for. Outside a worker it does nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Teller: TypeAlias = Callable[[float | None, float | None, str], None]

_tell: Teller | None = None


def progress(done: float | None = None, total: float | None = None, note: str = "") -> None:
    """Say how much is done, of how much, and a few words about it."""
    if _tell is not None:
        _tell(done, total, note)


def told_to(tell: Teller | None) -> None:
    """Have progress told to this from now on; None for nobody."""
    global _tell
    _tell = tell


def parsed(line: str) -> tuple[float | None, float | None, str]:
    """Read a line of progress: ``done/total note``, ``done note`` or a note.

    >>> parsed("3/10 rows"), parsed("7"), parsed("loading the model")
    ((3.0, 10.0, 'rows'), (7.0, None, ''), (None, None, 'loading the model'))
    """
    first, _, rest = line.strip().partition(" ")
    done, _, total = first.partition("/")
    try:
        return float(done), float(total) if total else None, rest.strip()
    except ValueError:
        return None, None, line.strip()
