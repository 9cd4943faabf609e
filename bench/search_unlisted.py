"""How well search finds causes that the catalogue of errors does not know.

Each third of the kinds is left out in turn: the corpus is indexed without them, and the questions
of the tuning part are asked whose causes are of those kinds, and the others beside them. So every
question is once about an error outside the catalogue. The static model that ships was taught by
complaints of kinds that are left out too; ``untaught`` makes one that was not; MiniLM was taught
by none.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch
from weakref import WeakKeyDictionary

from bench.search_asked import ask, indexed
from runtime.record import reading, wording
from runtime.record.embed import Embedder, StaticEmbedder, embedder
from runtime.record.scoring import Question

THIRDS: Final = 3
Model = Callable[[Sequence[wording.Kind]], Embedder]
"""Returns the embedder to ask with, given the kinds that are left."""


def unlisted(
    path: Path, corpus: Path, questions: Sequence[Question], model: Model
) -> dict[str, Any]:
    """Return how questions about kinds that are left out are answered, and the others."""
    names = [kind.name for kind in wording.catalogue()]
    of = _kinds_asked(path.with_name(f"{path.name}-all"), corpus, questions)
    asked, every = list(zip(questions, of, strict=True)), list[dict[str, dict[str, Any]]]()
    for third in range(THIRDS):
        out = frozenset(names[third::THIRDS])
        parts = {
            "left_out": [question for question, kind in asked if kind in out],
            "others": [question for question, kind in asked if kind not in out],
        }
        place = path.with_name(f"{path.name}-{third}")
        with without(out):
            asks = model(wording.catalogue())
            with indexed(place, corpus, asks) as (points, _):
                every.append({part: ask(points, asks, those) for part, those in parts.items()})
    return {part: _mean([third[part] for third in every]) for part in every[0]}


@contextmanager
def without(names: frozenset[str]) -> Iterator[None]:
    """Leave kinds out of the catalogue, for points and questions alike."""
    kept = tuple(kind for kind in wording.catalogue() if kind.name not in names)
    with (
        patch.object(wording, "catalogue", lambda: kept),
        patch.object(reading, "catalogue", lambda: kept),
        patch.object(reading, "_MADE", WeakKeyDictionary()),
    ):
        _forget()
        yield
    _forget()


def _forget() -> None:
    for known in (wording.kinds_of, wording.gloss, wording._glosses):
        known.cache_clear()


def untaught(distilled: Path, place: Path) -> Model:
    """Return what makes static models that are taught by the kinds that are left alone."""
    from bench.tune_model import main as teach

    def model(kinds: Sequence[wording.Kind]) -> Embedder:
        target = Path(tempfile.mkdtemp(prefix="taught-", dir=place))
        shutil.copytree(distilled, target, dirs_exist_ok=True)
        teach(distilled, target, kinds)
        return StaticEmbedder(target)

    return model


def _kinds_asked(path: Path, corpus: Path, questions: Sequence[Question]) -> list[str]:
    """Return the kind of error that most answers of each question tell of."""
    with indexed(path, corpus, embedder(None)) as (points, _):
        failures = points.listed({"kind": "failure"}, 10_000)
    of = {(p["playbook"], p["step"]): wording.name_of(p["error"]) for p in failures}
    return [
        Counter(of.get((r["playbook"], r["step"]), "") for r, _ in q.relevant).most_common(1)[0][0]
        for q in questions
    ]


def _mean(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    total = sum(part["questions"] for part in parts)
    told: dict[str, Any] = {"questions": total}
    for measure in ("ndcg10", "recall10", "mrr"):
        told[measure] = {
            way: round(sum(p[measure][way] * p["questions"] for p in parts) / total, 4)
            for way in parts[0][measure]
        }
    return told
