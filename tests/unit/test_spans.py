"""A run's trace: what is a span of it, what it is a child of, and what it is linked to."""

from __future__ import annotations

import gzip
import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from runtime.run.events import (
    AttemptFinished,
    AttemptScheduled,
    Event,
    Fault,
    Recorded,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunSubmitted,
    StepRouted,
)
from runtime.telemetry.otlp import body_of
from runtime.telemetry.spans import Link, Span, span_id, spans_of, trace_id

RUN = "0000000005dc000000000000000000ff"
SECRET = "the customer's name"
BROKEN = Fault("transient", SECRET, fingerprint="f")


def story(*events: Event) -> list[Recorded]:
    return [Recorded(1, at, f"run/{RUN}", at, float(at), e) for at, e in enumerate(events, 1)]


def submitted(**more: Any) -> RunSubmitted:
    return RunSubmitted("etl/orders", "hash", 3, {"who": SECRET}, "me", **more)


def tried(step: str, number: int = 1, batch: int = -1) -> AttemptScheduled:
    name = f"{RUN}/{step}/{batch}/{number}"
    return AttemptScheduled(name, step, number, "conf", "key", batch, args={"secret": SECRET})


def ended(
    step: str, *arcs: str, number: int = 1, batch: int = -1, outcome: str = "succeeded",
    last: bool = True, **more: Any,
) -> AttemptFinished:  # fmt: skip
    return AttemptFinished(
        f"{RUN}/{step}/{batch}/{number}",
        step,
        number,
        outcome,
        1,
        batch,
        result=SECRET,
        stdout=SECRET,
        arcs=list(arcs) if last else None,
        **more,
    )


DIAMOND = story(
    submitted(), tried("start"), ended("start", "left", "right"), tried("left"), tried("right"),
    ended("right", "meet"),
    ended("left", outcome="failed", last=False, fault=BROKEN, retry_at=9.0),
    tried("left", 2), ended("left", "meet", number=2), tried("meet"), ended("meet"),
    RunCompleted(),
)  # fmt: skip


def named(spans: list[Span]) -> dict[str, list[Span]]:
    found: dict[str, list[Span]] = {}
    for span in spans:
        found.setdefault(span.name, []).append(span)
    return found


def test_a_run_is_the_root_a_step_its_child_and_an_attempt_its_grandchild() -> None:
    spans = named(spans_of(RUN, DIAMOND))
    (root,), (left,) = spans["etl/orders"], spans["left"]
    assert (root.trace, root.parent, root.start, root.end) == (RUN, "", 1.0, 12.0)
    assert (left.parent, left.start, left.end) == (root.span, 4.0, 9.0)
    first, second = spans["left attempt"]
    assert {first.parent, second.parent} == {left.span}
    assert (first.start, first.end, second.start, second.end) == (4.0, 7.0, 8.0, 9.0)
    assert root.attributes["trimtab.run.status"] == "completed"
    assert left.attributes["trimtab.step.attempts"] == 2


def test_a_step_at_which_two_ways_met_links_to_both_and_no_other_does() -> None:
    spans = named(spans_of(RUN, DIAMOND))
    (meet,) = spans["meet"]
    came = {spans["left"][0].span, spans["right"][0].span}
    assert {(link.trace, link.span, link.relation) for link in meet.links} == {
        (RUN, span, "join") for span in came
    }
    assert not any(s.links for name, found in spans.items() if name != "meet" for s in found)


def test_an_error_is_the_status_of_what_failed_and_not_of_what_was_tried_again() -> None:
    spans = named(spans_of(RUN, DIAMOND))
    assert [s.error for s in spans["left attempt"]] == ["transient", ""]
    assert (spans["left"][0].error, spans["etl/orders"][0].error) == ("", "")
    failed = named(spans_of(RUN, story(
        submitted(), tried("load"),
        ended("load", outcome="failed", last=False, fault=BROKEN, fatal=True),
        RunFailed("load", BROKEN),
    )))  # fmt: skip
    assert [failed[name][0].error for name in ("load attempt", "load", "etl/orders")] == (
        ["transient"] * 3
    )
    assert failed["load"][0].attributes["error.type"] == "transient"


def test_what_still_ran_when_a_run_was_cancelled_ends_with_it() -> None:
    spans = named(spans_of(RUN, story(submitted(), tried("load"), RunCancelled())))
    assert (spans["load"][0].end, spans["load"][0].error) == (3.0, "cancelled")
    assert spans["etl/orders"][0].error == "", "somebody wanted it to end"


