"""Nights and days on a real server: what ran at night alone must not look better for it.

By night a class of workers, or a batch size, has the machine for itself; by day the other one
shares it with processes that keep it busy. Whoever compares the two compares night with day.
The classes differ in speed too: the work of one takes less CPU time, at twice the price.
Beside it runs whose times have a heavy tail, and a limit that came half-way.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from bench.machine import machine
from bench.planted_books import ASK, BATCH, BURN, Book, each
from bench.planted_clock import again, hour, load
from bench.planted_play import Play, play, say
from runtime.journal.sqlite import SqliteReader
from runtime.run.events import AttemptFinished

Json: TypeAlias = Any

NIGHT: Final = 23.0
DAY: Final = 12.0
DAYS: Final = 3
BUSY: Final = 2
EVEN: Final = {"fixed_s": 0.0, "item_s": 0.002, "square_s": 0.0}
SPEED: Final = 0.8


def _same(value: Json) -> float:
    return 1.0


def _dear(value: Json) -> float:
    return 2.0 * SPEED if value == "large" else 1.0


NIGHTLY: Final = (
    Book(
        "night_class", "the class of the nights takes 0.8 of the time at twice the price",
        each(5, 1) + BURN + "    runs_on: local\n    tune: {runs_on: [local, large]}\n", _dear,
        changes=False, items=150, objective="cost", alone=True, rounds=2,
        swap=("runs_on: local\n", "runs_on: large\n"),
        earlier={"item_s": EVEN["item_s"] * SPEED}, workload=EVEN,
    ),
    Book(
        "night_batch", "batches of 50 ran by night alone; no size is better",
        each(5, 1) + BURN + BATCH, _same, changes=False, items=250, alone=True, rounds=2,
        swap=("batch: 5,", "batch: 50,"), workload=EVEN,
    ),
)  # fmt: skip
ANYTIME: Final = (
    Book(
        "heavy_tails", "times are Pareto of 1.5; no size is better", each(5, 4) + ASK + BATCH,
        _same, changes=False, items=250, path="/pareto", rounds=1,
        swap=("batch: 5,", "batch: 50,"),
    ),
    Book(
        "new_limit", "batches of 50 save a fixed cost, until a limit of 20 items came",
        each(5, 1) + BURN + BATCH, lambda n: 10.0 if n > 20 else 1.0, changes=False, items=250,
        alone=True, rounds=1, swap=("batch: 5,", "batch: 50,"),
        workload={"fixed_s": 0.008, "item_s": 0.0005, "square_s": 0.0},
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Phase:
    """Some hours of one day: which form of the books runs, and what else the machine does."""

    days_ago: int
    at: float
    earlier: bool
    busy: int


def phases() -> Iterator[Phase]:
    """Yield the nights and the days, in order; the last day is yesterday."""
    for number in range(DAYS):
        yield Phase(DAYS + 1 - number, NIGHT, True, 0)
        yield Phase(DAYS - number, DAY, False, BUSY)


def _rounds(on: Play, books: Sequence[Book], phase: Phase, half: bool) -> None:
    for book in books:
        on.register(book, earlier=phase.earlier)
        with load(phase.busy):
            for _ in range(book.rounds):
                on.once([book], earlier=phase.earlier)
    for book in ANYTIME:
        for earlier in (True, False):
            on.register(book, earlier=earlier)
            for _ in range(book.rounds):
                _run(on, book, earlier=earlier, most=20 if half else 0)


def _run(on: Play, book: Book, *, earlier: bool, most: int) -> None:
    more = {"most": most} if book.name == "new_limit" else {}
    on.wait(on.submit(book, earlier=earlier, **more))


def nights(minutes: float) -> Json:
    """Let nights and days go by; then ask the optimizer, and hold its answers to the truth."""
    began, first, *rest = time.monotonic(), *phases()
    with hour(first.days_ago, first.at), play(minutes) as on:
        say(f"night, {first.days_ago} days ago")
        _rounds(on, NIGHTLY, first, half=False)
        for number, phase in enumerate(rest, 1):
            with hour(phase.days_ago, phase.at):
                again(on.stage)
                say(f"{'night' if phase.earlier else 'day'}, {phase.days_ago} days ago")
                _rounds(on, NIGHTLY, phase, half=2 * number > len(rest))
        say("the optimizer is asked")
        view, _ = on.proposed()
        naive = _naive(on)
        rows = [_row(book, view["result"], naive) for book in (*NIGHTLY, *ANYTIME)]
        return {
            "runs": on.runs, "seconds": round(time.monotonic() - began), "rows": rows,
            "load": machine()["load"][0],
        }  # fmt: skip


def _naive(on: Play) -> dict[str, float]:
    """What the other form of a book seemed to take, in multiples of the form of now."""
    journal, taken = SqliteReader.open(on.stage.data.journal), {}
    for row in journal.runs(limit=10_000):
        name = row.playbook.removeprefix("planted/")
        for recorded in journal.read(f"run/{row.run}"):
            event = recorded.event
            if isinstance(event, AttemptFinished):
                about = (name, on.versions.get(row.run, False))
                seconds, cost = taken.get(about, (0.0, 0.0))
                taken[about] = (seconds + event.run_s, cost + (event.cost_usd or 0.0))
    naive = {}
    for book in (*NIGHTLY, *ANYTIME):
        at = 1 if book.objective == "cost" else 0
        both = [taken.get((book.name, earlier), (0.0, 0.0))[at] for earlier in (True, False)]
        naive[book.name] = both[0] / both[1] if both[1] else 1.0
    return naive


def _row(book: Book, result: Json, naive: dict[str, float]) -> Json:
    said, value, why = "abstained", None, "nothing was said"
    for reason in result["reasons"]:
        if reason["scope"].startswith(f"planted/{book.name}#"):
            why = reason["text"]
    for candidate in result["candidates"]:
        if candidate["playbook"] == f"planted/{book.name}":
            line, why = candidate["diff"][0], candidate["note"]
            value = line.get("to", line.get("values"))
            said = "asked" if candidate["kind"] == "experiment" else "wrong"
    return {
        "name": book.name, "promise": book.promise, "said": said, "value": value, "why": why,
        "naive": naive[book.name], "ok": said != "wrong",
    }  # fmt: skip
