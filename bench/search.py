"""`make bench-search`: how well search finds causes, how fast, and how far it lags.

Executions that really fail (`search_corpus`) are indexed with each embedder and asked the
labelled questions of ``search_questions.json``: the weights were tuned on its ``dev`` part, what
counts is ``test``. Then queries are timed over 100,000 and 300,000 points made from the corpus's,
and a journal that grows by 2,000 attempts a second is followed. One JSON object is printed::

    python -m bench.search --save bench/results/search.json
    python -m bench.search --only speed     # one part of it: quality, unlisted, speed or lag
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import numpy as np

from bench.machine import machine
from bench.search_asked import ask, indexed
from bench.search_corpus import run as make_corpus
from bench.search_groups import grouped
from bench.search_traffic import RATE
from bench.search_unlisted import Model, unlisted, untaught
from runtime.data.folder import DataFolder
from runtime.journal.sqlite import SqliteReader
from runtime.record import ranking, vectors
from runtime.record.embed import MINILM, Embedder, embedder
from runtime.record.feed import POINTS_WITHIN_S, Feed, describe
from runtime.record.point_sink import PointSink
from runtime.record.qdrant import EdgePoints, Point
from runtime.record.ranking import hits
from runtime.record.reading import Read
from runtime.record.scoring import Question, read
from runtime.record.vectors import sparse

QUESTIONS: Final = Path(__file__).with_name("search_questions.json")
EMBEDDERS: Final = {"static": None, "minilm": MINILM}
SIZES: Final = {"100k": 100_000, "300k": 300_000}
PARTS: Final = ("quality", "unlisted", "speed", "lag")
_PUT: Final = 1_000


def main() -> None:
    asked = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    asked.add_argument("--corpus", type=Path, help="a data folder of bench.search_corpus")
    asked.add_argument(
        "--distilled",
        type=Path,
        help="what distill_model.py made, to be taught by some kinds alone",
    )
    asked.add_argument("--each", type=int, default=20, help="executions of each way to fail")
    asked.add_argument("--embedders", nargs="*", default=list(EMBEDDERS), choices=EMBEDDERS)
    asked.add_argument("--lag-s", type=float, default=30.0, help="seconds of traffic; 0: none")
    asked.add_argument("--sizes", nargs="*", default=list(SIZES), choices=SIZES)
    asked.add_argument("--only", nargs="*", default=list(PARTS), choices=PARTS)
    asked.add_argument("--save", type=Path)
    args = asked.parse_args()
    place = Path(tempfile.mkdtemp(prefix="bench-search-"))
    try:
        told = measured(place, args)
    finally:
        shutil.rmtree(place)
    print(json.dumps(told, indent=1))
    if args.save:
        _save(args.save, told)


def _save(path: Path, told: dict[str, Any]) -> None:
    """Keep the figures; those of what was not measured now stay as they were."""
    kept = json.loads(path.read_text("utf-8")) if path.exists() else {}
    for key, value in told.items():
        kept[key] = {**kept.get(key, {}), **value} if isinstance(value, dict) else value
    path.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def measured(place: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Measure everything that was asked for."""
    corpus = args.corpus or place / "corpus"
    if args.corpus is None and args.only != ["lag"]:
        make_corpus(corpus, args.each)
    on = machine()
    told: dict[str, Any] = {
        "machine": on, "measured": {p: {k: on[k] for k in ("at", "load")} for p in args.only}
    }  # fmt: skip
    if "quality" in args.only:
        told |= _quality(place, corpus, args.embedders)
    if "unlisted" in args.only:
        told["unlisted"] = {name: _unlisted(place, corpus, name) for name in args.embedders}
        if args.distilled:
            model = untaught(args.distilled, place)
            told["unlisted"]["static, not taught by them"] = _strange(place, corpus, "own", model)
    if args.sizes and "speed" in args.only:
        told |= _speed(place / "many", corpus, args.sizes)
    if args.lag_s and "lag" in args.only:
        say("following traffic")
        told |= _lag(place / "traffic", args.lag_s)
    return told


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# ---- quality -----------------------------------------------------------------------------