def test_a_step_without_an_attempt_is_a_span_and_each_round_of_a_loop_is_one() -> None:
    spans = named(spans_of(RUN, story(
        submitted(), StepRouted("decide", ["load"]), tried("load"), ended("load"), RunCompleted(),
    )))  # fmt: skip
    assert len(spans["decide"]) == 1
    again = named(spans_of(RUN, story(
        submitted(), tried("poll"), ended("poll", "poll"),
        AttemptScheduled(f"{RUN}/poll~1/-1/1", "poll", 1, "c", "k"),
        AttemptFinished(f"{RUN}/poll~1/-1/1", "poll", 1, "succeeded", 4, arcs=[]), RunCompleted(),
    )))  # fmt: skip
    first, second = again["poll"]
    assert first.span != second.span
    assert [s.attributes["trimtab.step.round"] for s in again["poll"]] == [0, 1]
    assert [s.parent for s in again["poll attempt"]] == [first.span, second.span]


def test_batches_of_an_each_are_attempts_of_one_step() -> None:
    spans = named(spans_of(RUN, story(
        submitted(), tried("load", batch=0), tried("load", batch=1),
        ended("load", batch=1, last=False), ended("load", batch=0), RunCompleted(),
    )))  # fmt: skip
    (load,) = spans["load"]
    assert {s.parent for s in spans["load attempt"]} == {load.span}
    assert sorted(s.attributes["trimtab.batch"] for s in spans["load attempt"]) == [0, 1]


def test_a_child_run_links_to_the_attempt_that_started_it_and_a_fork_to_its_run() -> None:
    parent = "00000000000000000000000000000abc"
    child = spans_of(RUN, story(submitted(parent=f"{parent}/call/-1/1"), RunCompleted()))
    assert child[-1].links == (Link(parent, span_id(f"{parent}/call/-1/1"), "parent"),)
    fork = spans_of(RUN, story(submitted(forked={"run": parent, "seq": 4}), RunCompleted()))
    assert fork[-1].links == (Link(parent, span_id(parent), "forked"),)


def test_a_run_that_has_not_ended_has_no_trace_yet() -> None:
    assert spans_of(RUN, DIAMOND[:-1]) == []


def test_told_twice_it_is_the_same_trace() -> None:
    assert spans_of(RUN, DIAMOND) == spans_of(RUN, DIAMOND)
    spans = spans_of(RUN, DIAMOND)
    assert len({s.span for s in spans}) == len(spans)
    assert {s.trace for s in spans} == {RUN}
    assert len(trace_id("any other name")) == 32


def test_no_value_message_or_name_of_a_person_leaves() -> None:
    assert SECRET not in repr(spans_of(RUN, DIAMOND))
    assert "'me'" not in repr(spans_of(RUN, DIAMOND))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 20))
def test_so_many_attempts_of_each_kind_are_told_and_the_rest_is_counted(
    good: int, bad: int, most: int
) -> None:
    events: list[Event] = [submitted()]
    for i in range(good + bad):
        outcome = "succeeded" if i < good else "failed"
        events += [tried("load", batch=i), ended("load", batch=i, outcome=outcome, last=False)]
    spans = spans_of(RUN, story(*events, RunCompleted()), most)
    told = [s.attributes["trimtab.attempt.outcome"] for s in spans if "attempt" in s.name]
    assert told.count("succeeded") == min(good, most)
    assert told.count("failed") == min(bad, most)
    left = good + bad - len(told)
    assert spans[-1].attributes.get("trimtab.attempts.left_out", 0) == left


def test_json_and_protobuf_are_the_same_message() -> None:
    spans = spans_of(RUN, DIAMOND)
    resource = {"service.name": "trimtab", "service.version": "1"}
    message = ExportTraceServiceRequest()
    message.ParseFromString(gzip.decompress(body_of(spans, resource, "protobuf")))
    (told,) = message.resource_spans
    written = json.loads(gzip.decompress(body_of(spans, resource, "json")))
    in_json = written["resourceSpans"][0]["scopeSpans"][0]["spans"]
    for a, b, span in zip(told.scope_spans[0].spans, in_json, spans, strict=True):
        assert (a.trace_id.hex(), a.span_id.hex()) == (b["traceId"], b["spanId"])
        assert a.parent_span_id.hex() == b.get("parentSpanId", "") == span.parent
        assert str(a.start_time_unix_nano) == b["startTimeUnixNano"]
        assert a.start_time_unix_nano == int(span.start * 1e9)
        assert (a.status.code, bool(a.status.message)) == ((2, True) if span.error else (0, False))
        assert [x.span_id.hex() for x in a.links] == [x["spanId"] for x in b.get("links", [])]
        assert {x.key for x in a.attributes} == set(span.attributes)
    assert told.resource.attributes[0].value.string_value == "trimtab"
