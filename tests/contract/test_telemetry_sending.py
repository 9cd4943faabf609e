"""Sending for real: what is tried again, what is given up, what the receiver of traces gets."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from listening import listening
from patience import until
from runtime.data.folder import DataFolder
from runtime.engine.engine import Submit
from runtime.engine.local import open_local
from runtime.playbook.bundle import load_text
from runtime.telemetry.hearing import Hearing
from runtime.telemetry.otlp import Form
from runtime.telemetry.outbox import Outbox
from runtime.telemetry.spans import span_id
from runtime.telemetry.traces import Traces, Where

PLAYBOOK = """
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: tests/diamond}
workflow:
  - step: start
    tool: {kind: python, code: "result = 1"}
    next: [left, right]
  - step: left
    tool: {kind: python, code: "result = 2"}
    next: meet
  - step: right
    tool: {kind: python, code: "result = 3"}
    next: meet
  - step: meet
    join: all
    tool: {kind: python, code: "raise ValueError('a secret')"}
"""


@dataclass
class Receiver:
    """An HTTP server that answers with the next of some statuses, the last of them for ever."""

    statuses: list[int] = field(default_factory=lambda: [200])
    retry_after: str = ""
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["content-length"]))
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if status == 200:
            self.headers.append({name.lower(): value for name, value in request.headers.items()})
            self.bodies.append(body)
        request.send_response(status)
        if self.retry_after:
            request.send_header("retry-after", self.retry_after)
        request.send_header("content-length", "0")
        request.end_headers()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    told = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            told.answer(self)

        def log_message(self, *_: Any) -> None:
            pass

    with listening(Handler) as url:
        told.url = f"{url}/in"
        yield told


def outbox(receiver: Receiver, holds: int = 10, **more: Any) -> Outbox:
    return Outbox(receiver.url, {"x-kind": "test"}, holds=holds, first_pause_s=0.01, **more)


def test_bodies_arrive_in_order_with_their_headers_and_token(receiver: Receiver) -> None:
    box = outbox(receiver, token="s3cret")
    for i in range(5):
        box.put(b"%d" % i, 10)
    until(lambda: box.counts.sent == 50)
    assert receiver.bodies == [b"0", b"1", b"2", b"3", b"4"]
    assert receiver.headers[0]["authorization"] == "Bearer s3cret"
    assert receiver.headers[0]["x-kind"] == "test"
    box.close(1.0)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_receiver_that_is_busy_is_asked_again(receiver: Receiver, status: int) -> None:
    receiver.statuses = [status, status, 200]
    box = outbox(receiver)
    box.put(b"once", 7)
    until(lambda: box.counts.sent == 7)
    assert (receiver.bodies, box.counts.failures, box.counts.dropped) == ([b"once"], 2, 0)
    box.close(1.0)


def test_a_pause_that_is_asked_for_is_kept(receiver: Receiver) -> None:
    receiver.statuses, receiver.retry_after = [503, 200], "0.2"
    box = outbox(receiver)
    began = time.monotonic()
    box.put(b"once", 1)
    until(lambda: box.counts.sent == 1)
    assert time.monotonic() - began >= 0.2
    box.close(1.0)


@pytest.mark.parametrize("status", [400, 401, 404])
def test_what_is_refused_is_given_up_and_the_next_is_sent(receiver: Receiver, status: int) -> None:
    receiver.statuses = [status, 200]
    box = outbox(receiver)
    box.put(b"bad", 3)
    box.put(b"good", 4)
    until(lambda: box.counts.sent == 4)
    assert (receiver.bodies, box.counts.dropped) == ([b"good"], 3)
    box.close(1.0)


def test_while_the_receiver_is_away_the_oldest_are_given_up_and_counted(
    receiver: Receiver,
) -> None:
    receiver.statuses = [503]
    box = outbox(receiver, holds=3)
    for i in range(10):
        box.put(b"%d" % i, 1)
    assert (box.waiting, box.counts.dropped) == (3, 7)
    receiver.statuses = [200]
    until(lambda: box.counts.sent + box.counts.dropped == 10 and not box.waiting)
    assert receiver.bodies[-3:] == [b"7", b"8", b"9"]
    box.close(1.0)


def test_an_end_with_nobody_there_takes_no_longer_than_its_grace() -> None:
    box = Outbox("http://127.0.0.1:9/in", {}, holds=5, first_pause_s=0.01)
    box.put(b"lost", 6)
    box.put(b"too", 1)
    box.close(0.3)
    assert (box.counts.sent, box.counts.dropped, box.waiting) == (0, 7, 0)
    assert box.counts.failures >= 1


def test_an_end_sends_what_waits(receiver: Receiver) -> None:
    box = outbox(receiver)
    for i in range(5):
        box.put(b"%d" % i, 1)
    box.close(30.0)
    assert len(receiver.bodies) == 5


def parsed(body: bytes, form: Form) -> ExportTraceServiceRequest:
    """What a receiver reads, by OpenTelemetry's own messages."""
    text = gzip.decompress(body)
    if form == "protobuf":
        message = ExportTraceServiceRequest()
        message.ParseFromString(text)
        return message
    import json
    from base64 import b64encode

    def turned(value: Any) -> Any:
        """OTLP's JSON has ids in hexadecimal, where protobuf's has base64."""
        if isinstance(value, list):
            return [turned(one) for one in value]
        if isinstance(value, dict):
            return {
                key: b64encode(bytes.fromhex(one)).decode()
                if key in ("traceId", "spanId", "parentSpanId") else turned(one)
                for key, one in value.items()
            }  # fmt: skip
        return value

    return ParseDict(turned(json.loads(text)), ExportTraceServiceRequest())


