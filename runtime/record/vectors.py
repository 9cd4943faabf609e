"""From a point's payload to its two vectors: what it says, in plain words, and where.

A point has up to three texts: its own words, the plain words of its error (`wording.gloss`)
and where it happened, in its author's words. Each distinct text is embedded once; the dense
vector is their weighted sum, the sparse one counts the words of each by its weight. The
weights were chosen on the questions for tuning alone (docs/reference/search-results.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from runtime.record.embed import Dense, Embedder, Sparse, sparse_document, unit
from runtime.record.masking import mask
from runtime.record.wording import gloss

_DENSE: Final = (0.3, 0.7, 0.7)
_UNKNOWN: Final = (1.0, 0.0, 0.4)
"""What counts where nobody knows the error, or there is none."""
_WORDS: Final = (1.0, 1.0, 0.7)


@dataclass(frozen=True, slots=True)
class Texts:
    """What a point is found by. ``said`` is for words, ``error`` for meaning."""

    said: str
    error: str
    gloss: str
    about: str


def texts_of(payload: Mapping[str, Any]) -> Texts:
    """Return a point's texts."""
    said, error = mask(payload["text"]), payload.get("error", "")
    return Texts(said, error or said, gloss(error), payload.get("about", ""))


def dense(payloads: Sequence[Mapping[str, Any]], embedder: Embedder) -> list[Dense]:
    """Return the dense vectors of points; each distinct text is embedded once."""
    texts = [(t.error, t.gloss, t.about) for t in map(texts_of, payloads)]
    distinct = list(dict.fromkeys(t for parts in texts for t in parts if t))
    known = dict(zip(distinct, embedder.embed(distinct), strict=True))
    return [_sum([known.get(t) for t in parts], embedder) for parts in texts]


def sparse(payload: Mapping[str, Any]) -> Sparse:
    """Return the words of a point, each text's by its weight."""
    t = texts_of(payload)
    return sparse_document(list(zip((t.said, t.gloss, t.about), _WORDS, strict=True)))


def _sum(parts: Sequence[Dense | None], embedder: Embedder) -> Dense:
    weights = _DENSE if parts[1] is not None else _UNKNOWN
    there = [(w, v) for w, v in zip(weights, parts, strict=True) if v is not None]
    if not there:
        return embedder.embed([""])[0]
    if len(there) == 1:
        return there[0][1]
    total = np.asarray([w for w, _ in there]) @ np.asarray([v for _, v in there])
    return unit(total.tolist())
