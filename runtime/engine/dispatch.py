"""Dispatch: from a durable ``attempt.scheduled`` to a task in a worker, and back.

What is ready waits in order of decision; a task is made only when a slot is free. The
report that comes back carries measurements, from which the facts of
``attempt.finished`` are made.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from msgspec import structs

from runtime.data.folder import DataFolder
from runtime.engine.batch import batch_names
from runtime.engine.catalogue import Version
from runtime.engine.edge import RunEdge
from runtime.engine.hardware import Hardware
from runtime.engine.pace import Pace
from runtime.engine.prices import LivePrices
from runtime.engine.queue import Ready, WorkQueue
from runtime.playbook.model import Limit, Step
from runtime.playbook.tools import CLASSES
from runtime.run.decide import Ended
from runtime.run.events import CheckFailed, Fault, Json, ProductPublished, RunEvent
from runtime.run.state import RunState, Try
from runtime.run.variant import chosen
from runtime.workers.limits import Limits
from runtime.workers.port import Pool
from runtime.workers.protocol import Items, Publish, Report, Task
from runtime.workers.seat import Verdict

_QUARTER_S: Final = 900
_PRICES_KEPT: Final = 1000


@dataclass(slots=True)
class Flight:
    """An attempt that a worker has."""

    run: str
    tried: Try
    slot: int
    worker: str
    sent_at: float
    hardware: str
    pace: Pace
    texts: bool = True
    """Whether what the step says may be written down: not with ``record: {text: off}``."""


class Products:
    """Numbers of published versions, so that no two runs write the same file."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}

    def seen(self, product: str, number: int) -> None:
        """A version with this number exists."""
        self._last[product] = max(self._last.get(product, 0), number)

    def next(self, product: str) -> int:
        """Reserve the next number."""
        self._last[product] = self._last.get(product, 0) + 1
        return self._last[product]