@pytest.mark.parametrize("form", ["json", "protobuf"])
def test_a_run_that_ended_arrives_as_a_trace_and_again_as_the_same(
    receiver: Receiver, form: Form, tmp_path: Path
) -> None:
    folder = DataFolder(tmp_path / "data")
    where, kept = Where(receiver.url, form=form), tmp_path / "traces.json"

    async def ran() -> str:
        async with open_local(folder, 2) as engine:
            traces = Traces(where, folder.journal, kept, {"service.name": "trimtab"})
            hearing = Hearing(traces.take)
            engine.subscribe(hearing.heard)
            await engine.register(load_text(PLAYBOOK, {}), "me")
            run = await engine.submit(Submit("tests/diamond", {}, "me"))
            await engine.wait(run)
            hearing.close()
            await asyncio.to_thread(traces.close, 30.0)
            again = Traces(where, folder.journal, kept, {"service.name": "trimtab"})
            # The last run that was sent is sent again: another may have ended with it.
            await asyncio.to_thread(again.close, 30.0)
            return run

    run = asyncio.run(ran())
    first, second = (parsed(body, form) for body in receiver.bodies)
    assert first == second
    spans = {s.name: s for s in first.resource_spans[0].scope_spans[0].spans}
    root, meet = spans["tests/diamond"], spans["meet"]
    assert root.trace_id.hex() == run
    assert (root.span_id.hex(), root.parent_span_id) == (span_id(run), b"")
    assert {spans[name].parent_span_id for name in ("start", "left", "right", "meet")} == {
        root.span_id
    }
    assert spans["left attempt"].parent_span_id == spans["left"].span_id
    assert {link.span_id for link in meet.links} == {
        spans["left"].span_id, spans["right"].span_id,
    }  # fmt: skip
    assert (root.status.code, meet.status.code, spans["left"].status.code) == (2, 2, 0)
    assert b"a secret" not in gzip.decompress(receiver.bodies[0])


def test_past_the_bound_the_oldest_runs_are_not_traced(tmp_path: Path) -> None:
    from runtime.run.events import Fault, Recorded, RunFailed

    traces = Traces(
        Where("http://127.0.0.1:9/", runs=3), tmp_path / "none.db", tmp_path / "kept", {}
    )
    traces.close(5.0)  # the thread has ended: nothing takes what waits
    ends = [Recorded(1, i, f"run/{i}", 1, 0.0, RunFailed("s", Fault("x", ""))) for i in range(10)]
    traces.take(ends)
    assert traces.dropped == 7


def test_what_one_server_had_not_sent_the_next_one_sends(
    receiver: Receiver, tmp_path: Path
) -> None:
    folder, kept = DataFolder(tmp_path / "data"), tmp_path / "traces.json"

    def opened() -> Traces:
        return Traces(Where(receiver.url), folder.journal, kept, {})

    async def ran() -> list[str]:
        async with open_local(folder, 2) as engine:
            await engine.register(load_text(PLAYBOOK, {}), "me")
            runs = []

            async def run(traces: Traces) -> None:
                runs.append(await engine.submit(Submit("tests/diamond", {}, "me")))
                await engine.wait(runs[-1])
                traces.take(list(engine.journal.read(f"run/{runs[-1]}")))

            first = opened()
            await run(first)
            await asyncio.to_thread(first.close, 30.0)
            receiver.statuses = [503]
            second = opened()
            await run(second)
            await asyncio.to_thread(second.close, 0.2)
            receiver.statuses = [200]
            third = opened()
            await asyncio.to_thread(until, lambda: told(receiver) == runs)
            await asyncio.to_thread(third.close, 30.0)
            return runs

    runs = asyncio.run(ran())
    assert told(receiver) == runs


def told(receiver: Receiver) -> list[str]:
    """The runs that were received, each once, in order."""
    traces = [parsed(body, "json") for body in list(receiver.bodies)]
    found = [t.resource_spans[0].scope_spans[0].spans[0].trace_id.hex() for t in traces]
    return list(dict.fromkeys(found))