def _quality(place: Path, corpus: Path, embedders: Sequence[str]) -> dict[str, Any]:
    told: dict[str, Any] = {"ndcg10": {}, "recall10": {}, "mrr": {}, "more": {}}
    for name in embedders:
        say(f"scoring {name}")
        found = _scored(place / name, corpus, embedder(EMBEDDERS[name]))
        for measure in ("ndcg10", "recall10", "mrr"):
            told[measure][name] = found["test"][measure]
        told["executions"] = found.pop("executions")
        told["more"][name] = found
    return told


def _unlisted(place: Path, corpus: Path, name: str) -> dict[str, Any]:
    """Score errors outside the catalogue, on the tuning part of the questions."""
    model = embedder(EMBEDDERS[name])
    return _strange(place, corpus, name, lambda kinds: model)


def _strange(place: Path, corpus: Path, name: str, model: Model) -> dict[str, Any]:
    say(f"leaving kinds out for {name}")
    asked = read(json.loads(QUESTIONS.read_text("utf-8")), "dev")
    return unlisted(place / f"unlisted-{name}", corpus, asked, model)


def _scored(path: Path, corpus: Path, model: Embedder) -> dict[str, Any]:
    rows = json.loads(QUESTIONS.read_text("utf-8"))
    told: dict[str, Any] = {}
    with indexed(path, corpus, model) as (points, made):
        told |= made
        for split in ("test", "dev"):
            told[split] = ask(points, model, read(rows, split))
        every = [Question(q.text, q.relevant) for q in read(rows, "test")]
        told["test_all_kinds"] = ask(points, model, every)
        told["groups"] = grouped(points.listed({"kind": "failure"}, 10_000), model)
    with (
        _no_catalogue(),
        indexed(path.with_name(f"{path.name}-plain"), corpus, model) as (points, _),
    ):
        told["test_without_plain_words"] = ask(points, model, read(rows, "test"))
    return told


class _Unread:
    """Reads nothing into a question."""

    def of(self, text: str, vector: list[float]) -> Read:
        return Read({}, vector)


@contextmanager
def _no_catalogue() -> Iterator[None]:
    """Show what the errors' own words can do."""
    with (
        patch.object(vectors, "gloss", lambda text: ""),
        patch.object(ranking, "reading", lambda embedder: _Unread()),
    ):
        yield


# ---- speed -------------------------------------------------------------------------------


def _speed(path: Path, corpus: Path, sizes: Sequence[str]) -> dict[str, Any]:
    """Time queries over many points, and how long they keep another thread from running."""
    model = embedder(None)
    questions = [row["question"] for row in json.loads(QUESTIONS.read_text("utf-8"))]
    with indexed(path.with_name("few"), corpus, model) as (few, _):
        payloads = few.listed({}, 10_000)
    points, chance = EdgePoints(path), np.random.default_rng(4)
    points.prepare(model.dimensions)
    real = np.asarray(vectors.dense(payloads, model), dtype=np.float32)
    words = [sparse(p) for p in payloads]
    told: dict[str, Any] = {"query_p99_ms": {}, "query_p50_ms": {}, "query_cpu_ms": {}}
    told["longest_stall_ms"], made, spent = {}, 0, 0.0
    for size in sizes:
        say(f"filling up to {size} points")
        while made < SIZES[size]:
            batch = _near(real, words, payloads, made, chance)
            began = time.process_time()
            points.put(batch)
            spent += time.process_time() - began
            made += len(batch)
        with _ticking() as stalls:
            took, cpu = _timed(points, model, questions)
        told["query_p50_ms"][size] = round(float(np.percentile(took, 50)) * 1e3, 1)
        told["query_p99_ms"][size] = round(float(np.percentile(took, 99)) * 1e3, 1)
        told["query_cpu_ms"][size] = round(cpu * 1e3, 1)
        told["longest_stall_ms"][size] = round(max(stalls) * 1e3, 1)
    points.close()
    told["limits"] = {"edge_upserts_per_cpu_s": round(made / spent)}
    return told


