"""Operations: what is done to runs from outside, to one or to all that a filter means.

Each is an event with who did it and why. What cannot be done to a run is told of that run
and keeps none of the others from it. Looking first changes nothing and says of each run
what would happen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, assert_never

from control_plane.errors import Invalid
from control_plane.selecting import Filter, selected
from runtime.engine.engine import Engine, Wanted
from runtime.engine.errors import EngineError
from runtime.journal.port import RunRow
from runtime.run.events import Json
from runtime.run.state import ENDED

Action: TypeAlias = Literal["pause", "resume", "cancel", "signal", "answer", "retry"]
Outcome: TypeAlias = Literal["done", "would", "refused"]
AT_ONCE: Final = 200
"""So many runs are acted on together, and share their commits."""
_USUAL: Final[dict[Action, str]] = {
    "pause": "running", "resume": "paused", "cancel": "live", "signal": "live",
    "answer": "live", "retry": "failed",
}  # fmt: skip
"""The runs an action is for when no state is named."""
_ENDING: Final = ("failing", "cancelling")


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done, by whom and why. What an action does not need is left alone.

    ``now`` is for cancel; ``name`` and ``value`` for signal; ``step`` and ``approved`` for
    answer; ``wanted`` and ``version`` for retry.
    """

    action: Action
    actor: str
    reason: str = ""
    now: bool = False
    name: str = ""
    value: Json = None
    step: str = ""
    approved: bool = False
    wanted: Wanted = field(default_factory=Wanted)
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """What an order came to for one run. ``into`` is the run that a retry made."""

    run: str
    playbook: str
    state: str
    outcome: Outcome
    detail: str = ""
    into: str | None = None


async def act(
    engine: Engine, order: Order, wanted: Filter, *, everything: bool = False,
    dry_run: bool = False,
) -> list[Done]:  # fmt: skip
    """Do something to every run that is meant, the oldest first.

    Raises:
        Invalid: the filter means every run, and ``everything`` was not said.
    """
    if wanted.is_empty and not everything:
        raise Invalid(["the filter has no condition: name one, or say `all`"])
    rows = list(selected(engine, wanted, _USUAL[order.action]))
    if dry_run:
        return [_would(engine, order, row) for row in rows]
    done: list[Done] = []
    for first in range(0, len(rows), AT_ONCE):
        done += await _together(engine, order, rows[first : first + AT_ONCE])
    return done


async def _together(engine: Engine, order: Order, rows: Sequence[RunRow]) -> list[Done]:
    return await asyncio.gather(*(_one(engine, order, row) for row in rows))


async def _one(engine: Engine, order: Order, row: RunRow) -> Done:
    try:
        into, detail = await do(engine, order, row.run)
    except EngineError as error:
        return Done(row.run, row.playbook, row.state, "refused", str(error))
    after = engine.journal.run(row.run) or row
    return Done(row.run, row.playbook, after.state, "done", detail, into)


async def do(engine: Engine, order: Order, run: str) -> tuple[str | None, str]:
    """Do it to one run; returns the run it made, if it made one, and what to say of it.

    Raises:
        EngineError: that cannot be done to this run; nothing was written.
    """
    actor, reason = order.actor, order.reason
    match order.action:
        case "pause":
            await engine.pause(run, actor, reason)
        case "resume":
            await engine.resume(run, actor, reason)
        case "cancel":
            await engine.cancel(run, actor, reason, now=order.now)
        case "signal":
            await engine.signal(run, order.name, order.value, actor, reason)
        case "answer":
            await engine.approve(
                run, order.step, approved=order.approved, actor=actor, note=reason
            )
        case "retry":
            made = await engine.retry(
                run, actor, order.wanted, reason=reason, version=order.version
            )
            return made.run, told(made.steps, made.undone)
        case _:
            assert_never(order.action)
    return None, ""


def told(steps: Sequence[str], undone: Sequence[str]) -> str:
    """Say from where a run goes on."""
    begin = f"goes on from {', '.join(steps)}" if steps else "goes on where it was"
    return f"{begin} ({', '.join(undone)}: compensated, so undone)" if undone else begin


def _would(engine: Engine, order: Order, row: RunRow) -> Done:
    """What `do` would come to now."""
    try:
        detail = _look(engine, order, row)
    except EngineError as error:
        return Done(row.run, row.playbook, row.state, "refused", str(error))
    return Done(row.run, row.playbook, row.state, "would", detail)


def _look(engine: Engine, order: Order, row: RunRow) -> str:
    if order.action == "retry":
        plan = engine.may_retry(row.run, order.wanted)
        return told(plan.steps, plan.undone)
    if row.state in ENDED:
        raise EngineError(f"run {row.run} has ended: it is {row.state}")
    if row.run in engine.parked and order.action != "cancel":
        raise EngineError(f"run {row.run} waits, {engine.parked[row.run].why}")
    if row.state in _ENDING and order.action != "cancel":
        raise EngineError(f"run {row.run} is {row.state}: it only ends")
    if order.action == "answer":
        engine.asks(row.run, order.step)
    return ""
