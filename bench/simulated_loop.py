"""The whole loop over the simulated service: propose, try, verify, keep, until nothing is left.

The optimizer (`agents.loop`), the plan of a trial (`control_plane.review.plan`) and its
verification (`optimizer.verify`) are the real ones; people approve everything at once.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from agents.loop import run_cycle
from bench.simulated_service import Manners, Trial, World
from control_plane.review import plan as plans
from control_plane.review.policy import Policy, describe
from control_plane.review.profiles import load
from control_plane.review.proposal import arms
from optimizer.proposal import Candidate
from optimizer.verify import Finding, Unit, Verification
from runtime.run.events import ExperimentStarted, ProposalDrafted

SCOPE = {
    "playbook": "healthcare/patient_cohort",
    "step": "fetch",
    "version": "v1",
    "bound": "b",
    "effect": "idempotent",
    "objective": "cost",
    "defaults": {"each.batch": 25, "each.in_flight": 2},
    "tune": [
        {"name": "each.batch", "min": 10, "max": 1000},
        {"name": "each.in_flight", "min": 1, "max": 8},
    ],
}
AROUND_CYCLE_S = 5.0
MOST_CYCLES = 12


@dataclass
class Outcome:
    """One proposal's way through a trial."""

    candidate: Candidate
    state: str
    finding: Finding
    runs: int
    seconds: float
    fed: bool = False

    def describe(self) -> dict[str, Any]:
        """Return a line for a reader."""
        line, facts = self.candidate.diff[0], self.finding.statistics
        return {
            "knob": line["knob"], "from": line["from"], "to": line.get("to", line.get("values")),
            "state": self.state, "reason": self.finding.reason, "runs": self.runs,
            "seconds": round(self.seconds, 1), "units": self.finding.units, "fed": self.fed,
            "predicted": self.candidate.predicted, "realised": facts.get("realised"),
            "gain_ci": facts.get("gain_ci"), "dropped": facts["dropped"],
        }  # fmt: skip

    def inside(self) -> bool | None:
        """Whether the realised effect lay in the predicted interval; None when not asked."""
        found = self.candidate.predicted.get(self.candidate.objective)
        if self.state != "kept" or self.fed or not found:
            return None
        return bool(found["lower"] <= self.finding.statistics["realised"] <= found["upper"])


@dataclass
class SimulatedLoop:
    """A world, its stable values, and all that was tried."""

    world: World
    policy: Policy = field(default_factory=lambda: load("demo"))
    stable: dict[str, int] = field(default_factory=lambda: {"each.batch": 25, "each.in_flight": 2})
    outcomes: list[Outcome] = field(default_factory=list)
    seconds: float = 0.0
    cycles: int = 0
    reasons: list[str] = field(default_factory=list)

    @classmethod
    def seeded(cls, seed: int, manners: Manners) -> SimulatedLoop:
        """Return a loop whose world has its own chance."""
        return cls(World(manners, random.Random(seed)))

    def runs(self, n: int) -> list[float]:
        """Run n times with the stable values."""
        took = [
            self.world.run(self.stable["each.batch"], self.stable["each.in_flight"])
            for _ in range(n)
        ]
        self.seconds += sum(took)
        return took

    def cycle(self) -> Candidate | None:
        """Ask the optimizer once."""
        self.cycles += 1
        self.seconds += AROUND_CYCLE_S
        last = [{"content": o.candidate.content, "state": o.state} for o in self.outcomes]
        scope = {**SCOPE, "stable": dict(self.stable), "last": last}
        rng = random.Random(f"{self.world.runs}")
        found = run_cycle(self.world, [scope], describe(self.policy), rng)
        self.reasons = [reason.text for reason in found.reasons]
        return found.candidates[0] if found.candidates else None

    def until_done(self, feed: bool = True) -> None:
        """Go on until nothing worthwhile is proposed; then feed in twice the batch, once."""
        while self.cycles < MOST_CYCLES:
            candidate = self.cycle()
            if candidate is None:
                break
            self.trial(candidate)
        if feed:
            self.trial(self.tempting(), fed=True)

    def tempting(self) -> Candidate:
        """Twice the stable batch size, whatever the service thinks of that."""
        batch = self.stable["each.batch"]
        return Candidate(
            "change", SCOPE["playbook"], SCOPE["step"], "batch", "cost",
            [{"knob": "each.batch", "from": batch, "to": 2 * batch}], {"each.batch": batch},
            {"id": "fed"}, {"cost": {"lower": -0.3, "median": -0.2, "upper": -0.1}},
        )  # fmt: skip

    def trial(self, candidate: Candidate, fed: bool = False) -> Outcome:
        """Try a candidate as the server would, and keep what is proven."""
        judge = _Judge(candidate, self.policy, self.stable, self.world)
        began, runs = self.seconds, 0
        while not judge.finding.final:
            runs += 1
            judge.runs = runs
            self.seconds += self.world.run(
                self.stable["each.batch"], self.stable["each.in_flight"], judge.trial
            )
            judge.run_ended()
        state = {"better": "kept", "worse": "rolled_back"}.get(
            judge.finding.verdict, "rolled_back"
        )
        if candidate.kind == "experiment":
            state = "learned"
        if state == "kept":
            self.stable |= {line["knob"]: line["to"] for line in candidate.diff}
        took = self.seconds - began
        self.outcomes.append(Outcome(candidate, state, judge.finding, runs, took, fed))
        return self.outcomes[-1]


class _Judge:
    """Hears of units, ramps the trial and says when it is over."""

    def __init__(
        self, candidate: Candidate, policy: Policy, stable: dict[str, int], world: World
    ) -> None:
        drafted = ProposalDrafted(
            "p-0", candidate.kind, candidate.playbook, candidate.step, candidate.knob_class,
            candidate.objective, candidate.diff, candidate.base, candidate.evidence,
            candidate.predicted, "optimizer", candidate.key, candidate.content,
        )  # fmt: skip
        items = plans.block_items(drafted, stable, policy, world.items)
        self.plan = plans.frozen_plan(drafted, policy, max(1, items // stable["each.batch"]))
        names = arms(drafted)
        self.check = Verification(self.plan, tuple(names))
        self.stage, self.runs = 0, 0
        shares = dict.fromkeys(names, self.plan.ramp[0].share)
        started = ExperimentStarted(
            f"x-{world.runs}", "p-0", candidate.playbook, candidate.step, candidate.knob_class,
            self.plan.design, candidate.base, dict(names), shares,
            salt=str(world.chance.random()), bound="b",
            block_items=items,
        )  # fmt: skip
        self.trial = Trial(started, self.hear)
        self.finding = self.check.finding(0, 0)

    def hear(self, unit: Unit) -> bool:
        self.check.add(unit)
        self.finding = self.check.finding(self.stage, self.runs - 1)
        for arm in self.check.dropped:
            self.trial.live.shares[arm] = 0.0
        if self.check.may_advance(self.stage):
            self.stage += 1
            share = self.plan.ramp[self.stage].share
            self.trial.live.shares = dict.fromkeys(self.trial.live.shares, share)
        return self.finding.final

    def run_ended(self) -> None:
        if not self.finding.final:
            self.finding = self.check.finding(self.stage, self.runs)
