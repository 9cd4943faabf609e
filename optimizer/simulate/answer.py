"""The answer: what replays of the run as it was and as asked say beside each other."""

from __future__ import annotations

from collections.abc import Sequence

from optimizer.simulate.estimate import Band, CannotSay, Estimate, StepEstimate
from optimizer.simulate.flow import Outcome
from optimizer.simulate.question import Asked
from optimizer.simulate.work import Work


def estimate(
    asked: Asked, before: Sequence[Outcome], after: Sequence[Outcome]
) -> Estimate | CannotSay:
    """Return what the replays say, or that the run would fail in every one."""
    pairs = [(b, a) for b, a in zip(before, after, strict=True) if not (a.failed or b.failed)]
    if not pairs:
        step = next((a.failed for a in after if a.failed), "")
        return CannotSay("run_would_fail", f"the run fails at {step} in every replay")
    work, done = asked.work, [a for _, a in pairs]
    was = Band.of([b.makespan_s for b, _ in pairs]).median
    return Estimate(
        run=work.run, playbook=work.playbook, changes=asked.changes,
        recorded_makespan_s=work.makespan_s,
        makespan_s=Band.of([a.makespan_s for a in done]),
        makespan_delta=Band.of([a.makespan_s / b.makespan_s - 1.0 for b, a in pairs]),
        cost_usd=_cost([_total(a) for a in done]),
        items_failed=Band.of([float(_lost(a)) for a in done]),
        fails=sum(bool(a.failed) for a in after) / len(after),
        steps=[_step(work, name, done) for name in asked.stocks],
        assumptions=_assumptions(asked),
        calibration_error=abs(was / work.makespan_s - 1.0) if work.makespan_s else 0.0,
        draws=len(after), runs_of_history=asked.runs - 1,
        cost_delta=_dearer([(_total(b), _total(a)) for b, a in pairs]),
    )  # fmt: skip


def _total(outcome: Outcome) -> float | None:
    costs = [s.cost_usd for s in outcome.steps.values()]
    return None if any(c is None for c in costs) else sum(c for c in costs if c is not None)


def _lost(outcome: Outcome) -> int:
    return sum(s.items_failed for s in outcome.steps.values())


def _cost(costs: Sequence[float | None]) -> Band | None:
    known = [c for c in costs if c is not None]
    return Band.of(known) if known and len(known) == len(costs) else None


def _dearer(costs: Sequence[tuple[float | None, float | None]]) -> Band | None:
    known = [a / b - 1.0 for b, a in costs if b and a is not None]
    return Band.of(known) if known and len(known) == len(costs) else None


def _step(work: Work, name: str, outcomes: Sequence[Outcome]) -> StepEstimate:
    spent = [o.steps[name] for o in outcomes]
    return StepEstimate(
        name, sum(f.span_s for f in work.of(name)), Band.of([s.span_s for s in spent]),
        _cost([s.cost_usd for s in spent]), Band.of([float(s.items_failed) for s in spent]),
    )  # fmt: skip


def _assumptions(asked: Asked) -> list[str]:
    """All that the answer leans on, in the order in which it matters."""
    found = [
        "tokens take the ways that they took; steps between which nothing changed last as long"
    ]
    changed = [asked.stocks[step] for step in asked.changes if step in asked.stocks]
    for stock in changed:
        found += list(stock.notes)
    found += list(asked.notes)
    if any(asked.stocks[s].levels.runs == {} for s in asked.stocks):
        found.append("the range covers chance within the run, not how runs differ from each other")
    else:
        found.append(f"the range covers how the step's {asked.runs} known runs differ")
    if any(asked.allowed.get(step) is None for step in asked.changes):
        found.append("the run is taken to go on however many items fail")
    if asked.slots is not None:
        found.append(f"the pool has {asked.slots} slots, and no other run uses them")
    return found
