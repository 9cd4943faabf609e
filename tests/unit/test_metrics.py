"""Metrics: what events are counted as, how many series there can be, and what is exposed."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_parsed
from prometheus_client.parser import text_string_to_metric_families as parsed

from runtime.run.events import (
    AttemptFinished,
    CheckFailed,
    Event,
    Fault,
    ProductPublished,
    ProposalMoved,
    Recorded,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunSubmitted,
    ScheduleFired,
    SignalReceived,
    StepPoisoned,
    VerdictReached,
)
from runtime.telemetry.families import NoSuchMetric, families, found_in, text_of
from runtime.telemetry.table import BUCKETS_S, METRICS, OTHER
from runtime.telemetry.tally import Spread, Tally

THROTTLED = Fault("throttled", "slow down")
RUN = "run/0a"


def submitted(playbook: str = "etl/orders") -> RunSubmitted:
    return RunSubmitted(playbook, "hash", 1, {}, "me")


def finished(step: str = "load", outcome: str = "succeeded", **more: Any) -> AttemptFinished:
    return AttemptFinished(f"0a/{step}/-1/1", step, 1, outcome, 2, **more)


def tally_of(*events: Event | tuple[str, Event], cap: int = 100) -> Tally:
    """A tally of events, a second apart, each of run 0a unless its stream is named."""
    tally = Tally(lambda run: None, cap)
    placed = [event if isinstance(event, tuple) else (RUN, event) for event in events]
    tally.take([
        Recorded(1, at, stream, at, float(at), event)
        for at, (stream, event) in enumerate(placed, 1)
    ])  # fmt: skip
    return tally


def value(tally: Tally, name: str, *labels: str) -> float | Spread:
    return dict(found_in(tally)[name])[labels]


EVERYTHING = tally_of(
    submitted(), finished(rows_in=3, rows_out=2, cost_usd=0.5, queue_s=0.2, run_s=1, total_s=1.2),
    finished(outcome="failed", fault=THROTTLED, retry_at=9.0, run_s=0.5, total_s=0.5),
    ProductPublished("load", "orders", 1, "", "", 0, 0, "", {}), CheckFailed("load", "orders", []),
    RunCompleted(),
    ("proposal/1", ProposalMoved("1", "approve", "proposed", "approved", "me", "ok")),
    ("proposal/1", VerdictReached("1", "e", "better", "", {}, {})),
    SignalReceived("approval:sign", {"approved": False}),
    ("schedule/x", ScheduleFired("x", 0.0, "0a")),
    ("poison/etl/orders", StepPoisoned("etl/orders", "hash", "load", 5, "", "")),
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        ("trimtab_runs_started_total", ("etl/orders",), 1),
        ("trimtab_runs_ended_total", ("etl/orders", "completed"), 1),
        ("trimtab_attempts_total", ("etl/orders", "load", "succeeded", "none"), 1),
        ("trimtab_attempts_total", ("etl/orders", "load", "failed", "throttled"), 1),
        ("trimtab_retries_total", ("etl/orders", "load", "throttled"), 1),
        ("trimtab_rows_total", ("etl/orders", "load", "in"), 3),
        ("trimtab_rows_total", ("etl/orders", "load", "out"), 2),
        ("trimtab_cost_usd_total", ("etl/orders", "load"), 0.5),
        ("trimtab_unpriced_attempts_total", ("etl/orders", "load"), 1),
        ("trimtab_products_published_total", ("etl/orders",), 1),
        ("trimtab_checks_failed_total", ("etl/orders",), 1),
        ("trimtab_proposals_moved_total", ("approved",), 1),
        ("trimtab_approvals_total", ("proposal", "yes"), 1),
        ("trimtab_approvals_total", ("step", "no"), 1),
        ("trimtab_verdicts_total", ("better",), 1),
        ("trimtab_schedules_fired_total", (), 1),
        ("trimtab_steps_poisoned_total", (), 1),
        ("trimtab_journal_events_total", (), 11),
    ],
)
def test_an_event_is_counted_where_it_belongs(
    name: str, labels: tuple[str, ...], expected: float
) -> None:
    assert value(EVERYTHING, name, *labels) == expected


def test_a_run_is_as_long_as_from_its_submission_to_its_end() -> None:
    spread = value(EVERYTHING, "trimtab_run_seconds", "etl/orders")
    assert isinstance(spread, Spread)
    assert (sum(spread.counts), spread.total) == (1, 5.0)


def test_how_a_run_ended_is_told_apart() -> None:
    tally = tally_of(
        ("run/1", submitted()), ("run/2", submitted()),
        ("run/1", RunFailed("load", THROTTLED)), ("run/2", RunCancelled()),
    )  # fmt: skip
    assert tally.books["etl/orders"].ended == Counter(failed=1, cancelled=1)


def test_rounds_of_a_loop_are_one_step_and_what_was_copied_by_a_fork_is_not_counted() -> None:
    tally = tally_of(submitted(), finished("poll"), finished("poll~1"), finished(copied=True))
    assert {pair: step.ended.total() for pair, step in tally.steps.items()} == {
        ("etl/orders", "poll"): 2
    }


def test_the_playbook_of_a_run_that_began_before_the_server_is_asked_for_once() -> None:
    asked = []
    tally = Tally(lambda run: asked.append(run) or "etl/old")  # type: ignore[func-returns-value]
    for pos in (1, 2):
        tally.take([Recorded(2, pos, RUN, 7 + pos, 1.0, finished())])
    tally.take([Recorded(2, 3, RUN, 10, 1.0, RunCompleted())])
    assert asked == ["0a"]
    assert tally.books["etl/old"].ended["completed"] == 1
    assert sum(tally.books["etl/old"].seconds.counts) == 0, "since when it ran is not known"


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=50), st.integers(1, 10)
)
def test_however_many_playbooks_and_steps_there_are_the_series_are_bounded_and_nothing_is_lost(
    work: list[tuple[int, int]], cap: int
) -> None:
    events: list[tuple[str, Event]] = []
    for book, step in work:
        events += [(f"run/{book}", submitted(f"p{book}")), (f"run/{book}", finished(f"s{step}"))]
    tally = tally_of(*events, cap=cap)
    assert len(tally.steps) <= cap + cap + 1, "the kept pairs, one `other` a playbook, and other"
    assert len(tally.books) <= cap + 1
    assert sum(step.ended.total() for step in tally.steps.values()) == len(work)
    few = {book for book, _ in work}
    if len(few) <= cap and len(set(work)) <= cap:
        assert tally.over_cap == 0
        assert all(OTHER not in pair for pair in tally.steps)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.floats(0, 10_000), max_size=50))
def test_a_bucket_holds_what_is_not_above_its_bound(values: list[float]) -> None:
    spread = Spread()
    for one in values:
        spread.add(one)
    for i, bound in enumerate(BUCKETS_S):
        assert sum(spread.counts[: i + 1]) == sum(v <= bound for v in values)
    assert sum(spread.counts) == len(values)


def test_an_event_that_is_heard_twice_is_counted_once() -> None:
    tally = tally_of(submitted(), finished())
    tally.take([Recorded(1, pos, RUN, pos, 3.0, finished()) for pos in (1, 2, 3)])
    assert tally.step("etl/orders", "load").ended.total() == 2
    assert tally.events == 3


def test_a_copy_no_longer_changes() -> None:
    tally = tally_of(submitted(), finished())
    copy = tally.copy()
    before = text_of(families(found_in(copy)), "")
    tally.take([Recorded(1, 9, RUN, 9, 9.0, finished(run_s=3.0))])
    assert text_of(families(found_in(copy)), "") == before
    assert text_of(families(found_in(tally)), "") != before


def test_what_is_exposed_is_in_the_table_and_what_is_in_the_table_is_exposed() -> None:
    body, _ = text_of(families(found_in(EVERYTHING)), "")
    assert {family.name for family in parsed(body.decode())} == {
        metric.name.removesuffix("_total") for metric in METRICS
    }
    with pytest.raises(NoSuchMetric, match="trimtab_surprise"):
        families({"trimtab_surprise": []})


def test_a_sample_has_the_labels_that_the_table_says() -> None:
    with pytest.raises(ValueError, match="shorter"):
        families({"trimtab_rows_total": [(("etl/orders",), 1)]})


def test_the_two_texts_of_an_exposition_hold_the_same_samples() -> None:
    told = families(found_in(EVERYTHING))
    plain, plain_type = text_of(told, "text/plain")
    opened, open_type = text_of(told, "application/openmetrics-text; version=1.0.0")
    assert plain_type.startswith("text/plain")
    assert open_type.startswith("application/openmetrics-text")

    def held(found: object) -> set[tuple[str, tuple[tuple[str, str], ...], float]]:
        return {(s.name, tuple(sorted(s.labels.items())), s.value)
                for family in found for s in family.samples}  # type: ignore[attr-defined] # fmt: skip

    assert held(parsed(plain.decode())) == held(open_parsed(opened.decode()))


def test_names_and_units_follow_the_customs_of_prometheus() -> None:
    for metric in METRICS:
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric.name
        assert metric.text.endswith(".")
        assert not {"run", "attempt", "worker", "id"} & set(metric.labels)
    assert len({metric.name for metric in METRICS}) == len(METRICS)