def _near(
    real: np.ndarray[Any, Any], words: Sequence[Any], payloads: Sequence[dict[str, Any]],
    first: int, chance: np.random.Generator,
) -> list[Point]:  # fmt: skip
    """Return points like those of the corpus: their vectors with noise, a word of their own."""
    chosen = chance.integers(0, len(payloads), _PUT)
    noise = chance.normal(0, 0.6 / real.shape[1] ** 0.5, (_PUT, real.shape[1]))
    vectors_ = real[chosen] + noise
    vectors_ /= np.linalg.norm(vectors_, axis=1, keepdims=True)
    return [
        Point(
            f"00000000-0000-4000-8000-{first + n:012x}", vector,
            ([*words[i][0], 1 << 20 | int(chance.integers(0, 50_000))], [*words[i][1], 1.0]),
            {**payloads[i], "step": f"step{int(chance.integers(0, 3_000))}"},
        )
        for n, (i, vector) in enumerate(zip(chosen, vectors_.tolist(), strict=True))
    ]  # fmt: skip


def _timed(
    points: EdgePoints, model: Embedder, questions: Sequence[str]
) -> tuple[list[float], float]:
    for text in questions[:5]:
        hits(points, model, text, {}, 20)
    took, began = [], time.process_time()
    for text in questions:
        at = time.perf_counter()
        hits(points, model, text, {}, 20)
        took.append(time.perf_counter() - at)
    return took, (time.process_time() - began) / len(questions)


@contextmanager
def _ticking() -> Iterator[list[float]]:
    """Note how late a thread wakes that wants to wake each millisecond."""
    stalls, over = [0.0], threading.Event()

    def tick() -> None:
        while not over.is_set():
            at = time.perf_counter()
            time.sleep(0.001)
            stalls.append(time.perf_counter() - at - 0.001)

    thread = threading.Thread(target=tick)
    thread.start()
    yield stalls
    over.set()
    thread.join()


# ---- lag ---------------------------------------------------------------------------------


def _lag(folder: Path, seconds: float) -> dict[str, Any]:
    """Follow a journal that another process writes 2,000 attempts a second to."""
    kept = DataFolder(folder)
    kept.prepare()
    model, points = embedder(None), EdgePoints(folder / "points")
    feed = Feed(
        "qdrant", "bench", kept.journal, kept.recorder_db, lambda: PointSink(points, model), say,
        within_s=POINTS_WITHIN_S,
    )  # fmt: skip
    command = [sys.executable, "-m", "bench.search_traffic", str(kept.journal), str(seconds)]
    writer = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    feed.start()
    began = time.process_time()
    lags = _watched(feed, kept.journal, writer)
    told = {
        "index_lag_p99_s": round(float(np.percentile(lags, 99)), 2),
        "index_lag_p50_s": round(float(np.percentile(lags, 50)), 2),
        "index_events": feed.progress.events,
        "index_cpu_share": round((time.process_time() - began) / seconds, 3),
        "attempts_offered_per_s": RATE,
    }  # fmt: skip
    feed.stop()
    told["index_points"] = sum(1 for _ in points.ids())
    points.close()
    return told


def _watched(feed: Feed, journal: Path, writer: subprocess.Popen[bytes]) -> list[float]:
    """Return how far the feed is behind, ten times a second while the journal grows."""
    lags: list[float] = []
    while writer.poll() is None:
        if feed.progress.ready:
            source = SqliteReader.open(journal)
            lags.append(describe(feed, source)["behind_s"])
            source.close()
        time.sleep(0.1)
    return lags


if __name__ == "__main__":
    main()
