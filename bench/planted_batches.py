"""Planted histories of batch sizes and of work in flight: some fair, some confounded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from bench.planted_histories import (
    Chance,
    History,
    Json,
    Row,
    Seconds,
    begun,
    log_normal,
    row,
    run_of,
    trial_of,
)

# ---- batch ----------------------------------------------------------------------------------

BATCH: Final = {"name": "each.batch", "min": 5, "max": 1000}


def tailed(size: int) -> float:
    """Seconds of a batch: a call, its items, and a tail that grows with their square."""
    return 0.05 + 0.001 * size + 2e-6 * size**2


def linear(size: int) -> float:
    """Seconds of a batch that has no fixed part: its size means nothing."""
    return 0.003 * size


def an_item(seconds: Seconds) -> Callable[[Json], float]:
    """Return what a batch size is worth when batches take so long."""
    return lambda size: (seconds(size) / size) / (seconds(25) / 25)


def batch_tried(chance: Chance) -> History:
    sizes, worth = (50, 100, 200, 400), an_item(tailed)
    rows = [
        one
        for n in range(8)
        for one in trial_of(f"r{n}", sizes, begun(n), tailed, lambda: log_normal(chance))
    ]
    return History(rows, BATCH, 25, worth, min(map(worth, sizes)))


def batch_on_small_inputs(chance: Chance) -> History:
    """Batches of 100 ran on small inputs alone, whose items take a quarter."""
    rows: list[Row] = []
    for n in range(24):
        big = n % 3 == 0
        seconds = _times(linear, 1.1 / 4 if big else 1.0)
        rows += run_of(f"r{n}", 100 if big else 25, 400 if big else 800 + 100 * (n % 5),
                       begun(n), seconds, chance)  # fmt: skip
    return History(rows, BATCH, 25, lambda size: 1.1 if size > 25 else 1.0)


def batch_at_night(chance: Chance) -> History:
    """Batches of 100 ran at night alone, when everything takes 0.6 of the time."""
    rows: list[Row] = []
    for n in range(30):
        big = n % 3 == 0
        seconds = _times(linear, 1.1 * 0.6 if big else 1.0)
        hour = chance.uniform(0.0, 5.0) if big else chance.uniform(9.0, 18.0)
        rows += run_of(f"r{n}", 100 if big else 25, 500, begun(n, hour), seconds, chance)
    return History(rows, BATCH, 25, lambda size: 1.1 if size > 25 else 1.0)


def batch_mostly_at_night(chance: Chance) -> History:
    """Batches of 100 ran at night two times in three, those of 25 one time in three."""
    rows: list[Row] = []
    for n in range(48):
        big, night = bool(chance.random() < 0.5), bool(chance.random() < 0.5)
        if chance.random() < 0.33:
            night = big
        factor = (1.1 if big else 1.0) * (0.6 if night else 1.0)
        hour = chance.uniform(0.0, 5.0) if night else chance.uniform(10.0, 16.0)
        seconds = _times(linear, factor)
        rows += run_of(f"r{n}", 100 if big else 25, 500, begun(n, hour), seconds, chance)
    return History(rows, BATCH, 25, lambda size: 1.1 if size > 25 else 1.0)


def batch_raised_with_a_release(chance: Chance) -> History:
    """Half-way all work became faster; the same day batches were raised to 100."""
    rows: list[Row] = []
    for n in range(30):
        big = n >= 15
        seconds = _times(linear, 1.1 * 0.6 if big else 1.0)
        rows += run_of(f"r{n}", 100 if big else 25, 500, begun(n), seconds, chance)
    return History(rows, BATCH, 25, lambda size: 1.1 if size > 25 else 1.0)


def batch_mostly_after_a_release(chance: Chance) -> History:
    """One day all work became faster; batches of 100 ran seldom before it and mostly after."""
    rows: list[Row] = []
    for n in range(40):
        since = n >= 20
        big = bool(chance.random() < (0.8 if since else 0.2))
        seconds = _times(linear, (1.1 if big else 1.0) * (0.6 if since else 1.0))
        rows += run_of(f"r{n}", 100 if big else 25, 500, begun(n), seconds, chance)
    return History(rows, BATCH, 25, lambda size: 1.1 if size > 25 else 1.0)


def batch_between_runs(chance: Chance) -> History:
    """Each run has one size, by turns, at all hours and on inputs of all sizes."""
    rows: list[Row] = []
    for n in range(30):
        size, items = (100 if chance.random() < 0.4 else 25), int(chance.choice((600, 800, 1000)))
        at = begun(n, chance.uniform(0.0, 24.0))
        rows += run_of(f"r{n}", size, items, at, tailed, chance)
    worth = an_item(tailed)
    return History(rows, BATCH, 25, worth, worth(100))


def batch_new_regime(chance: Chance) -> History:
    """Half-way a limit came: what is above 100 items takes far longer since."""
    sizes = (50, 100, 200)

    def since(size: int) -> float:
        return tailed(size) * (1.5 if size <= 100 else 6.0)

    rows = [
        one
        for n in range(40)
        for one in trial_of(
            f"r{n:02}", sizes, begun(n), since if n >= 20 else tailed,
            lambda: log_normal(chance),
        )
    ]  # fmt: skip
    worth = an_item(since)
    return History(rows, BATCH, 25, worth, min(map(worth, sizes)))


def batch_heavy_tails(chance: Chance) -> History:
    """No size is better; how long a batch takes has a tail without a variance."""
    rows = [
        one
        for n in range(8)
        for one in trial_of(
            f"r{n}", (50, 100, 200), begun(n), linear, lambda: 1.0 + float(chance.pareto(1.5))
        )
    ]
    return History(rows, BATCH, 25, lambda size: 1.0)


def batch_too_few(chance: Chance) -> History:
    """Two short runs, in which the larger size happened to be quick."""
    rows = [*run_of("r0", 25, 250, begun(0), linear, chance),
            *run_of("r1", 100, 300, begun(1), lambda s: 0.5 * linear(s), chance)]  # fmt: skip
    return History(rows, BATCH, 25, lambda size: 1.0)


def _times(seconds: Seconds, factor: float) -> Seconds:
    return lambda size: seconds(size) * factor


# ---- in flight ------------------------------------------------------------------------------

IN_FLIGHT: Final = {"name": "each.in_flight", "min": 1, "max": 16}
SLOTS: Final = 6
"""Calls that the planted service really works on at once."""


def waiting(in_flight: int) -> float:
    """Wall seconds that a batch takes of a run's time."""
    return 0.1 / min(in_flight, SLOTS)


