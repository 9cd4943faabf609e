"""Scoring a search: labelled questions, and how well their answers are ranked.

A file of questions is a JSON list of ``{"question", "relevant"}``: what is relevant is named
by fields of a hit, with a grade (1 unless said). ``kind`` narrows the search, ``split`` names
a part of the file that may be scored alone. An answer counts once, at its first place::

    {
        "question": "mail server unknown",
        "kind": "failure",
        "split": "test",
        "relevant": [{"playbook": "news/letter", "step": "send", "grade": 2}],
    }

nDCG and recall are over the first ten hits; the reciprocal rank is that of the first answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Final, TypeAlias

DEPTH: Final = 10
"""Hits from the top that are judged."""
RANKINGS: Final = {"bm25": "words", "dense": "meaning", "hybrid": "both"}
"""What a ranking is called in reports → what a search calls it."""
Ask: TypeAlias = Callable[[str, str, str | None], Sequence[Mapping[str, Any]]]
"""Returns the hits of a question, given how to rank (`search.BY`) and which kind to keep."""


class BadQuestions(ValueError):
    """The file of questions cannot be scored."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question with what answers it: fields of a hit, and how good each answer is."""

    text: str
    relevant: tuple[tuple[dict[str, Any], int], ...]
    kind: str | None = None
    split: str = ""


@dataclass(frozen=True, slots=True)
class Score:
    """How well a question, or the mean of many, was answered."""

    ndcg10: float
    recall10: float
    mrr: float


def read(rows: Any, split: str = "") -> list[Question]:
    """Return the questions of a file's JSON, those of one part when it is named.

    Raises:
        BadQuestions: it is no list of labelled questions, or none is of that part.
    """
    if not isinstance(rows, list) or not rows:
        raise BadQuestions("questions are a JSON list of {question, relevant} and cannot be empty")
    every = [_question(n, row) for n, row in enumerate(rows, start=1)]
    found = [q for q in every if not split or q.split == split]
    if not found:
        there = ", ".join(sorted({q.split for q in every if q.split})) or "none"
        raise BadQuestions(f"no question has split {split!r}; the splits are {there}")
    return found


def _question(n: int, row: Any) -> Question:
    if not isinstance(row, dict) or not row.get("question") or not row.get("relevant"):
        raise BadQuestions(f"question {n} needs a `question` and what is `relevant` to it")
    relevant = tuple(
        ({k: v for k, v in one.items() if k != "grade"}, int(one.get("grade", 1)))
        for one in row["relevant"]
    )
    return Question(row["question"], relevant, row.get("kind"), row.get("split", ""))


def score(question: Question, hits: Sequence[Mapping[str, Any]]) -> Score:
    """Return how well hits, best first, answer a question."""
    places: dict[int, int] = {}
    for place, hit in enumerate(hits, start=1):
        for n, (wanted, _) in enumerate(question.relevant):
            if n not in places and all(_of(hit, key) == value for key, value in wanted.items()):
                places[n] = place
                break
    near = {n: place for n, place in places.items() if place <= DEPTH}
    gained = sum(_gain(question.relevant[n][1], place) for n, place in near.items())
    grades = sorted((grade for _, grade in question.relevant), reverse=True)[:DEPTH]
    ideal = sum(_gain(grade, place) for place, grade in enumerate(grades, start=1))
    return Score(
        gained / ideal, len(near) / len(question.relevant),
        1 / min(places.values()) if places else 0.0,
    )  # fmt: skip


def scores(questions: Sequence[Question], ask: Ask) -> dict[str, Score]:
    """Return the mean score of each ranking."""
    told = {}
    for name, by in RANKINGS.items():
        every = [score(q, ask(q.text, by, q.kind)) for q in questions]
        told[name] = Score(
            fmean(s.ndcg10 for s in every), fmean(s.recall10 for s in every),
            fmean(s.mrr for s in every),
        )  # fmt: skip
    return told


def as_json(told: Mapping[str, Score]) -> dict[str, dict[str, float]]:
    """Return scores by measure, then by ranking."""
    return {
        measure: {name: round(getattr(s, measure), 4) for name, s in told.items()}
        for measure in ("ndcg10", "recall10", "mrr")
    }


def _gain(grade: int, place: int) -> float:
    return float(2**grade - 1) / math.log2(place + 1)


def _of(hit: Mapping[str, Any], key: str) -> Any:
    return hit[key] if key in hit else hit.get("payload", {}).get(key)
