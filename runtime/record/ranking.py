"""Ranking: the two ways in which points are near a question, fused into one list of hits.

The question is read first (`runtime.record.reading`). A hit's score is its cosine to the question
as it was read, its share of the best BM25, and the share of the kind of error that it tells of,
each weighted. What one ranking did not return is taken to be as near as the last that it did. The
weights, like those of `vectors`, were chosen on the questions for tuning alone.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from runtime.record.embed import Embedder, sparse_query, stem, words
from runtime.record.masking import mask
from runtime.record.qdrant import Found, Points, Where
from runtime.record.reading import reading
from runtime.record.search import LIMIT, Hit
from runtime.record.vectors import texts_of
from runtime.record.wording import gloss

SIMILAR: Final = 0.2
"""Below this cosine two texts have nothing to do with each other."""
_SAYING: Final = 0.15
"""What the best BM25 counts, and a kind that has all shares, where a cosine counts 1."""
_KIND: Final = 0.7
_LIKELY: Final = 0.1
"""A kind with less of the shares is no reason for a hit."""
_SECOND: Final = 0.7
"""An error's second kind is a guess more often than its first."""
_DEEP: Final = 100
"""Hits by words and by meaning that are weighed against each other, at least."""
FACETS: Final = ("kind", "playbook", "step", "state", "hardware")
_BREAKS: Final = re.compile(r"[.;:]\s+")
_PHRASE: Final = 200
"""Characters of a text that stand for it where texts are compared."""
_SHOWN: Final = (
    "kind", "text", "playbook", "step", "state", "count", "first_at", "last_at", "stream",
    "stream_seq",
)  # fmt: skip


def hits(
    points: Points, model: Embedder, text: str, where: Where, limit: int, by: str = "both"
) -> list[Hit]:
    """Return the best hits among points: both rankings, fused, or one of them."""
    found = found_by(points, model, text, where, limit, by)
    near = [h for h in found if "meaning" in h.why]
    for hit, phrase in zip(near, _phrases(near, text, model), strict=True):
        hit.why["meaning"]["phrase"] = phrase
    return found


def found_by(
    points: Points, model: Embedder, text: str, where: Where, limit: int, by: str = "both"
) -> list[Hit]:
    """Return the best hits without the phrases that are nearest to the question."""
    depth, asked, masked = max(limit, _DEEP), sparse_query(text), mask(text)
    # What is a number or an id alone has no meaning to be near to.
    meant = model.embed([masked]) if by != "words" and words(masked) else []
    read = reading(model).of(masked, meant[0]) if meant else None
    near = points.near(read.vector, where, depth) if read else []
    said = points.saying(asked, where, depth) if asked[0] and by != "meaning" else []
    shares = read.shares if read else {}
    return fuse(text, [p for p in near if p.score >= SIMILAR], said, limit, shares)


def facets(points: Points, model: Embedder, text: str, where: Where) -> dict[str, dict[str, int]]:
    """Return how often each value of each facet is among what a search finds."""
    found, told = found_by(points, model, text, where, LIMIT), {}
    for facet in FACETS:
        values = [getattr(h, facet, None) or h.payload.get(facet) for h in found]
        told[facet] = dict(Counter(str(v) for v in values if v).most_common())
    return told


def fuse(
    text: str, meant: Sequence[Found], said: Sequence[Found], limit: int = LIMIT,
    shares: Mapping[str, float] | None = None,
) -> list[Hit]:  # fmt: skip
    """Return both rankings as one, best first; a kind of error counts by its share."""
    payloads = {p.id: p.payload for p in (*meant, *said)}
    near, best = {p.id: p.score for p in meant}, max((p.score for p in said), default=1.0)
    last = min(near.values()) if len(meant) >= _DEEP else 0.0
    told = {p.id: p.score / (best or 1.0) for p in said}
    complained = {name: _complained(p, shares or {}) for name, p in payloads.items()}
    scores = {
        name: near.get(name, last) + _SAYING * told.get(name, 0.0) + _KIND * complained[name][1]
        for name in payloads
    }
    ranked = sorted(scores, key=lambda name: (-scores[name], name))[:limit]
    why = _why(words(text), meant, said, set(ranked))
    for name in ranked:
        kind, share = complained[name]
        if kind and share >= _LIKELY:
            why[name]["kind"] = {"name": kind, "share": round(share, 4)}
    return [_hit(name, payloads[name], scores[name], why[name]) for name in ranked]


def _complained(payload: Mapping[str, Any], shares: Mapping[str, float]) -> tuple[str, float]:
    """Return the kind of error that a point tells of and the question complains of most."""
    failed = payload.get("error") and payload["kind"] != "log"  # most lines tell of no error
    kinds = payload.get("kinds") or ([""] if failed else [])
    weighed = zip(kinds, (1.0, _SECOND), strict=False)
    found = [(kind, weight * shares.get(kind, 0.0)) for kind, weight in weighed]
    return max(found, key=lambda of: of[1], default=("", 0.0))


def _why(
    asked: Sequence[str], meant: Sequence[Found], said: Sequence[Found], shown: set[str]
) -> dict[str, dict[str, Any]]:
    why: dict[str, dict[str, Any]] = {name: {} for name in shown}
    for rank, point in enumerate(meant, start=1):
        if point.id in shown:
            why[point.id]["meaning"] = {"rank": rank, "similarity": round(point.score, 4)}
    for rank, point in enumerate(said, start=1):
        if point.id not in shown:
            continue
        t = texts_of(point.payload)
        there = {stem(w) for w in words(f"{t.said} {t.gloss} {t.about}")}
        matched = [w for w in dict.fromkeys(asked) if stem(w) in there]
        why[point.id]["words"] = {"rank": rank, "matched": matched}
    return why


def _phrases(found: Sequence[Hit], text: str, model: Embedder) -> list[str]:
    """Return of each hit the phrase that is nearest to a question."""
    if not found:
        return []
    parts = [_parts(hit) for hit in found]
    distinct = list(dict.fromkeys(p for phrases in parts for p in phrases))
    asked, *vectors = np.asarray(model.embed([mask(text), *distinct]))
    near = dict(zip(distinct, (np.asarray(vectors) @ asked).tolist(), strict=True))
    return [max(phrases, key=lambda p: near[p]) for phrases in parts]


def _parts(hit: Hit) -> list[str]:
    error = str(hit.payload.get("error", ""))
    whole = [mask(hit.text), *_BREAKS.split(gloss(error)), hit.payload.get("about", "")]
    return [p[:_PHRASE] for p in whole if p] or [hit.kind]


def _hit(name: str, payload: dict[str, Any], score: float, why: dict[str, Any]) -> Hit:
    rest = {k: v for k, v in payload.items() if k not in {*_SHOWN, "counted", "place"}}
    return Hit(id=name, score=score, why=why, payload=rest, **{k: payload[k] for k in _SHOWN})