def in_flight_tried(chance: Chance) -> History:
    rows: list[Row] = []
    for n, value in enumerate([4, 4, 6, 6, 12, 12]):
        at = begun(n)
        for block in range(12):
            arm_first = (block // 2 + n) % 2 == 0
            candidate = (block % 2 == 0) == arm_first
            rows += _block(f"r{n}", block, value if candidate else 2, candidate, at, chance)
            at = max(one["at"] for one in rows) + 0.01
    return History(
        rows, IN_FLIGHT, 2, lambda v: waiting(v) / waiting(2), waiting(SLOTS) / waiting(2)
    )


def _block(
    run: str, block: int, at_once: int, candidate: bool, at: float, chance: Chance
) -> Iterator[Row]:
    free, slots = [at] * at_once, [at] * SLOTS
    for n in range(24):
        lane = free.index(min(free))
        slot = slots.index(min(slots))
        end = max(free[lane], slots[slot]) + 0.1 * log_normal(chance, 0.1)
        yield row(
            run, block * 100 + n, end - free[lane], free[lane], in_flight=at_once, block=block,
            experiment="y", arm="candidate" if candidate else "control", share=0.5,
        )  # fmt: skip
        free[lane] = slots[slot] = end


def in_flight_by_habit(chance: Chance) -> History:
    """Eight at once ran by habit on quiet days alone; nothing is gained above two."""
    rows: list[Row] = []
    for n in range(20):
        eight = n % 2 == 1
        for one in run_of(f"r{n}", 25, 750, begun(n), linear, chance):
            more = {"in_flight": 8 if eight else 2}
            rows.append({**one, **more, "run_s": one["run_s"] * (0.5 if eight else 1.0)})
    return History(rows, IN_FLIGHT, 2, lambda value: 1.0)
