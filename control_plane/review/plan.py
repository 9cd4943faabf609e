"""The plan: an approved proposal as a list of frozen stages, before anything is done.

One reader explains the stages to a person (`explain`), another turns them into events
(`apply`), so whatever can be applied can be explained. The statistics of the trial are
part of the plan and are frozen into the experiment when it begins.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from control_plane.review.policy import Gates, Policy
from control_plane.review.proposal import arms
from optimizer import verify
from runtime.run.events import Json, ProposalDrafted

MOST_BATCHES: Final = 16
"""A block is at most so many of the largest arm's batches."""
HOUR_RUNS: Final = 4
"""So many times the runs that a trial of hours needs, at its share, may go by undecided."""
OF_TRIES: Final = frozenset({"retry", "timeout"})
"""Knob classes that decide how a try ends, or what follows: a first failure is no harm."""
LEAST_SCRAP: Final = 0.02
"""A share of batches that are not full which no verdict notices."""


@dataclass(frozen=True, slots=True)
class Queue:
    """Wait for the lock of the step, and for a freeze to end."""

    playbook: str
    step: str


@dataclass(frozen=True, slots=True)
class Shadow:
    """Replay the latest runs under each candidate before any live work.

    ``max_worse`` is how much worse a change may look, in the range's better bound; None
    for an experiment, which goes on whatever is said.
    """

    runs: int
    objective: str
    max_worse: float | None


@dataclass(frozen=True, slots=True)
class Begin:
    """Start the experiment at its first shares.

    ``lost_s`` is what a batch that fails for good counts as, beside its own seconds.
    """

    arms: Mapping[str, Mapping[str, Json]]
    shares: Mapping[str, float]
    design: str
    min_candidate: int
    lost_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Ramp:
    """Give the candidate a larger share, once the stage before has its samples."""

    stage: int
    shares: Mapping[str, float]
    min_candidate: int


@dataclass(frozen=True, slots=True)
class Watch:
    """Run it almost everywhere beside a small holdback, for so long."""

    shares: Mapping[str, float]
    seconds: float


@dataclass(frozen=True, slots=True)
class Keep:
    """Append the values to the overlay: they become the stable ones.

    ``gates`` are what must have been seen by then, besides the proof.
    """

    knobs: Mapping[str, Json]
    gates: Gates


@dataclass(frozen=True, slots=True)
class Learn:
    """End with what was measured; nothing is changed."""

    units: int


Stage: TypeAlias = Queue | Shadow | Begin | Ramp | Watch | Keep | Learn


def plan(drafted: ProposalDrafted, policy: Policy) -> tuple[Stage, ...]:
    """Return the stages that an approved proposal goes through when all goes well."""
    wait: tuple[Stage, ...] = (Queue(drafted.playbook, drafted.step), _shadow(drafted, policy))
    candidates = arms(drafted)
    trial = frozen_plan(drafted, policy)
    first = trial.ramp[0]
    shares = dict.fromkeys(candidates, first.share)
    begin = Begin(candidates, shares, trial.design, first.min_candidates, trial.lost_s)
    if drafted.kind == "experiment":
        return (*wait, begin, Learn(policy.explore.min_units))
    (name,) = candidates
    ramps = tuple(
        Ramp(k, {name: stage.share}, stage.min_candidates)
        for k, stage in enumerate(trial.ramp[1:], 2)
    )
    watch = Watch({name: 1.0 - policy.gates.holdback}, policy.gates.watch_s)
    return (*wait, begin, *ramps, watch, Keep(candidates[name], gates_of(drafted, policy)))


def gates_of(drafted: ProposalDrafted, policy: Policy) -> Gates:
    """Return what must have been seen before a change is kept; days are for hours of the day."""
    gates = policy.gates
    return gates if drafted.knob_class == "schedule" else replace(gates, days=0)


def _shadow(drafted: ProposalDrafted, policy: Policy) -> Shadow:
    settings = policy.verify.shadow
    timed = drafted.knob_class == "schedule" and drafted.objective != "cost"
    limit = settings.max_worse if drafted.kind == "change" and not timed else None
    return Shadow(settings.runs, drafted.objective, limit)


def frozen_plan(drafted: ProposalDrafted, policy: Policy, batches: int = 1) -> verify.Plan:
    """Return the statistics of the trial, as they are frozen into the experiment.

    ``batches`` is how many of control's batches make a block: what is slow depends on it.
    """
    settings = policy.verify
    return verify.Plan(
        design=design_of(drafted),
        kind="change" if drafted.kind == "change" else "experiment",
        objective="cost" if drafted.objective == "cost" else "time",
        ramp=_ramp(drafted, policy),
        harm_alpha=settings.harm_alpha,
        gain_alpha=settings.gain_alpha,
        min_gain=settings.min_gain,
        min_units=settings.min_units,
        noninferiority=settings.noninferiority,
        min_pairs=settings.min_pairs,
        horizon_runs=_horizon_runs(drafted, policy),
        t_opt=settings.t_opt,
        failures="final" if drafted.knob_class in OF_TRIES else "first",
        lost_s=_lost_s(drafted),
        rescues=drafted.knob_class != "retry",
        slow_s_per_item=slow_block(drafted, batches),
        slow_by_batches=tuple(sorted((int(n), float(s)) for n, s in _slow(drafted).items())),
    )