class Dispatch:
    """The queue before the pool, and what is in flight."""

    def __init__(
        self, pool: Pool, folder: DataFolder, prices: LivePrices, services: Mapping[str, Json],
        clock: Callable[[], float], limits: Limits,
    ) -> None:  # fmt: skip
        self._limits = limits
        self._pool, self._folder, self._prices = pool, folder, prices
        self._services, self._clock = dict(services), clock
        self.products = Products()
        self.ready = WorkQueue()
        self._limited: frozenset[str] = frozenset()
        self._limit_hardware()
        self._flights: dict[int, Flight] = {}
        self._slots: dict[str, int] = {}
        self._last_slot = 0
        self._paces: dict[tuple[str, str], Pace] = {}
        self._known_prices: dict[tuple[str, float], float | None] = {}
        self._objects = str(folder.objects)

    @property
    def hardware(self) -> Hardware:
        """The classes of workers as the catalogue has them now."""
        return self._prices.now.hardware

    def look_at_hardware(self) -> None:
        """Take a catalogue that was changed: prices, classes and slots hold from now on."""
        if self._prices.changed():
            self._known_prices.clear()
            self._limit_hardware()

    def _limit_hardware(self) -> None:
        limits = self.hardware.limits()
        self.ready.limit({name: Limit() for name in self._limited - limits.keys()} | limits)
        self._limited = frozenset(limits)

    @property
    def in_flight(self) -> int:
        """How many attempts workers have."""
        return len(self._flights)

    @property
    def held_since(self) -> float:
        """When the oldest attempt that workers have was sent; infinity without one."""
        return min((flight.sent_at for flight in self._flights.values()), default=math.inf)

    def pace(self, version: Version, step: str) -> Pace:
        """What is known of how long the tries of a step take."""
        key = (version.registered.version, step)
        known = self._paces.get(key)
        if known is None:
            known = self._paces[key] = Pace()
        return known

    def uses(self, version: Version, edge: RunEdge, tried: Try) -> tuple[str, ...]:
        """The limits a try is under: its step's, and that of its class of hardware."""
        uses = version.uses(tried.step)
        if not self._limited:
            return uses
        step = version.playbook.step(tried.step)
        return uses + self.hardware.uses(_class(step, edge.effective(tried.config)))

    def fits(self, ready: Ready) -> bool:
        """Whether an attempt may be sent now: to a free worker, or behind others as short."""
        if self._pool.free() > 0:
            return True
        expect_s = ready.pace.expect_s if ready.pace is not None else None
        return expect_s is not None and self._pool.room(expect_s)

    def flush(self) -> None:
        """Let go what was sent."""
        self._pool.flush()

    def send(
        self, state: RunState, version: Version, edge: RunEdge, tried: Try, step: Step
    ) -> Fault | None:
        """Give an attempt to a worker; returns why not when none can run it."""
        rendered = tried.args if tried.args is not None else self._render(state, step, edge, tried)
        if isinstance(rendered, Fault):
            return rendered
        values = edge.effective(tried.config)
        hardware = _class(step, values)
        if why := self.hardware.why_not(hardware):
            return Fault("permanent", f"{step.name} cannot run: {why}")
        self._last_slot += 1
        task = self._task(state, version, step, edge, tried, rendered, values.get("timeout"))
        pace = self.pace(version, tried.step)
        alone = step.effect == "once" or task.publish is not None
        worker = self._pool.send(task, None if alone else pace.expect_s)
        self._flights[task.slot] = Flight(
            state.run, tried, task.slot, worker, self._clock(), hardware, pace, step.record_text
        )
        self._slots[tried.attempt] = task.slot
        return None

    def flies(self, attempt: str) -> bool:
        """Whether a worker has the attempt."""
        return attempt in self._slots

    def sent_at(self, attempt: str) -> float | None:
        """When a worker was given the attempt; None when none has it."""
        slot = self._slots.get(attempt)
        return None if slot is None else self._flights[slot].sent_at

    def kill(self, attempt: str, outcome: Verdict) -> bool:
        """End a running attempt's process; False when no worker has it."""
        slot = self._slots.get(attempt)
        if slot is not None:
            self._pool.kill(slot, outcome)
        return slot is not None

    def landed(self, worker: str, report: Report) -> tuple[str, Ended] | None:
        """Return the run and how its attempt ended, or None for a task nobody knows."""
        flight = self._flights.pop(report.slot, None)
        if flight is None:
            return None
        self._slots.pop(flight.tried.attempt, None)
        self.ready.done(flight.tried.attempt)
        if report.outcome in ("succeeded", "failed"):
            flight.pace.took(report.run_s)
        else:
            flight.pace.failed_hard()
        if not flight.texts:
            report = _without_texts(report)
        fault = _fault(report)
        facts = self._facts(flight, worker, report)
        beside = self._beside(flight.tried.step, report)
        stopped = report.outcome == "stopped"
        outcome = "failed" if stopped else report.outcome
        return flight.run, Ended(
            flight.tried.attempt, outcome, fault, report.result, facts, beside, cut_off=stopped
        )

    def _facts(self, flight: Flight, worker: str, report: Report) -> dict[str, Json]:
        queue_s = max(flight.sent_at - flight.tried.at, 0.0)
        price = self._price(flight.hardware, flight.sent_at)
        held_s = max(self._clock() - flight.sent_at, report.run_s)
        cost = None if price is None else price / 3600 * held_s + report.spend_usd
        return {
            "queue_s": queue_s, "run_s": report.run_s, "total_s": queue_s + held_s,
            "rows_in": report.rows_in or flight.tried.items, "rows_out": report.rows_out,
            "bytes_in": report.bytes_in, "bytes_out": report.bytes_out,
            "cpu_s": report.cpu_s, "rss_peak": report.rss_peak, "worker": worker,
            "hardware": flight.hardware, "environment": report.environment,
            "price_usd_hour": price, "cost_usd": cost, "spend_usd": report.spend_usd,
            "tokens": report.tokens, "calls": report.calls,
            "stdout": report.stdout,
        }  # fmt: skip

    def _price(self, hardware: str, at: float) -> float | None:
        """The price of a class at ``at``: none begins or ends within a quarter of an hour."""
        self.look_at_hardware()
        key = (hardware, at // _QUARTER_S)
        if key not in self._known_prices:
            if len(self._known_prices) > _PRICES_KEPT:
                self._known_prices.clear()
            self._known_prices[key] = self._prices.now.usd_per_hour(hardware, at)
        return self._known_prices[key]

    def _beside(self, step: str, report: Report) -> tuple[RunEvent, ...]:
        if report.published is not None:
            published = ProductPublished(step=step, **report.published)
            self.products.seen(published.product, published.number)
            return (published,)
        if report.checks:
            product = str(report.checks[0].get("product", "")) if report.checks else ""
            return (CheckFailed(step, product, report.checks),)
        return ()

    def _render(
        self, state: RunState, step: Step, edge: RunEdge, tried: Try
    ) -> dict[str, Json] | Fault:
        each = state.steps[step.name].each
        variant = chosen(step, edge.effective(tried.config))
        if isinstance(variant, Fault):
            return variant
        return edge.render(state, variant, batch_names(tried, each.source if each else None))

    def _task(
        self, state: RunState, version: Version, step: Step, edge: RunEdge, tried: Try,
        rendered: dict[str, Any], timeout_s: float | None,
    ) -> Task:  # fmt: skip
        return Task(
            slot=self._last_slot, attempt=tried.attempt, run=state.run,
            playbook=version.registered.path, version=version.registered.version,
            step=step.name, number=tried.number,
            key=tried.key,
            tool=rendered["tool"], args=rendered["with"], workload=state.workload,
            bundle=version.code, run_folder=edge.run_folder(state.run), objects=self._objects,
            system=state.system, items=_items(state, tried), timeout_s=timeout_s,
            memory_bytes=step.memory_bytes or self._limits.memory_bytes,
            output_bytes=step.output_bytes or self._limits.output_bytes,
            processes=step.processes or self._limits.processes, heartbeat_s=step.heartbeat_s,
            publish=self._publish(step), secrets=version.playbook.secrets,
            source_name=version.registered.path, source_line=step.place.line,
            services=self._services if state.system else {},
        )  # fmt: skip

    def _publish(self, step: Step) -> Publish | None:
        wanted = step.publishes
        if wanted is None:
            return None
        number = self.products.next(wanted.product)
        folder = self._folder.products / wanted.product
        return Publish(wanted.product, wanted.format, wanted.contract, number, str(folder))


def _class(step: Step, values: Mapping[str, Json]) -> str:
    """The class of hardware that a step runs on in a configuration."""
    return str(values.get("runs_on", step.runs_on))


def _fault(report: Report) -> Fault | None:
    """The fault that was reported.

    A class that is not a tool's to give stands for what only the engine knows of the flow:
    soundness was proved of a net in which no tool ends so.
    """
    if not report.fault:
        return None
    fault = Fault(**report.fault)
    if report.outcome != "failed" or fault.cls in CLASSES:
        return fault
    told = f"{fault.message} (its tool says {fault.cls}, a class that no tool can give)"
    return structs.replace(fault, cls="permanent", message=told)


def _without_texts(report: Report) -> Report:
    """The report less what its tool said; of an error its class, place and fingerprint stay."""
    fault = report.fault
    if fault is not None and report.outcome == "failed":
        fault = {**fault, "message": "not recorded (record: {text: off})", "traceback": ""}
    return structs.replace(report, stdout="", fault=fault)


def _items(state: RunState, tried: Try) -> Items | None:
    each = state.steps[tried.step].each
    if each is None:
        return None
    if isinstance(each.source, list):
        part = each.source[tried.start : tried.start + tried.items]
        return Items(part, tried.start, tried.items, sliced=True)
    return Items(each.source, tried.start, tried.items, sliced=False)
