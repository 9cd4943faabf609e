"""Remote write: samples as Prometheus' protocol carries them, a snappy-framed protobuf.

The message is declared here as the protocol's document has it (version 1.0), and written
by the protobuf library; the compression is Arrow's. Names and labels are sorted, as a
receiver may ask.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from prometheus_client import Metric as Family

HEADERS: Final = {
    "content-type": "application/x-protobuf",
    "content-encoding": "snappy",
    "x-prometheus-remote-write-version": "0.1.0",
}
_MESSAGES: Final = {
    "Label": (("name", 1, "string"), ("value", 2, "string")),
    "Sample": (("value", 1, "double"), ("timestamp", 2, "int64")),
    "TimeSeries": (("labels", 1, "Label"), ("samples", 2, "Sample")),
    "WriteRequest": (("timeseries", 1, "TimeSeries"),),
}


def body_of(told: Iterable[Family], at: float, labels: Mapping[str, str]) -> tuple[bytes, int]:
    """Return the body of one request, and how many samples it carries.

    ``labels`` are added to every sample and say where it comes from.
    """
    import pyarrow as pa

    request, count, at_ms = _request(), 0, int(at * 1000)
    for family in told:
        for sample in family.samples:
            series = request.timeseries.add()
            named = {**labels, **sample.labels, "__name__": sample.name}
            for name in sorted(named):
                series.labels.add(name=name, value=named[name])
            series.samples.add(value=sample.value, timestamp=at_ms)
            count += 1
    body: bytes = pa.compress(request.SerializeToString(), codec="snappy", asbytes=True)
    return body, count


def _request() -> Any:
    return _classes()["prometheus.WriteRequest"]()


@cache
def _classes() -> Mapping[str, Any]:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    field = descriptor_pb2.FieldDescriptorProto
    scalars = {"string": field.TYPE_STRING, "double": field.TYPE_DOUBLE, "int64": field.TYPE_INT64}
    file = descriptor_pb2.FileDescriptorProto(
        name="prometheus/remote.proto", package="prometheus", syntax="proto3"
    )
    for name, parts in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for part, number, kind in parts:
            if kind in scalars:
                message.field.add(
                    name=part, number=number, type=scalars[kind], label=field.LABEL_OPTIONAL
                )
            else:
                message.field.add(
                    name=part, number=number, type=field.TYPE_MESSAGE,
                    type_name=f".prometheus.{kind}", label=field.LABEL_REPEATED,
                )  # fmt: skip
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        f"prometheus.{name}": message_factory.GetMessageClass(
            pool.FindMessageTypeByName(f"prometheus.{name}")
        )
        for name in _MESSAGES
    }
