"""The rows of an attempt: how it went, and what it printed."""

from __future__ import annotations

from typing import Any, Final

from runtime.record.derive.causes import cause, fault_text
from runtime.record.derive.lookup import Lookup, number, place, submitted, whole
from runtime.record.tables import Row
from runtime.run.events import AttemptFinished, AttemptScheduled, ConfigStored, Recorded

_EACH: Final = "each.batch"


def attempt_row(r: Recorded, e: AttemptFinished, lookup: Lookup) -> Row:
    """Return the row of an attempt that finished, with what it was given and why."""
    found = lookup.event(r.stream, e.scheduled)
    plan = found.event if found is not None else None
    if not isinstance(plan, AttemptScheduled):
        plan, found = AttemptScheduled(e.attempt, e.step, e.number, "", "", e.batch), None
    run, _ = submitted(r, lookup)
    knobs, overridden = _config(plan.config, lookup)
    fault = e.fault
    return (
        *place(r), found.at if found else r.at, r.stream.removeprefix("run/"),
        run.playbook if run else "", run.version if run else "", run.number if run else 0,
        e.step, e.batch, plan.block, plan.start, e.attempt, e.number, e.outcome,
        fault.cls if fault else "", fault.message if fault else "",
        cause(e.step, fault) if fault and not e.went_down else "",
        int(e.retry_at is not None or e.moot),
        e.queue_s, e.run_s, e.total_s, plan.items, e.rows_in, e.rows_out, e.bytes_in, e.bytes_out,
        e.cpu_s, e.rss_peak, e.worker, e.hardware, e.environment, e.price_usd_hour, e.cost_usd,
        e.spend_usd, plan.config, whole(knobs.get(_EACH)), whole(knobs.get("each.in_flight")),
        whole(knobs.get("retry.attempts")), number(knobs.get("timeout")),
        str(knobs.get("runs_on") or ""), plan.experiment or "", plan.arm or "", plan.share,
        int(run is not None and run.system), int(overridden), int(e.post_decision),
        fault_text(e.step, fault) if fault else "", e.tokens, e.calls,
        str(knobs.get("alternatives") or ""), _race(plan, e), int(e.over_budget),
    )  # fmt: skip


def _race(plan: AttemptScheduled, e: AttemptFinished) -> str:
    """How a try fared beside another of the same work."""
    if e.moot and e.outcome == "cancelled":
        return "beaten"
    if plan.hedges is None:
        return ""
    return "won" if e.outcome == "succeeded" else "beside"


def output_row(r: Recorded, e: AttemptFinished, lookup: Lookup) -> Row:
    """Return the row of what an attempt printed."""
    run, _ = submitted(r, lookup)
    return (
        *place(r), r.stream.removeprefix("run/"), run.playbook if run else "", e.step, e.batch,
        e.attempt, e.outcome, e.stdout,
    )  # fmt: skip


def _config(config: str, lookup: Lookup) -> tuple[dict[str, Any], bool]:
    found = lookup.event(f"config/{config}", 1) if config else None
    if found is None or not isinstance(found.event, ConfigStored):
        return {}, False
    return found.event.effective, found.event.locked
