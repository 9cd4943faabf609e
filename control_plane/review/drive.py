"""What happens next to a proposal by itself: facts in, a decision out, or nothing.

Pure, and asked again after every commit, so that a restart at any moment goes on from
what the journal holds. Missing data never moves a proposal forward: without a finding
only the ways back are open, and those need no statistics, no record and no optimizer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, assert_never

from control_plane.review import apply, plan, shadow
from control_plane.review.apply import Decision
from control_plane.review.gate import Refusal, Scope
from control_plane.review.lifecycle import Hand, Move, State
from control_plane.review.policy import Policy
from control_plane.review.proposal import Proposal, arms
from control_plane.review.reasons import Reason, words
from control_plane.review.scalars import DAY_S
from optimizer.effect import Effect
from optimizer.verify import Finding
from runtime.run.events import Json

STRUCTURAL: Final = frozenset(
    {Reason.SCOPE_DENIED, Reason.OUT_OF_BOUNDS, Reason.STEP_TOO_LARGE, Reason.NOT_REPEATABLE}
)
"""Guardrails that hold at every moment of a life, not only at the gate."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that a decision may depend on, as it is now.

    ``policy`` is the stricter of the approved one and today's; ``refusals`` is what it
    says today, ``policy_hash`` names today's. ``room`` is whether the blast radius allows
    another start. ``replayed`` is None while history is being replayed, ``finding`` while
    nothing was measured. ``stable_seen``: work was seen running the stable values after the
    experiment ended.
    """

    now: float
    policy: Policy
    scope: Scope | None
    policy_hash: str = ""
    moved: bool = False
    refusals: tuple[Refusal, ...] = ()
    lock_free: bool = True
    room: bool = True
    killed: bool = False
    replayed: shadow.Replayed | None = None
    finding: Finding | None = None
    may_advance: bool = False
    nodes: int = 0
    days: int = 0
    by_day: Effect | None = None
    previous: Mapping[str, Json] | None = None
    shares: Mapping[str, float] | None = None
    stable_seen: bool = False
    runs_live: bool = False
    run_items: int = 0

    @property
    def frozen(self) -> bool:
        """Whether nothing may move forward now."""
        playbook = self.scope.playbook if self.scope is not None else ""
        return self.policy.frozen(playbook, self.now) is not None


def next_decision(
    proposal: Proposal, facts: Facts, salt: Callable[[], str]
) -> Decision | None:  # fmt: skip
    """Return what to write now about a proposal, or None when it is to wait."""
    decision = Decision.about(proposal, facts.now, facts.policy_hash)
    match proposal.state:
        case State.BLOCKED:
            _expire(decision, proposal, facts)
        case State.PROPOSED:
            _ = _invalidate(decision, proposal, facts) or _expire(decision, proposal, facts)
        case State.APPROVED:
            decision.move(Move.SCHEDULE, Hand.SCHEDULER, Reason.QUEUED)
        case State.SCHEDULED:
            _start(decision, proposal, facts)
        case State.SHADOW:
            _shadow(decision, proposal, facts, salt)
        case State.CANARY:
            _canary(decision, proposal, facts)
        case State.PAUSED | State.INCONCLUSIVE:
            _take_back(decision, proposal, facts)
        case State.WATCH:
            _watch(decision, proposal, facts)
        case State.ROLLING_BACK | State.ROLLBACK_FAILED:
            _settle(decision, proposal, facts)
        case (
            State.DRAFT | State.GATED | State.KEPT | State.LEARNED | State.ROLLED_BACK
            | State.REJECTED | State.SUPERSEDED | State.EXPIRED | State.STALE
            | State.WITHDRAWN | State.DISCARDED | State.FAILED
        ):  # fmt: skip
            return None
        case _:
            assert_never(proposal.state)
    return decision if decision.events else None


# ---- before the trial ----------------------------------------------------------------------


def staleness(proposal: Proposal, facts: Facts) -> Reason | None:
    """Return why a proposal no longer fits what it was made for, or None."""
    if facts.scope is None or facts.scope.bound != proposal.bound:
        return Reason.CODE_CHANGED
    if facts.moved:
        return Reason.BASE_MOVED
    if any(refusal.reason in STRUCTURAL for refusal in facts.refusals):
        return Reason.POLICY_CHANGED
    return None


def _invalidate(decision: Decision, proposal: Proposal, facts: Facts) -> bool:
    reason = staleness(proposal, facts)
    if reason is not None:
        decision.move(Move.INVALIDATE, Hand.INVALIDATOR, reason)
    return reason is not None


def _expire(decision: Decision, proposal: Proposal, facts: Facts) -> bool:
    over = facts.now - proposal.since >= facts.policy.expire_s
    if over:
        decision.move(Move.EXPIRE, Hand.CLOCK, Reason.EXPIRED)
    return over


def _start(decision: Decision, proposal: Proposal, facts: Facts) -> None:
    """Take the lock when it is free and nothing holds the change back."""
    if _invalidate(decision, proposal, facts) or _expire(decision, proposal, facts):
        return
    held = facts.killed or facts.frozen or not facts.lock_free or not facts.room
    if not held and facts.policy.mode == "review":
        decision.move(Move.START, Hand.SCHEDULER, Reason.LOCK_TAKEN)


def _shadow(decision: Decision, proposal: Proposal, facts: Facts, salt: Callable[[], str]) -> None:
    """Wait for the replay of history; fail a change that it clearly speaks against."""
    if _out_of_bounds(decision, proposal, facts) or facts.replayed is None:
        return
    ruling = shadow.judge(proposal.drafted, facts.policy.verify.shadow, facts.replayed)
    if ruling.reason is Reason.SIMULATED_WORSE:
        taught = lesson(proposal, ruling.reason, None)
        apply.fail(decision, ruling.reason, ruling.facts, taught)
    elif not facts.frozen and facts.policy.mode == "review":
        _begin(decision, proposal, facts, salt, ruling)


def _begin(
    decision: Decision, proposal: Proposal, facts: Facts, salt: Callable[[], str],
    ruling: shadow.Ruling,
) -> None:  # fmt: skip
    if facts.scope is None:
        raise ValueError(f"{proposal.id}: tried without its scope")
    drafted, scope = proposal.drafted, facts.scope
    stages = plan.plan(drafted, facts.policy)
    first = next(stage for stage in stages if isinstance(stage, plan.Begin))
    items = plan.block_items(drafted, scope.stable, facts.policy, facts.run_items)
    batches = math.ceil(items / int(scope.stable.get("each.batch") or 1))
    frozen = replace(plan.frozen_plan(drafted, facts.policy, batches), zone=scope.zone)
    apply.begin(
        decision, first, frozen.to_json(), base=scope.stable, bound=scope.bound, salt=salt(),
        block_items=items, reason=ruling.reason, facts=ruling.facts,
    )  # fmt: skip


# ---- the trial ------------------------------------------------------------------------------


def _take_back(decision: Decision, proposal: Proposal, facts: Facts) -> bool:
    """The ways back that are always open: kill switch, staleness, proven harm, no eyes."""
    finding = facts.finding
    if _out_of_bounds(decision, proposal, facts):
        return True
    if finding is None:
        note = "its units cannot be read, so that nobody would see it do harm"
        apply.roll_back(decision, Hand.VERIFIER, Reason.INCONCLUSIVE, note=note)
        return True
    if finding.final and finding.verdict == "worse":
        apply.roll_back(decision, Hand.VERIFIER, Reason.HARM, finding=finding)
        return True
    return False


def _out_of_bounds(decision: Decision, proposal: Proposal, facts: Facts) -> bool:
    """The ways back that need no measurement: the kill switch, and ground that has moved."""
    if facts.killed:
        apply.roll_back(
            decision, Hand.KILL_SWITCH, Reason.KILL_SWITCH, finding=facts.finding
        )  # fmt: skip
        return True
    stale = staleness(proposal, facts)
    if stale is not None:
        apply.roll_back(decision, Hand.INVALIDATOR, stale, finding=facts.finding)
    return stale is not None


def _canary(decision: Decision, proposal: Proposal, facts: Facts) -> None:
    if _take_back(decision, proposal, facts) or facts.finding is None:
        return
    finding = _at_horizon(proposal, facts, facts.finding)
    if finding.final and finding.verdict == "inconclusive":
        _inconclusive(decision, proposal, finding)
    elif facts.frozen:
        return
    elif finding.final:
        _promote(decision, proposal, facts, finding)
    elif _shrunk(facts):
        apply.drop(decision, _shrunk(facts), finding)
    elif facts.may_advance:
        stages = plan.plan(proposal.drafted, facts.policy)
        ramps = [s for s in stages if isinstance(s, plan.Ramp) and s.stage == proposal.stage + 1]
        if ramps:
            apply.ramp(decision, ramps[0], finding)


def _at_horizon(proposal: Proposal, facts: Facts, finding: Finding) -> Finding:
    """Too few units within the days of the horizon is an answer too: we cannot tell."""
    if finding.final or _seen_s(proposal, facts) < facts.policy.verify.horizon_s:
        return finding
    return replace(finding, verdict="inconclusive", reason="horizon", final=True)


def _inconclusive(decision: Decision, proposal: Proposal, finding: Finding) -> None:
    if finding.reason == "learned":
        apply.learn(decision, finding, lesson(proposal, Reason.LEARNED, finding))
        return
    decision.move(Move.GIVE_UP, Hand.VERIFIER, Reason.HORIZON)
    apply.roll_back(decision, Hand.VERIFIER, Reason.INCONCLUSIVE, finding=finding)


def _shrunk(facts: Facts) -> dict[str, float]:
    """The shares without the arms that were found harmful; empty when none was."""
    dropped = set(facts.finding.statistics.get("dropped", ())) if facts.finding else set()
    shares = dict(facts.shares or {})
    if not dropped & shares.keys():
        return {}
    return {arm: share for arm, share in shares.items() if arm not in dropped}


def _promote(decision: Decision, proposal: Proposal, facts: Facts, finding: Finding) -> None:
    """Proven better: on to the watch, once calendar and nodes have been seen."""
    unmet = _unmet(proposal, facts)
    if unmet:
        if _seen_s(proposal, facts) >= facts.policy.verify.horizon_s:
            note = "kept only when " + " and ".join(unmet)
            decision.move(Move.GIVE_UP, Hand.VERIFIER, Reason.GATES_UNMET, note=note)
            apply.roll_back(
                decision, Hand.VERIFIER, Reason.GATES_UNMET, finding=finding, note=note
            )  # fmt: skip
        return
    stages = plan.plan(proposal.drafted, facts.policy)
    watch = next(stage for stage in stages if isinstance(stage, plan.Watch))
    apply.watch(decision, watch)
    if watch.seconds == 0:
        _keep(decision, proposal, facts, finding, Reason.NO_WATCH)


def _unmet(proposal: Proposal, facts: Facts) -> list[str]:
    """What the policy wants seen before a change is kept, and has not been seen."""
    gates, seen_s = plan.gates_of(proposal.drafted, facts.policy), _seen_s(proposal, facts)
    unmet = []
    if facts.nodes < gates.nodes:
        unmet.append(f"seen on {gates.nodes} machines (it ran on {facts.nodes})")
    if proposal.drafted.knob_class == "schedule":
        unmet += _unproven_by_day(facts)
    if facts.days < gates.days:
        unmet.append(f"begun on {gates.days} days (it did on {facts.days})")
    if seen_s < DAY_S * gates.daily_cycle:
        unmet.append("seen over a whole day")
    if seen_s < gates.hold_s:
        unmet.append(f"{gates.hold_s / 60:g} minutes have passed")
    return unmet


def _unproven_by_day(facts: Facts) -> list[str]:
    """A gain of hours must show where each day counts once: runs of one night have one fate."""
    verify = facts.policy.verify
    chance = facts.by_day.chance_of(verify.min_gain) if facts.by_day is not None else 0.0
    if chance >= 1.0 - verify.gain_alpha:
        return []
    return [f"the gain shows with each day counted once (a chance of {chance:.0%})"]


def _seen_s(proposal: Proposal, facts: Facts) -> float:
    """How long the trial has been running."""
    enrolled = proposal.last("enrol")
    return facts.now - (enrolled.at if enrolled is not None else proposal.since)


def _watch(decision: Decision, proposal: Proposal, facts: Facts) -> None:
    """Keep what was proven before the watch, unless the watch showed something against it."""
    finding = facts.finding
    if _take_back(decision, proposal, facts) or finding is None:
        return
    ruled_out = finding.final and finding.reason in ("gain_refuted", "sample_ratio")
    over = facts.now - proposal.since >= facts.policy.gates.watch_s and not facts.frozen
    still = finding.verdict == "better" or finding.statistics.get("doubt") == "gain_unproven"
    if ruled_out or (over and not still):
        apply.roll_back(decision, Hand.VERIFIER, Reason.INCONCLUSIVE, finding=finding)
    elif over:
        proven = replace(finding, verdict="better", reason="gain_proven", final=True)
        _keep(decision, proposal, facts, proven, Reason.WATCHED)


def _keep(
    decision: Decision, proposal: Proposal, facts: Facts, finding: Finding, reason: Reason
) -> None:
    if facts.scope is None or facts.previous is None:
        raise ValueError(f"{proposal.id}: kept without its scope")
    stages = plan.plan(proposal.drafted, facts.policy)
    kept = next(stage for stage in stages if isinstance(stage, plan.Keep))
    approval = proposal.approval
    apply.keep(
        decision, kept, finding, previous=facts.previous, bound=facts.scope.bound, reason=reason,
        approver=approval.event.actor if approval is not None else "",
    )  # fmt: skip


# ---- the way back -----------------------------------------------------------------------------


def _settle(decision: Decision, proposal: Proposal, facts: Facts) -> None:
    """Rolled back is what was seen to be gone: stable work, or no run that could use it."""
    back = proposal.last("roll_back")
    why = Reason(back.event.reason) if back is not None else Reason.OPERATOR
    if facts.stable_seen or not facts.runs_live:
        seen = Reason.EFFECT_SEEN if facts.stable_seen else Reason.NO_RUN_LIVE
        apply.settle(decision, seen, why, lesson(proposal, why, facts.finding))
    elif (
        proposal.state is State.ROLLING_BACK
        and facts.now - proposal.since >= facts.policy.rollback_deadline_s
    ):
        decision.move(Move.GET_STUCK, Hand.EXPERIMENTS, Reason.EFFECT_NOT_SEEN)


def lesson(proposal: Proposal, reason: Reason, finding: Finding | None) -> str:
    """Return what is to be remembered, in words whose numbers are all measured."""
    drafted = proposal.drafted
    change = "; ".join(
        f"{line['knob']} {line['from']} to {line.get('to', line.get('values'))}"
        for line in drafted.diff
    )
    said = words(reason.value)
    if drafted.kind == "experiment" and reason is Reason.HARM:
        said = "every value tried is proven worse than the control"
    statistics = finding.statistics if finding is not None else {}
    if finding is None and proposal.verdict is not None:
        statistics = proposal.verdict.statistics
    measured = "; ".join(_measured(proposal, statistics))
    text = f"{drafted.playbook}#{drafted.step}: {change}: {said}"
    return f"{text}; measured {drafted.objective}: {measured}" if measured else text


def _measured(proposal: Proposal, statistics: Mapping[str, Json]) -> Iterator[str]:
    """What each arm measured, by its values; harmful arms are called so."""
    told = statistics.get("arms") or {}
    tried = arms(proposal.drafted)
    for name, values in tried.items():
        found = told.get(name) or (statistics if len(tried) == 1 else {})
        if found.get("realised") is None:
            continue
        value = ", ".join(str(v) for v in values.values())
        harm = " (harmful)" if found.get("harmful") else ""
        yield f"{value} {found['realised']:+.1%}{harm}"
