"""The corpus of `search_corpus`, indexed with an embedder and asked labelled questions."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from runtime.data.folder import DataFolder
from runtime.journal.sqlite import SqliteReader
from runtime.record.embed import Embedder
from runtime.record.follow import Known, advanced, next_batch
from runtime.record.point_sink import PointSink
from runtime.record.qdrant import EdgePoints
from runtime.record.ranking import found_by
from runtime.record.scoring import Question, as_json, scores


def ask(points: EdgePoints, model: Embedder, questions: Sequence[Question]) -> dict[str, Any]:
    """Return how well questions are answered, each way of ranking alone and both."""

    def found(text: str, by: str, kind: str | None) -> list[dict[str, Any]]:
        where = {"kind": kind} if kind else {}
        return [asdict(hit) for hit in found_by(points, model, text, where, 20, by)]

    return {"questions": len(questions), **as_json(scores(questions, found))}


@contextmanager
def indexed(
    path: Path, corpus: Path, model: Embedder
) -> Iterator[tuple[EdgePoints, dict[str, Any]]]:
    """Index a corpus; yield its points, and what that took."""
    source, points = SqliteReader.open(DataFolder(corpus).journal), EdgePoints(path)
    sink, known, cursor, events = PointSink(points, model), Known(source), dict[int, int](), 0
    sink.prepare()
    began = time.process_time()
    while (batch := next_batch(source, cursor)) is not None:
        known.take(batch)
        sink.write(batch, known)
        cursor, events = advanced(cursor, batch.span), events + len(batch.facts)
    took = time.process_time() - began
    ended = len(source.runs(limit=10_000_000))
    source.close()
    yield points, {
        "executions": ended, "events": events, "points": sum(1 for _ in points.ids()),
        "index_cpu_s": round(took, 2),
    }  # fmt: skip
    points.close()
