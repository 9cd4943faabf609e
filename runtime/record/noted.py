"""What is worth finding of an attempt: why it failed, that it was slow, what it printed.

Attempts that say the same share a point, which leads to the latest of them; the filters of
its payload find all. An attempt that did nothing of note marks nothing: its step and its run
are found instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from runtime.record.derive import Lookup, cause, fault_text, submitted
from runtime.record.mark import Mark, mark_of, point_id
from runtime.record.masking import LIMIT, mask
from runtime.record.wording import kinds_of
from runtime.run.events import (
    AttemptFinished,
    AttemptScheduled,
    ConfigStored,
    Fault,
    PlaybookRegistered,
    Recorded,
    RunSubmitted,
    StepRouted,
)

SLOW_SHARE: Final = 0.5
"""An attempt is slow that took this share of its time limit."""
SLOW_S: Final = 1.0
"""And at least so long."""
LINES: Final = 40
"""So many different lines of one attempt become points: the first half of them and the last."""
_SHOWN: Final = 300


def noted(r: Recorded, e: AttemptFinished | StepRouted, lookup: Lookup) -> Iterator[Mark]:
    """Yield what an attempt, or a step that only routes, is found by."""
    if isinstance(e, AttemptFinished) and e.copied:
        return  # it is a point of the run that it happened in
    run, _ = submitted(r, lookup)
    if e.fault is not None:
        yield _failure(r, e, e.fault, run, lookup)
    if isinstance(e, AttemptFinished):
        if e.outcome == "succeeded":
            yield from _hard_won(r, e, run, lookup)
        for line in lines(e.stdout):
            yield _line(r, e, line, run, lookup)


def error_of(fault: Fault) -> str:
    """Return what a fault says of itself, masked: what its plain words are found by."""
    return mask(f"{fault.cls}: {fault.message}")


def about(run: RunSubmitted | None, step: str, lookup: Lookup) -> str:
    """Return where something happened, in the words of its author."""
    if run is None:
        return step.replace("_", " ")
    found = lookup.event(f"playbook/{run.playbook}", run.number)
    told = found.event if found is not None else None
    said = told.description if isinstance(told, PlaybookRegistered) else ""
    return f"{run.playbook} {step}: {said}".replace("_", " ").replace("/", " ").replace("-", " ")


def lines(printed: str) -> list[str]:
    r"""Return the different lines of an output, masked; of many the first and the last.

    >>> lines("read 3 rows\nread 9 rows\n\nno header in /tmp/tmpa1b2c3d4\n")
    ['read <n> rows', 'no header in <tmp>']
    """
    masked = (mask(line[:LIMIT]) for line in printed.splitlines())
    found = list(dict.fromkeys(line for line in masked if line))
    if len(found) <= LINES:
        return found
    return found[: LINES // 2] + found[-LINES // 2 :]


def _payload(r: Recorded, step: str, run: RunSubmitted | None, lookup: Lookup) -> dict[str, Any]:
    return {
        "playbook": run.playbook if run else "", "step": step,
        "run": r.stream.removeprefix("run/"), "system": int(run is not None and run.system),
        "about": about(run, step, lookup),
    }  # fmt: skip


def _failure(
    r: Recorded, e: AttemptFinished | StepRouted, fault: Fault, run: RunSubmitted | None,
    lookup: Lookup,
) -> Mark:  # fmt: skip
    playbook, why = run.playbook if run else "", cause(e.step, fault)
    error = error_of(fault)
    attempt = e if isinstance(e, AttemptFinished) else None
    return mark_of(
        r, point_id("failure", playbook, e.step, why), "failure",
        f"failed step {fault_text(e.step, fault)}",
        state=fault.cls, fingerprint=why, message=fault.message[:LIMIT], where=fault.where,
        attempt=attempt.attempt if attempt else "", hardware=attempt.hardware if attempt else "",
        error=error, kinds=list(kinds_of(error)), **_payload(r, e.step, run, lookup),
    )  # fmt: skip


def _hard_won(
    r: Recorded, e: AttemptFinished, run: RunSubmitted | None, lookup: Lookup
) -> Iterator[Mark]:
    """Yield that an attempt was slow, or that it was not the first try."""
    limit = _timeout(r, e, lookup)
    if limit is None and e.number == 1:
        return  # the most of them by far
    where = f"step {e.step} of {run.playbook if run else ''}"
    told = {"attempt": e.attempt, "hardware": e.hardware, **_payload(r, e.step, run, lookup)}
    if limit is not None and e.run_s >= max(SLOW_S, SLOW_SHARE * limit):
        text = f"slow {where}: it took long, most of the time that it may have"
        point = point_id("slow", told["playbook"], e.step)
        said = f"{e.run_s:.3g} s of {limit:g} s"
        yield mark_of(r, point, "slow", text, state="slow", message=said, **told)
    if e.number > 1:
        text = f"retried {where}: it succeeded after another try"
        point = point_id("retried", told["playbook"], e.step)
        yield mark_of(
            r, point, "retried", text, state="retried", message=f"try {e.number}", **told
        )


def _timeout(r: Recorded, e: AttemptFinished, lookup: Lookup) -> float | None:
    if e.run_s < SLOW_S:
        return None
    found = lookup.event(r.stream, e.scheduled)
    plan = found.event if found is not None else None
    if not isinstance(plan, AttemptScheduled) or not plan.config:
        return None
    kept = lookup.event(f"config/{plan.config}", 1)
    if kept is None or not isinstance(kept.event, ConfigStored):
        return None
    limit = kept.event.effective.get("timeout")
    return float(limit) if isinstance(limit, int | float) else None


def _line(
    r: Recorded, e: AttemptFinished, line: str, run: RunSubmitted | None, lookup: Lookup
) -> Mark:
    playbook = run.playbook if run else ""
    return mark_of(
        r, point_id("log", playbook, e.step, line), "log", line[:_SHOWN],
        state=e.outcome, attempt=e.attempt, hardware=e.hardware, error=line[:_SHOWN],
        kinds=list(kinds_of(line[:_SHOWN])), **_payload(r, e.step, run, lookup),
    )  # fmt: skip
