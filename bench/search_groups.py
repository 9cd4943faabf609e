"""How well failures are grouped by cause, on the executions of `search_corpus`.

Two failures belong together when their steps fail for one cause. Of the pairs that were grouped,
``precision`` is the share that belongs together; of those that do, ``recall`` is the share that
was grouped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from bench.search_corpus import ways
from runtime.record.causes import causes
from runtime.record.embed import Embedder


def grouped(failures: Sequence[Mapping[str, Any]], model: Embedder) -> dict[str, float]:
    """Return how many groups there are for how many causes, and how right they are."""
    truth = {(way.playbook, way.step): way.cause for way in ways()}
    groups = causes(failures, model)
    placed = [
        (n, truth[playbook, step])
        for n, group in enumerate(groups)
        for playbook, step in group.where
    ]
    pairs = list(combinations(placed, 2))
    together = [one[1] == other[1] for one, other in pairs if one[0] == other[0]]
    belong = [one[0] == other[0] for one, other in pairs if one[1] == other[1]]
    return {
        "groups": len(groups), "causes": len({cause for _, cause in placed}),
        "precision": round(sum(together) / max(1, len(together)), 3),
        "recall": round(sum(belong) / max(1, len(belong)), 3),
    }  # fmt: skip
