"""OTLP: spans as OpenTelemetry's protocol carries them over HTTP, as JSON or protobuf.

JSON needs no library; protobuf is written by ``opentelemetry-proto`` (the extra ``otel``)
from the very same message. An error is the span's status, and its class ``error.type``.
"""

from __future__ import annotations

import gzip
import json
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

from runtime.telemetry.spans import Link, Scalar, Span

Form: TypeAlias = Literal["json", "protobuf"]
HEADERS: Final[Mapping[Form, dict[str, str]]] = {
    "json": {"content-type": "application/json", "content-encoding": "gzip"},
    "protobuf": {"content-type": "application/x-protobuf", "content-encoding": "gzip"},
}
_INTERNAL: Final = 1
_ERROR: Final = 2


class NoOtel(Exception):
    """Traces are to be sent as protobuf, and the library for it is not installed."""


def body_of(spans: Sequence[Span], resource: Mapping[str, Scalar], form: Form) -> bytes:
    """Return the body of one request that carries these spans."""
    if form == "protobuf":
        return gzip.compress(_protobuf(_message(spans, resource, _base64)), 1)
    return gzip.compress(json.dumps(_message(spans, resource, str)).encode(), 1)


def need(form: Form) -> None:
    """See that spans can be sent in this form.

    Raises:
        NoOtel: ``opentelemetry-proto`` is not installed.
    """
    if form == "protobuf":
        _protobuf({})


def _protobuf(message: dict[str, Any]) -> bytes:
    try:
        from google.protobuf.json_format import ParseDict
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
            ExportTraceServiceRequest,
        )
    except ImportError:
        raise NoOtel(
            "traces.form protobuf needs opentelemetry-proto: pip install 'trimtab[otel]', "
            "or set traces.form to json"
        ) from None
    written: bytes = ParseDict(message, ExportTraceServiceRequest()).SerializeToString()
    return written


def _base64(hexadecimal: str) -> str:
    """An id as protobuf's JSON has bytes; OTLP's own JSON has it in hexadecimal."""
    return b64encode(bytes.fromhex(hexadecimal)).decode()


def _message(
    spans: Sequence[Span], resource: Mapping[str, Scalar], ident: Callable[[str], str]
) -> dict[str, Any]:
    scope = {"name": "trimtab", "version": str(resource.get("service.version", ""))}
    told = [_span(span, ident) for span in spans]
    return {
        "resourceSpans": [{
            "resource": {"attributes": _attributes(resource)},
            "scopeSpans": [{"scope": scope, "spans": told}],
        }]
    }  # fmt: skip


def _span(span: Span, ident: Callable[[str], str]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "traceId": ident(span.trace), "spanId": ident(span.span), "name": span.name,
        "kind": _INTERNAL, "startTimeUnixNano": _nanoseconds(span.start),
        "endTimeUnixNano": _nanoseconds(span.end), "attributes": _attributes(span.attributes),
    }  # fmt: skip
    if span.parent:
        told["parentSpanId"] = ident(span.parent)
    if span.links:
        told["links"] = [_link(link, ident) for link in span.links]
    if span.error:
        told["status"] = {"code": _ERROR, "message": span.error}
    return told


def _link(link: Link, ident: Callable[[str], str]) -> dict[str, Any]:
    return {
        "traceId": ident(link.trace), "spanId": ident(link.span),
        "attributes": _attributes({"trimtab.relation": link.relation}),
    }  # fmt: skip


def _nanoseconds(at: float) -> str:
    return str(round(at * 1e6) * 1000)  # a float of seconds knows no more than microseconds


def _attributes(told: Mapping[str, Scalar]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in told.items()]


def _value(value: Scalar) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    return {"doubleValue": value} if isinstance(value, float) else {"stringValue": value}
