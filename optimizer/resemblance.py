"""Resemblance: how much one step is like another, and how far that may be believed.

Two steps are alike by what they run (the same code), by the tool that runs it, by the words
that are said of them, and by what they take; an earlier one outweighs all later ones
together. What is not known of both says nothing. Steps that resemble a new one weigh more in
what it borrows, but only as far as history earns it: each step in turn is taken for a new one,
and what the others say of it has to be likelier with the weights than without. With few
families, or where the gain may be chance, all steps weigh alike.

>>> load = Described(tool="sql", words=words_of("load the orders"))
>>> resemblance(load, Described(tool="sql")) > resemblance(load, Described(tool="python"))
True
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Json: TypeAlias = Any
Array: TypeAlias = NDArray[Any]

CODE, TOOL, TEXT, TAKES = 8.0, 4.0, 2.0, 1.0
"""What each likeness weighs; each more than all that follow together."""
SHARES: Final = (0.3, 0.6, 0.9)
"""How much of a step's weight may hang on resemblance; the rest all have alike."""
SURE: Final = 0.975
"""How sure it has to be, by Student's t over families, that resemblance is better than none."""
FEWEST: Final = 3
"""Families from which on resemblance can earn a weight."""
SHRUNK: Final = 5.0
"""Imagined families in which resemblance is worth nothing."""
_LEAST: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Described:
    """What is known of a step beside its outcomes; what is not known is empty.

    ``code`` is a hash of what it runs, ``takes`` holds logs by name (seconds an item, rows).
    """

    tool: str = ""
    code: str = ""
    words: frozenset[str] = frozenset()
    takes: Mapping[str, float] = field(default_factory=dict)


def described(told: Mapping[str, Json]) -> Described:
    """Return the description of a step that the catalogue tells: tool, code and text."""
    return Described(
        str(told.get("tool") or ""), str(told.get("code") or ""),
        words_of(str(told.get("text") or "")),
    )  # fmt: skip


def words_of(text: str) -> frozenset[str]:
    """Return the words of a text, in small letters."""
    return frozenset(re.findall(r"[a-z]+|[0-9]+", text.lower()))


def resemblance(one: Described, two: Described) -> float:
    """Return how much two steps are alike, from 0 to 1; the order does not matter."""
    code = CODE * (one.code == two.code != "")
    tool = TOOL * (one.tool == two.tool != "")
    rest = TEXT * _overlap(one.words, two.words) + TAKES * _near(one.takes, two.takes)
    return (code + tool + rest) / (CODE + TOOL + TEXT + TAKES)


def between(steps: Sequence[Described]) -> Array:
    """Return the resemblance of each step to each."""
    return np.asarray([[resemblance(one, two) for two in steps] for one in steps])


def pulls(alike: Array, share: float) -> Array:
    """Return the weights of steps by their resemblance, 1 for the one that is most alike."""
    most = float(alike.max(initial=0.0))
    if share <= 0.0 or most <= 0.0:
        return np.ones(len(alike))
    return np.asarray(1.0 - share + share * alike / most)


def earned(gains: Array, families: Sequence[str]) -> float:
    """Return the share that resemblance has earned.

    ``gains`` are by step and by `SHARES`: how much likelier, in logs, what the step showed is
    by the others so weighed than by the others alike. Families count alike.
    """
    from scipy.special import stdtrit

    names = np.asarray(families)
    each = sorted(set(families))
    if len(each) < FEWEST:
        return 0.0
    means = np.stack([gains[names == family].mean(axis=0) for family in each])
    error = means.std(axis=0, ddof=1) / np.sqrt(len(each))
    sure = means.mean(axis=0) - float(stdtrit(len(each) - 1, SURE)) * error
    best = int(np.argmax(sure))
    return SHARES[best] * len(each) / (len(each) + SHRUNK) if sure[best] > _LEAST else 0.0


def _overlap(one: frozenset[str], two: frozenset[str]) -> float:
    return len(one & two) / len(one | two) if one and two else 0.0


def _near(one: Mapping[str, float], two: Mapping[str, float]) -> float:
    both = sorted(one.keys() & two.keys())
    apart = [abs(one[name] - two[name]) for name in both]
    known = [float(np.exp(-far)) for far in apart if np.isfinite(far)]
    return sum(known) / len(known) if known else 0.0
