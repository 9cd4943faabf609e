"""A records service and the runs that call it, as discrete events on a simulated clock.

It has the manners of `playbooks/healthcare/records_service.py` (base time, time per id,
noise, slow requests, 503s, a limit of requests at once, an id limit) and of the runtime
around it (slots, retries with backoff, blocks of an experiment, rescue). What comes out
are attempts as the record has them and units as the server folds them. The optimizer and
the verification that read them are the real ones.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from optimizer.verify import CONTROL, Unit
from runtime.run.events import ExperimentStarted
from runtime.run.layers import Experiment, draw

ATTEMPTS = 4
PRICE_USD_HOUR = 0.20
COLUMNS = (
    "attempt", "run", "version", "batch", "block", "number", "outcome", "retried", "run_s",
    "items", "cost_usd", "scheduled_at", "at", "batch_size", "in_flight", "experiment", "arm",
    "share",
)  # fmt: skip


@dataclass(frozen=True)
class Manners:
    """How the service behaves, and what the client and the runtime add; seconds."""

    base: float = 0.060
    per_id: float = 0.0001
    noise: float = 0.25
    slow_share: float = 0.01
    slow_factor: float = 3.0
    error_share: float = 0.01
    error_per_id: float = 0.0
    max_ids: int = 250
    over_limit_errors: float = 0.60
    concurrent: int = 6
    retry_after: float = 1.0
    client: float = 0.006
    client_per_id: float = 0.0001
    around: float = 1.6
    run_noise: float = 0.08
    burst: float = 1.3


@dataclass
class Batch:
    """Some items on their way; ``home`` is the block whose unit they count for."""

    number: int
    items: int
    size: int
    home: Block | None = None
    rescue: bool = False
    tries: int = 0
    born: float = 0.0
    spent: float = 0.0


@dataclass
class Block:
    """A block of an experiment while its batches come in."""

    number: int
    arm: str
    share: float
    items: int
    pair: int | None
    open: int = 0
    batches: int = 0
    seconds: float = 0.0
    retried: int = 0
    failed: int = 0
    began: float = 0.0
    ended: float = 0.0


@dataclass
class Trial:
    """A live experiment: what `ExperimentStarted` says, and who hears of its units."""

    started: ExperimentStarted
    heard: Callable[[Unit], bool]
    live: Experiment = field(init=False)
    over: bool = False
    pairs: int = 0

    def __post_init__(self) -> None:
        self.live = Experiment(self.started, shares=dict(self.started.shares))

    def value(self, knob: str, arm: str, stable: int) -> int:
        return int(self.started.arms.get(arm, {}).get(knob, stable))


class World:
    """Runs of one step against the service. ``rows`` is its record."""

    def __init__(self, manners: Manners, chance: random.Random, items: int = 10_000) -> None:
        self.manners, self.chance, self.items = manners, chance, items
        self.now = 1_000_000.0
        self.runs = 0
        self.rows: dict[str, list[Any]] = {name: [] for name in COLUMNS}

    def query(self, name: str, **params: Any) -> pa.Table:
        """Answer as the record would: this world has one step."""
        if name == "evidence_extent":
            return pa.table({"since": [0.0], "attempts": [len(self.rows["run"])]})
        assert name == "evidence_attempts", name
        return pa.table(self.rows)

    def run(self, batch: int, in_flight: int, trial: Trial | None = None) -> float:
        """Run once and return its wall time."""
        self.runs += 1
        began = self.now
        _Run(self, batch, in_flight, trial).go()
        around = self.manners.around * math.exp(self.chance.gauss(0.0, 0.1))
        self.now += around
        return self.now - began


class _Run:
    def __init__(self, world: World, batch: int, in_flight: int, trial: Trial | None) -> None:
        self.world, self.batch, self.in_flight, self.trial = world, batch, in_flight, trial
        self.name = f"{world.runs:06d}"
        self.left, self.number, self.blocks, self.pair = world.items, 0, 0, 0
        self.pairs_at = trial.pairs if trial else 0
        self.queue: list[Batch] = []
        self.events: list[tuple[float, int, str, Batch]] = []
        self.tick, self.active, self.flying = 0, 0, 0
        self.slots, self.drained, self.last_arm = in_flight, False, ""
        self.load = math.exp(world.chance.gauss(0.0, world.manners.run_noise))
        self.burst = 1.0

    def go(self) -> None:
        self._fill()
        while self.events:
            self.world.now, _, kind, batch = heapq.heappop(self.events)
            getattr(self, f"_{kind}")(batch)
            self._fill()
        if self.trial:
            self.trial.pairs = self.pairs_at + (self.blocks + 1) // 2

    # ---- cutting ----------------------------------------------------------------------

    def _fill(self) -> None:
        while True:
            if not self.queue and not self._cut():
                return
            if self.flying >= self.slots:
                return
            batch = self.queue.pop(0)
            batch.born = self.world.now
            if batch.home and not batch.home.began:
                batch.home.began = self.world.now
            self.flying += 1
            self._push(self.world.now, "start", batch)

    def _cut(self) -> bool:
        """Cut the next range of items; false when there is none, or it has to wait."""
        if self.left <= 0 or ((self.drained or self._switches()) and self.flying):
            return False
        self.drained, self.slots = False, self.in_flight
        if self.trial is None or self.trial.over:
            self._batches(min(self.left, self.batch), self.batch, None)
            return True
        block = self._block()
        size = self.batch
        if block is not None:
            size = self.trial.value("each.batch", block.arm, self.batch)
            self.slots = self.trial.value("each.in_flight", block.arm, self.in_flight)
        self._batches(block.items if block else min(self.left, self.batch), size, block)
        return True

    def _switches(self) -> bool:
        return bool(self.trial and not self.trial.over and self.trial.started.design != "blocks")

    def _block(self) -> Block | None:
        trial = self.trial
        assert trial is not None
        size = trial.started.block_items
        pair, number = None, self.blocks
        if trial.started.design == "blocks":
            arm, share = draw(trial.live, f"{self.name}/fetch/{number}")
        else:
            if number % 2 == 0 and self.left < 2 * size:
                return None
            arm, share, pair = self._alternate(number), 0.5, self.pairs_at + number // 2
            self.drained = True
        self.blocks += 1
        return Block(number, arm, share, min(size, self.left), pair)

    def _alternate(self, number: int) -> str:
        if number % 2:
            self.last_arm = CONTROL if self.last_arm != CONTROL else self.pending
            return self.last_arm
        arms = [arm for arm, share in self.trial.live.shares.items() if share > 0.0]
        self.pending = self.world.chance.choice(arms)
        self.last_arm = self.pending if self.world.chance.random() < 0.5 else CONTROL
        return self.last_arm

    def _batches(self, items: int, size: int, block: Block | None) -> None:
        self.left -= items
        for batch in self._sliced(items, size, block):
            self.queue.append(batch)
            if block:
                block.open += 1
                block.batches += 1

    def _sliced(self, items: int, size: int, block: Block | None) -> Iterator[Batch]:
        while items > 0:
            yield Batch(self.number, min(size, items), size, block)
            self.number += 1
            items -= size

    # ---- serving ----------------------------------------------------------------------

    def _push(self, at: float, kind: str, batch: Batch) -> None:
        self.tick += 1
        heapq.heappush(self.events, (at, self.tick, kind, batch))

    def _start(self, batch: Batch) -> None:
        m, chance = self.world.manners, self.world.chance
        batch.tries += 1
        scheduled = self.world.now
        if self.active >= m.concurrent:
            self._tried(batch, scheduled, 0.004, "throttled", m.retry_after)
            return
        if chance.random() < 0.02:
            self.burst = m.burst if self.burst == 1.0 and chance.random() < 0.25 else 1.0
        time = (m.base + m.per_id * batch.items) * math.exp(chance.gauss(0.0, m.noise))
        errors = m.error_share + 1.0 - (1.0 - m.error_per_id) ** batch.items
        if chance.random() < m.slow_share:
            time *= m.slow_factor
        if batch.items > m.max_ids:
            time *= (batch.items / m.max_ids) ** 2
            errors = m.over_limit_errors
        time *= self.load * self.burst
        self.active += 1
        self._push(self.world.now + time, "served", batch)
        client = m.client * (0.5 + chance.expovariate(2.0)) + m.client_per_id * batch.items
        outcome = "transient" if chance.random() < errors else "succeeded"
        backoff = chance.random() * min(0.1 * 2.0**batch.tries, 5.0)
        self._tried(batch, scheduled, time + client * self.load, outcome, backoff)

    def _served(self, batch: Batch) -> None:
        self.active -= 1

    def _tried(self, batch: Batch, at: float, took: float, outcome: str, wait: float) -> None:
        retry = outcome != "succeeded" and batch.tries < ATTEMPTS
        self._row(batch, at, took, outcome, retry)
        batch.spent += took
        if retry:
            self._push(at + took + wait, "start", batch)
        else:
            self._push(at + took, "failed" if outcome != "succeeded" else "done", batch)
        if batch.home:
            batch.home.seconds += took
            first = batch.tries == 1 and not batch.rescue
            batch.home.retried += first and outcome != "succeeded"

    def _failed(self, batch: Batch) -> None:
        """A candidate's batch is cut again at the stable size; others end here."""
        block = batch.home
        if block and block.arm != CONTROL and not batch.rescue:
            block.failed += batch.items
            again = list(self._sliced(batch.items, self.batch, block))
            for one in again:
                one.rescue = True
            block.open += len(again)
            self.queue[:0] = again
        elif block and not batch.rescue:
            block.failed += batch.items
        self._done(batch)

    def _done(self, batch: Batch) -> None:
        self.flying -= 1
        block, trial = batch.home, self.trial
        if block is None or trial is None:
            return
        block.open -= 1
        if block.open == 0 and block.items == trial.started.block_items and not trial.over:
            trial.over = trial.heard(self._unit(block))

    def _unit(self, block: Block) -> Unit:
        seconds = block.seconds
        if self.trial.started.design != "blocks":
            seconds = self.world.now - block.began
        return Unit(
            block.arm, block.share, block.items, block.batches, seconds / block.items,
            block.seconds * PRICE_USD_HOUR / 3600 / block.items, block.retried, block.failed,
            block.pair, at=self.world.now,
        )  # fmt: skip

    def _row(self, batch: Batch, at: float, took: float, outcome: str, retry: bool) -> None:
        block = None if batch.rescue else batch.home
        values = (
            f"{self.name}/fetch/{batch.number}/{batch.tries}", self.name, "v1", batch.number,
            block.number if block else -1, batch.tries,
            "succeeded" if outcome == "succeeded" else "failed", int(retry), took, batch.items,
            took * PRICE_USD_HOUR / 3600, at, at + took, batch.size, self.slots,
            self.trial.started.experiment if block else "", block.arm if block else "",
            block.share if block else None,
        )  # fmt: skip
        for name, value in zip(COLUMNS, values, strict=True):
            self.world.rows[name].append(value)