def _trial(drafted: ProposalDrafted, name: str) -> Json:
    """What the evidence says of the trial to come, under that name; None where nothing."""
    trial = drafted.evidence.get("trial")
    return trial.get(name) if isinstance(trial, Mapping) else None


def _slow(drafted: ProposalDrafted) -> Mapping[str, Json]:
    """Control's historical p99 of a block, by how many batches the block has."""
    known = _trial(drafted, "slow_s_per_item_by_batches")
    return known if isinstance(known, Mapping) else {}


def _lost_s(drafted: ProposalDrafted) -> float:
    """What a batch that fails for good loses, where more tries are to prove their worth."""
    lost = _trial(drafted, "lost_s")
    priced = drafted.knob_class == "retry" and isinstance(lost, int | float) and lost > 0.0
    return float(lost) if priced and math.isfinite(lost) else 0.0


def _batches(drafted: ProposalDrafted) -> int:
    """How many batches make a block of a trial about single tries."""
    told = _trial(drafted, "batches")
    known = drafted.knob_class in OF_TRIES and isinstance(told, int)
    return max(1, min(MOST_BATCHES, told)) if known else 1


def slow_block(drafted: ProposalDrafted, batches: int) -> float | None:
    """Return control's historical p99 of a block of so many batches, when it is known."""
    known = _slow(drafted)
    if not known:
        return None
    nearest = min(known, key=lambda n: abs(math.log(int(n) / batches)))
    return float(known[nearest])


def design_of(drafted: ProposalDrafted) -> verify.Design:
    """Blocks side by side; knobs that share a limit alternate in drained blocks."""
    return "switchback" if drafted.knob_class == "concurrency" else "blocks"


def _horizon_runs(drafted: ProposalDrafted, policy: Policy) -> int:
    """After how many runs an undecided trial ends; where the run is the unit, it needs more."""
    if drafted.knob_class != "schedule":
        return policy.verify.horizon_runs
    (stage,) = _ramp(drafted, policy)
    return max(
        policy.verify.horizon_runs, math.ceil(HOUR_RUNS * stage.min_candidates / stage.share)
    )


def _ramp(drafted: ProposalDrafted, policy: Policy) -> tuple[verify.Stage, ...]:
    """The stages of a trial.

    Hours of the day have one: each run is one unit and each night tells little, while what a
    candidate risks is a delay that its author allows.
    """
    if design_of(drafted) == "switchback":
        return (verify.Stage(0.5 / len(arms(drafted)), policy.verify.min_pairs),)
    if drafted.kind == "experiment":
        share = policy.explore.share / len(arms(drafted))
        return (verify.Stage(share, policy.explore.min_units),)
    if drafted.knob_class == "schedule":
        return (verify.Stage(policy.ramp[-1].share, policy.verify.min_units),)
    return tuple(verify.Stage(s.share, s.min_candidate) for s in policy.ramp)


def block_items(
    drafted: ProposalDrafted, stable: Mapping[str, Json], policy: Policy, run_items: int
) -> int:
    """Return how many items a block has.

    As many as the largest arm's batch, or a few times that (see `even_block`), or where the
    knob is about single tries as many batches as the evidence asks for; for
    alternating blocks as many as fill the policy's number of batches, or its share of a
    run of ``run_items`` where that is fewer (0: unknown). For hours of the day a run is one,
    however many items it has.
    """
    if drafted.knob_class == "schedule":
        return 1
    batch = int(stable.get("each.batch") or 1)
    if design_of(drafted) == "switchback":
        batches = policy.switchback.batches
        if run_items:
            batches = min(batches, int(policy.switchback.of_run * run_items / batch))
        return max(1, batches) * batch
    sizes = [batch, *(int(v.get("each.batch", batch)) for v in arms(drafted).values())]
    return even_block(sizes) * _batches(drafted)


def even_block(sizes: Sequence[int]) -> int:
    """Return the least multiple of the largest size into which every size goes evenly enough.

    A block that one arm cuts into full batches and another into full ones and a scrap
    would charge the other a whole call for the scrap: 26 items cost batches of 25 twice
    as much. Where nothing within `MOST_BATCHES` is even enough, the evenest is taken.

    >>> even_block([25, 50, 100, 200]), even_block([100, 150]), even_block([25, 12])
    (200, 300, 225)
    """
    largest = max(sizes)
    tried = [k * largest for k in range(1, MOST_BATCHES + 1)]
    even = (n for n in tried if _scrap(n, sizes) <= LEAST_SCRAP)
    return next(even, min(tried, key=lambda n: _scrap(n, sizes)))


def _scrap(items: int, sizes: Sequence[int]) -> float:
    """By how much the worst arm has more batches than its items would fill."""
    return max(math.ceil(items / size) * size / items for size in sizes) - 1.0
