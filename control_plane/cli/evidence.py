"""Evidence as words: what a proposal rests on, a line for each part of it.

Nothing is cut inside a word or a figure. Of a long list the first entries are told, and how
many there are beside them; `-o json` has all of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from control_plane.clock import local

TOLD: Final = 4
"""So many entries of a list are told."""
ELSEWHERE: Final = frozenset(
    {"evidence_version", "id", "scope", "diff", "objective", "prediction"}
)
"""What the evidence repeats of a proposal's other lines."""
_TIMES: Final = frozenset({"from", "to", "regime_since"})


def evidence_lines(evidence: Mapping[str, Any]) -> Iterator[str]:
    """Yield each part that says something.

    >>> list(evidence_lines({"id": "e", "support": 0.25, "window": {"runs": 2, "to": None}}))
    ['support: 0.25', 'window: runs 2']
    """
    for name, value in evidence.items():
        if name not in ELSEWHERE and (words := _words(name, value)):
            yield f"{_plain(name)}: {words}"


def _words(name: str, value: Any) -> str:
    """Return a value in words; "" where it says nothing.

    >>> _words("values", [{"value": 5, "seconds_per_item": 0.00427205}] * 6)
    'value 5, seconds per item 0.00427; value 5, seconds per item 0.00427; \
value 5, seconds per item 0.00427; value 5, seconds per item 0.00427; and 2 more'
    """
    if value is None or value == "":
        return ""
    if isinstance(value, Mapping):
        told = ((_plain(str(key)), _words(str(key), one)) for key, one in value.items())
        return ", ".join(f"{key} {words}" for key, words in told if words)
    if isinstance(value, Sequence) and not isinstance(value, str):
        listed = [_words(name, one) for one in islice(value, TOLD)]
        more = [f"and {len(value) - TOLD} more"] if len(value) > TOLD else []
        return "; ".join([*(one for one in listed if one), *more])
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float | int) and name in _TIMES and value > 1e9:
        return local(float(value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _plain(name: str) -> str:
    return name.replace("_", " ")
