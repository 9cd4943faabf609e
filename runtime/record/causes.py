"""Causes: failures that mean the same, whichever step met them, and what a run is like.

Failures are grouped by what their errors say, their own words and the plain ones, never by
where they happened: a failure joins the group whose first member it is nearest to, if it is
near enough, in order of how often it was met. So the groups of the same failures are the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from runtime.record.embed import Embedder
from runtime.record.search import Cause
from runtime.record.vectors import dense
from runtime.record.wording import name_of

ALIKE: Final = 0.8
"""Failures whose errors are at least so near to each other have one cause."""
MOST: Final = 5_000
"""Kinds of failure that are grouped in one answer; comparing all with all grows fast."""
_EXAMPLE: Final = ("text", "message", "playbook", "step", "run", "attempt", "stream", "stream_seq")


def causes(failures: Sequence[Mapping[str, Any]], embedder: Embedder) -> list[Cause]:
    """Return the failures' payloads grouped by cause, the most frequent first."""
    ordered = sorted(failures, key=lambda p: (-p["count"], p["playbook"], p["step"], p["text"]))
    groups = _groups(ordered, embedder)
    return sorted((_cause(group) for group in groups), key=lambda c: (-c.count, c.name))


def _groups(
    failures: Sequence[Mapping[str, Any]], embedder: Embedder
) -> list[list[Mapping[str, Any]]]:
    bare = [{"text": p["text"], "error": p.get("error", "")} for p in failures]
    groups: list[list[Mapping[str, Any]]] = []
    firsts: list[np.ndarray[Any, Any]] = []
    for payload, vector in zip(failures, np.asarray(dense(bare, embedder)), strict=True):
        near = np.asarray(firsts) @ vector if firsts else np.zeros(1)
        best = int(near.argmax())
        if near[best] >= ALIKE:
            groups[best].append(payload)
        else:
            groups.append([payload])
            firsts.append(vector)
    return groups


def _cause(group: Sequence[Mapping[str, Any]]) -> Cause:
    first = group[0]
    where = dict.fromkeys((str(p["playbook"]), str(p["step"])) for p in group)
    return Cause(
        name=name_of(first.get("error", "")) or str(first.get("error") or first["text"])[:80],
        count=sum(p["count"] for p in group),
        first_at=min(p["first_at"] for p in group), last_at=max(p["last_at"] for p in group),
        failures=len(group), where=[list(w) for w in where],
        example={key: first[key] for key in _EXAMPLE if key in first},
    )  # fmt: skip
