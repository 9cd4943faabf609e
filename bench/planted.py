"""`make planted`: does the optimizer find truths that were planted, on a real server?

Playbooks do real CPU work and real HTTP against a service of set manners. After
some runs a cycle of the shipped optimizer reads the record that they left. What it asks to
try is approved and tried; every change that it proposes is held against what is true by
construction, and a wrong one fails the bench. Beside it the planted histories of
`bench.planted_truths` are asked with many seeds: these are generated, not run, and say so::

    python -m bench.planted --minutes 8 --seeds 30 --save bench/results/planted.json
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from bench.machine import machine
from bench.planted_books import BOOKS, HARDWARE, WORK, Book
from bench.planted_histories import Answer, ask, judged
from bench.planted_service import served
from bench.planted_truths import TRUTHS
from control_plane.demo.stage import Stage, set_up
from control_plane.review.lifecycle import SETTLED

Json: TypeAlias = Any

POLL_S: Final = 0.1
DRAFTED_S: Final = 30.0
WRONG: Final = 0.02
"""The share of planted histories of one truth of which something wrong may be said."""
ENDED: Final = frozenset(state.value for state in SETTLED)


def say(text: str) -> None:
    """Tell how far it is."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


@dataclass(slots=True)
class Play:
    """What was run and answered so far."""

    stage: Stage
    service: str
    until: float
    answers: dict[str, Answer] = field(default_factory=dict)
    cycles: int = 0
    runs: int = 0

    @property
    def late(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() > self.until

    # ---- runs -------------------------------------------------------------------------

    def register(self, book: Book, *, earlier: bool = False) -> None:
        """Enter a playbook, as it is or as it was."""
        files = {"planted_work.py": WORK}
        body = {"source": book.source(earlier), "files": files}
        self.stage.author.post("/api/playbooks", body)

    def submit(self, book: Book, *, earlier: bool = False) -> str:
        """Start a run."""
        workload = {**book.workload, **(book.earlier if earlier else {})}
        if book.path:
            workload["url"] = self.service + book.path
        body = {"playbook": f"planted/{book.name}", "workload": workload}
        self.runs += 1
        return str(self.stage.author.post("/api/runs", body)["run"])

    def wait(self, run: str) -> Json:
        """Wait until a run has completed.

        Raises:
            RuntimeError: it failed.
        """
        while (view := self.stage.author.get(f"/api/runs/{run}"))["ended_at"] is None:
            time.sleep(POLL_S)
        if view["state"] != "completed":
            raise RuntimeError(f"run {run} is {view['state']}: {view.get('fault')}")
        return view

    def once(self, books: Sequence[Book], *, earlier: bool = False) -> None:
        """Run each once: side by side where it does not matter, else one after the other."""
        beside = [self.submit(book, earlier=earlier) for book in books if not book.alone]
        for run in beside:
            self.wait(run)
        for book in books:
            if book.alone:
                self.wait(self.submit(book, earlier=earlier))

    # ---- the loop ---------------------------------------------------------------------

    def cycle(self) -> None:
        """Run the optimizer, note its answers, and approve what it asks to try."""
        self.cycles += 1
        view = self.wait(self.stage.reviewer.post("/api/optimize")["run"])
        for reason in view["result"]["reasons"]:
            name = reason["scope"].partition("#")[0].removeprefix("planted/")
            if not _is_live(reason):
                self._note(name, Answer("abstained", None, 1.0, reason["text"]))
        for candidate in view["result"]["candidates"]:
            name = candidate["playbook"].removeprefix("planted/")
            self._note(name, answer_of(candidate))
        for proposal in self._drafted(view):
            name = proposal["playbook"].removeprefix("planted/")
            if proposal["kind"] == "experiment" and _book(name).tried:
                full = self.stage.reviewer.get(f"/api/proposals/{proposal['id']}")
                body = {"bound_hash": full["bound_hash"]}
                self.stage.reviewer.post(f"/api/proposals/{proposal['id']}/approve", body)

    def _note(self, name: str, answer: Answer) -> None:
        """Keep the last answer, and a change for good: whatever follows was told by it."""
        known = self.answers.get(name)
        if known is None or known.said in ("asked", "abstained"):
            self.answers[name] = answer
            value = "" if answer.value is None else answer.value
            say(f"  {name}: {answer.said} {value} {answer.why[:110]}")

    def _drafted(self, view: Json) -> list[Json]:
        expected, until = len(view["result"]["candidates"]), time.monotonic() + DRAFTED_S
        while True:
            mine = [p for p in self._proposals() if p.get("cycle") == view["run"]]
            ready = [p for p in mine if p["state"] not in ("draft", "gated")]
            if len(ready) >= expected or time.monotonic() > until:
                return [p for p in ready if p["state"] == "proposed"]
            time.sleep(POLL_S)

    def _proposals(self) -> list[Json]:
        found: list[Json] = self.stage.reviewer.get("/api/proposals")
        return found

    def open(self) -> list[Book]:
        """Return the books of which a trial has yet to come to its end."""
        names = {
            p["playbook"].removeprefix("planted/")
            for p in self._proposals()
            if p["kind"] == "experiment" and p["state"] not in ENDED | {"proposed", "blocked"}
        }
        return [book for book in BOOKS if book.name in names and book.tried]

    def try_out(self) -> None:
        """Run what is on trial until it has come to its end, or the time is up."""
        while (books := self.open()) and not self.late:
            say(f"  on trial: {', '.join(book.name for book in books)}")
            self.once(books)


def _is_live(reason: Json) -> bool:
    return str(reason["reason"]) == "live"


def _book(name: str) -> Book:
    return next(book for book in BOOKS if book.name == name)


def answer_of(candidate: Json) -> Answer:
    """Hold a candidate against the truth."""
    book = _book(candidate["playbook"].removeprefix("planted/"))
    line = candidate["diff"][0]
    if candidate["kind"] == "experiment":
        return Answer("asked", line["values"], 1.0, candidate["note"])
    worth = book.worth(line["to"])
    return Answer(judged(worth, book.best), line["to"], worth, candidate["note"])


def played(books: Sequence[Book], minutes: float) -> Json:
    """Play the books on a server of their own; return what was said of each."""
    with _play(minutes) as play:
        before = [book for book in books if book.earlier]
        for book in before:
            play.register(book, earlier=True)
        for _ in range(max((book.rounds for book in before), default=0)):
            play.once(before, earlier=True)
        for book in books:
            play.register(book)
        for number in range(max(book.rounds for book in books)):
            say(f"round {number + 1}")
            play.once([book for book in books if book.rounds > number])
        while not play.late:
            say(f"cycle {play.cycles + 1}")
            play.cycle()
            if not play.open():
                break
            play.try_out()
        rows = [_row(book, play.answers.get(book.name)) for book in books]
        return {"runs": play.runs, "cycles": play.cycles, "books": rows}


@contextmanager
def _play(minutes: float) -> Iterator[Play]:
    root = Path(tempfile.mkdtemp(prefix="planted-"))
    (root / "hardware.yaml").write_text(HARDWARE, encoding="utf-8")
    try:
        with served() as url, set_up(root, "", keep=False) as stage:
            yield Play(stage, url, time.monotonic() + 60.0 * minutes)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _row(book: Book, answer: Answer | None) -> Json:
    found = answer or Answer("abstained", None, 1.0, "nothing was said")
    return {
        "name": book.name, "promise": book.promise, "changes": book.changes, "best": book.best,
        "ok": is_ok(found.said, book.changes), **asdict(found),
    }  # fmt: skip


def is_ok(said: str, changes: bool) -> bool:
    """Whether an answer may stand: never a wrong one, and a right one where there is one."""
    return said == "right" if changes else said in ("asked", "abstained")


def planted(seeds: int) -> list[Json]:
    """Ask about every planted history with many seeds."""
    rows = []
    for truth in TRUTHS:
        said = Counter(ask(truth, seed).said for seed in range(seeds))
        wanted = said["right"] if truth.changes else said["asked"] + said["abstained"]
        rows.append({
            "name": truth.name, "promise": truth.promise, "changes": truth.changes,
            "seeds": seeds, **{name: said[name] for name in _SAID},
            "ok": said["wrong"] <= max(1.0, WRONG * seeds) and wanted >= 0.9 * seeds,
        })  # fmt: skip
        say(f"planted history, {truth.name}: {dict(said)}")
    return rows


_SAID: Final = ("right", "asked", "abstained", "wrong")


def main() -> int:
    """Play, ask, write; 0 when nothing wrong was said."""
    asked = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    asked.add_argument("--minutes", type=float, default=8.0, help="of runs, at most")
    asked.add_argument("--seeds", type=int, default=30)
    asked.add_argument("--books", nargs="*", help="some of the playbooks, by name")
    asked.add_argument("--save", type=Path)
    args = asked.parse_args()
    began = time.monotonic()
    books = [book for book in BOOKS if not args.books or book.name in args.books]
    told = {
        "on_the_runtime": played(books, args.minutes),
        "planted_histories": planted(args.seeds), "machine": machine(),
        "seconds": round(time.monotonic() - began),
    }  # fmt: skip
    text = json.dumps(told, indent=1, ensure_ascii=False)
    print(text)
    if args.save:
        args.save.write_text(text + "\n", encoding="utf-8")
    return 1 if list(wrong(told)) else 0


def wrong(told: Json) -> Iterator[str]:
    """Yield the truths of which something wrong was said; one that was missed is no wrong one."""
    for row in told["on_the_runtime"]["books"]:
        if row["said"] == "wrong":
            yield row["name"]
    for row in told["planted_histories"]:
        if row["wrong"] > max(1.0, WRONG * row["seeds"]):
            yield row["name"]


if __name__ == "__main__":
    sys.exit(main())
