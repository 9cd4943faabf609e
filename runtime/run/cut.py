"""Cut: which range of an ``each`` step's items comes next, and which arm it is drawn to.

Without an experiment all that is left is cut at once. In an experiment the unit is a
*block*, a fixed number of items, drawn to an arm before it is cut with that arm's batch
size. Under ``switchback`` blocks come in pairs, control and candidate in random order,
each drained before the next begins, since what runs side by side shares its limits. For
hours of the day the unit is the run: all its items are cut at once, in one arm.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from runtime.ids import STEP_BATCH, idempotency_key
from runtime.run.layers import CONTROL, Experiment, draw
from runtime.run.state import Each


@dataclass(frozen=True, slots=True)
class Cut:
    """The next range: up to item ``stop``, and the arm with the probability it was drawn by."""

    kind: str
    stop: int
    arm: str | None = None
    share: float | None = None
    drained: bool = False
    pair: int | None = None


def next_index(each: Each) -> int:
    """Return the number of the next block: rescues carry the number of the block they rescue."""
    return 1 + max((b.index for b in each.blocks), default=-1)


def must_drain(each: Each, plan: Cut) -> bool:
    """Whether what is in flight must end first: before a drained block, and after one."""
    after = bool(each.blocks) and each.blocks[-1].drained
    return each.active > 0 and (after or plan.drained)


def next_cut(live: Experiment | None, run: str, step: str, each: Each) -> Cut:
    """Return what to cut from ``each.cut_to`` on."""
    if live is None:
        return Cut("all", each.total)
    index = next_index(each)
    if live.started.design == "switchback":
        return _pair(live, run, step, each)
    if live.started.knob_class == "schedule":
        return _whole(live, run, step, each)
    stop = min(each.cut_to + live.started.block_items, each.total)
    arm, share = draw(live, f"{run}/{step}/{index}")
    return Cut("block", stop, arm, share)


def _whole(live: Experiment, run: str, step: str, each: Each) -> Cut:
    """All items: a step begins at one time, so that the run is the unit."""
    if each.cut_to:
        return Cut("all", each.total)
    arm, share = draw(live, idempotency_key(run, step, STEP_BATCH))
    return Cut("block", each.total, arm, share)


def _pair(live: Experiment, run: str, step: str, each: Each) -> Cut:
    """The next block of a pair; what is too short for a whole pair runs as it always does."""
    size = live.started.block_items
    mine = [b for b in each.blocks if b.experiment == live.id and b.kind == "block"]
    left = each.total - each.cut_to
    second = len(mine) % 2 == 1
    if left < (size if second else 2 * size):
        return Cut("all", each.total)
    pair = len(mine) // 2
    arms = sorted(arm for arm, share in live.shares.items() if share > 0)
    if not arms:
        return Cut("all", each.total)
    raw = hashlib.sha256(f"{live.started.salt}|{run}/{step}/pair/{pair}".encode()).digest()
    candidate = arms[int.from_bytes(raw[1:5], "big") % len(arms)]
    if second:
        arm = CONTROL if mine[-1].arm != CONTROL else candidate
    else:
        arm = candidate if raw[0] < 128 else CONTROL
    stop = each.cut_to + size
    return Cut("block", stop, arm, 0.5, drained=True, pair=pair)
