"""`make planted`: does the optimizer find truths that were planted, on a real server?

Playbooks do real CPU work and real HTTP against a service of set manners. After
some runs a cycle of the shipped optimizer reads the record that they left. What it asks to
try is approved and tried; every change that it proposes is held against what is true by
construction, and a wrong one fails the bench. Beside it the planted histories of
`bench.planted_truths` are asked with many seeds: these are generated, not run, and say so::

    python -m bench.planted --minutes 8 --seeds 30 --save bench/results/planted.json
    python -m bench.planted --only trials --minutes 40 --save bench/results/planted.json
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from bench.machine import machine
from bench.planted_books import BOOKS, Book
from bench.planted_clock import library
from bench.planted_histories import Answer, ask, judged
from bench.planted_nights import nights
from bench.planted_play import ENDED, Play, play, say
from bench.planted_trial_books import TRIED
from bench.planted_trials import tried_out
from bench.planted_truths import TRUTHS

Json: TypeAlias = Any

WRONG: Final = 0.02
"""The share of planted histories of one truth of which something wrong may be said."""
PARTS: Final = ("runtime", "trials", "nights", "histories")


@dataclass(slots=True)
class Asked:
    """What was answered so far of the books of a play."""

    play: Play
    answers: dict[str, Answer] = field(default_factory=dict)

    def cycle(self) -> None:
        """Run the optimizer, note its answers, and approve what it asks to try."""
        view, drafted = self.play.proposed()
        for reason in view["result"]["reasons"]:
            name = reason["scope"].partition("#")[0].removeprefix("planted/")
            if not _is_live(reason):
                self._note(name, Answer("abstained", None, 1.0, reason["text"]))
        for candidate in view["result"]["candidates"]:
            name = candidate["playbook"].removeprefix("planted/")
            self._note(name, answer_of(candidate))
        for proposal in drafted:
            name = proposal["playbook"].removeprefix("planted/")
            if proposal["kind"] == "experiment" and _book(name).tried:
                self.play.approve(proposal["id"])

    def _note(self, name: str, answer: Answer) -> None:
        """Keep the last answer, and a change for good: whatever follows was told by it."""
        known = self.answers.get(name)
        if known is None or known.said in ("asked", "abstained"):
            self.answers[name] = answer
            value = "" if answer.value is None else answer.value
            say(f"  {name}: {answer.said} {value} {answer.why[:110]}")

    def open(self) -> list[Book]:
        """Return the books of which a trial has yet to come to its end."""
        names = {
            p["playbook"].removeprefix("planted/")
            for p in self.play.proposals()
            if p["kind"] == "experiment" and p["state"] not in ENDED | {"proposed", "blocked"}
        }
        return [book for book in BOOKS if book.name in names and book.tried]

    def try_out(self) -> None:
        """Run what is on trial until it has come to its end, or the time is up."""
        while (books := self.open()) and not self.play.late:
            say(f"  on trial: {', '.join(book.name for book in books)}")
            self.play.once(books)


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
    began = time.monotonic()
    with play(minutes) as stage:
        before = [book for book in books if book.earlier]
        for book in before:
            stage.register(book, earlier=True)
        for _ in range(max((book.rounds for book in before), default=0)):
            stage.once(before, earlier=True)
        for book in books:
            stage.register(book)
        for number in range(max(book.rounds for book in books)):
            say(f"round {number + 1}")
            stage.once([book for book in books if book.rounds > number])
        asked = Asked(stage)
        while not stage.late:
            say(f"cycle {stage.cycles + 1}")
            asked.cycle()
            if not asked.open():
                break
            asked.try_out()
        rows = [_row(book, asked.answers.get(book.name)) for book in books]
        return {
            "runs": stage.runs, "cycles": stage.cycles, "books": rows,
            "seconds": round(time.monotonic() - began), "load": machine()["load"][0],
        }  # fmt: skip


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
    """Play, ask, write; 0 when nothing wrong was said in the parts that were measured."""
    asked = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    asked.add_argument("--minutes", type=float, default=8.0, help="of runs a part, at most")
    asked.add_argument("--seeds", type=int, default=30)
    asked.add_argument("--books", nargs="*", default=(), help="some of the playbooks, by name")
    asked.add_argument("--only", nargs="+", default=PARTS, choices=PARTS, help="these parts")
    asked.add_argument("--save", type=Path, help="what else stands there is kept")
    args = asked.parse_args()
    told: Json = {}
    if args.save and args.save.is_file():
        told = json.loads(args.save.read_text(encoding="utf-8"))
    now: Json = {}
    for part in [part for part in PARTS if part in args.only]:
        now |= _measured(part, args)
        text = json.dumps(joined(told, now), indent=1, ensure_ascii=False)
        if args.save:  # after each part: what breaks in a later one does not cost this one
            args.save.write_text(text + "\n", encoding="utf-8")
    print(json.dumps(now, indent=1, ensure_ascii=False))
    return 1 if list(wrong(now)) else 0


def _measured(part: str, args: argparse.Namespace) -> Json:
    """Measure a part, or say why it is left out."""
    names = tuple(args.books)
    if part == "runtime":
        if books := [book for book in BOOKS if not names or book.name in names]:
            return {"on_the_runtime": _some(played(books, args.minutes), names)}
    elif part == "trials":
        if not names or any(one.name in names for one in TRIED):
            with play(args.minutes) as stage:
                return {"trials": _some(tried_out(stage, names), names)}
    elif names:
        say(f"{part}: left out, --books are of the runtime and of trials")
    elif part == "histories":
        return {"planted_histories": planted(args.seeds)}
    elif library() is None:
        say("nights and days are left out: faketime is not installed")
    else:
        return {"nights": nights(args.minutes)}
    return {}


def _some(told: Json, names: Sequence[str]) -> Json:
    """Mark what was measured of some playbooks alone, so that the others' rows are kept."""
    return {**told, "some": True} if names else told


def joined(told: Json, now: Json) -> Json:
    """Return what stood there with what was measured now; a part played in pieces says so."""
    found = dict(told)
    for part, new in now.items():
        old = told.get(part)
        found[part] = _pieced(old, new) if old and "some" in new else new
    return found


def _pieced(old: Json, new: Json) -> Json:
    key = "books" if "books" in new else "rows"
    rows = {_which(row): row for row in (*old[key], *new[key])}
    sums = {name: old.get(name, 0) + new[name] for name in ("runs", "seconds")}
    load = f"{old['load']}, {new['load']}" if "load" in old else new["load"]
    plays = old.get("plays", 1) + 1
    return {**old, **new, **sums, "load": load, "plays": plays, key: list(rows.values())}


def _which(row: Json) -> tuple[str, bool]:
    return row["name"], row.get("good", True)


def wrong(told: Json) -> Iterator[str]:
    """Yield the truths of which something wrong was said; one that was missed is no wrong one."""
    for row in told.get("on_the_runtime", {}).get("books", ()):
        if row["said"] == "wrong":
            yield row["name"]
    for row in told.get("trials", {}).get("rows", ()):
        if not row["ok"]:
            yield f"the trial of {row['name']}"
    for row in told.get("nights", {}).get("rows", ()):
        if not row["ok"]:
            yield row["name"]
    for row in told.get("planted_histories", ()):
        if row["wrong"] > max(1.0, WRONG * row["seeds"]):
            yield row["name"]


if __name__ == "__main__":
    sys.exit(main())
