"""Reading a question: which kinds of error it may complain of, before any point is looked at.

The catalogue (`runtime.record.wording`) knows many complaints of each kind. A question is of the
kinds whose complaints, gloss and words it is nearest to, each with a share; all shares sum to 1.
It is then looked for as if it had said so: its vector is moved toward what those kinds mean, and
points of a kind gain by its share. A question that is no nearer to any kind than complaints are to
kinds they are not of has its share in none, as errors have that nobody knows.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakKeyDictionary

import numpy as np

from runtime.record.embed import Dense, Embedder, stem, unit, words
from runtime.record.wording import Kind, catalogue

_NEAREST: Final = 3
"""So many of a kind's complaints say how near it is."""
_COMPLAINT: Final = 0.5
_GLOSS: Final = 0.3
_WORD: Final = 0.02
"""What the nearest complaints, the gloss and BM25 count beside the mean of all complaints."""
_WARM: Final = 0.1
"""The smaller, the more the nearest kind has of all shares."""
_SAMPLE: Final = 10
"""Each tenth complaint says how near kinds are that are not meant."""
_FOREIGN: Final = 0.8
"""None is as near as this share of complaints have no kind that they are not of."""
_TOWARD: Final = 0.25
"""How far a question is moved, where its own length is 1."""
_SEEN: Final = 8
"""Kinds beyond so many have no share worth moving for."""


@dataclass(frozen=True, slots=True)
class Read:
    """A question as it was read: the share of each kind, of none (""), and what to look with."""

    shares: dict[str, float]
    vector: Dense


class Reading:
    """Reads questions with one embedder; the catalogue is embedded when the first one comes."""

    def __init__(self, embedder: Embedder) -> None:
        kinds = catalogue()
        self._names = [kind.name for kind in kinds]
        each = [len(kind.complaints) for kind in kinds]
        starts = np.cumsum([0, *each])
        self._places = _places(starts, max(*each, _NEAREST))
        self._complaints = _embedded(embedder, (c for kind in kinds for c in kind.complaints))
        self._glosses = _embedded(embedder, (kind.gloss for kind in kinds))
        self._means = _units(np.add.reduceat(self._complaints, starts[:-1]))
        self._toward = _units(self._glosses + self._means)
        self._words = _rarities(kinds)
        self._none = self._unmeant(kinds)

    def of(self, text: str, vector: Dense) -> Read:
        """Return how a question reads, given its own vector."""
        asked = np.asarray(vector, dtype=np.float32)
        near = np.append(self._near(text, asked), self._none)
        shares = np.exp((near - near.max()) / _WARM)
        shares /= shares.sum()
        shares, none = shares[:-1], float(shares[-1])
        most = np.argsort(-shares)[:_SEEN]
        moved = asked + _TOWARD * (shares[most] @ self._toward[most])
        return Read(
            {**dict(zip(self._names, shares.tolist(), strict=True)), "": none},
            unit(moved.tolist()),
        )  # fmt: skip

    def _near(self, text: str, asked: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        near = self._means @ asked + _GLOSS * (self._glosses @ asked)
        near += _COMPLAINT * self._nearest(self._complaints @ asked) + _WORD * self._saying(text)
        return np.asarray(near)

    def _unmeant(self, kinds: Sequence[Kind]) -> float:
        """Return how near complaints are to the nearest kind that they are not of."""
        texts = [(n, said) for n, kind in enumerate(kinds) for said in kind.complaints]
        found = []
        for (own, text), vector in list(zip(texts, self._complaints, strict=True))[::_SAMPLE]:
            found.append(np.delete(self._near(text, vector), own).max())
        return float(np.quantile(found, _FOREIGN))

    def _nearest(self, near: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return the mean of each kind's nearest complaints, all kinds at once."""
        parts = np.append(near, -np.inf)[self._places]
        best = np.partition(parts, -_NEAREST, axis=1)[:, -_NEAREST:]
        return np.asarray(best.mean(axis=1, where=np.isfinite(best)))

    def _saying(self, text: str) -> np.ndarray[Any, Any]:
        there = [self._words[w] for w in {stem(w) for w in words(text)} if w in self._words]
        return np.sum(there, axis=0) if there else np.zeros(len(self._names))


_MADE: Final[WeakKeyDictionary[Embedder, Reading]] = WeakKeyDictionary()


def reading(embedder: Embedder) -> Reading:
    """Return the reading of an embedder, made once and kept as long as that."""
    made = _MADE.get(embedder)
    if made is None:
        made = _MADE[embedder] = Reading(embedder)
    return made


def _embedded(embedder: Embedder, texts: Iterable[str]) -> np.ndarray[Any, Any]:
    return np.asarray(embedder.embed(list(texts)), dtype=np.float32)


def _places(starts: np.ndarray[Any, Any], width: int) -> np.ndarray[Any, Any]:
    """Return where the complaints of each kind stand, a row a kind; one past all fills it up."""
    places = starts[:-1, None] + np.arange(width)
    return np.where(places < starts[1:, None], places, starts[-1])


def _units(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9))


def _rarities(kinds: Iterable[Kind]) -> dict[str, np.ndarray[Any, Any]]:
    """Return BM25 of each word in the text that all words of a kind are."""
    texts = [
        Counter(stem(w) for said in (kind.gloss, *kind.complaints) for w in words(said))
        for kind in kinds
    ]
    length = np.asarray([text.total() for text in texts])
    norm, found = 1.2 * (0.5 + 0.5 * length / length.mean()), dict[str, np.ndarray[Any, Any]]()
    for word in {word for text in texts for word in text}:
        count = np.asarray([text[word] for text in texts])
        in_ = int((count > 0).sum())
        rare = math.log(1 + (len(texts) - in_ + 0.5) / (in_ + 0.5))
        found[word] = rare * count * 2.2 / (count + norm)
    return found
