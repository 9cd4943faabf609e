"""Processes: what Linux says of the server and the recorder, read by Prometheus' library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from runtime.telemetry.families import Sample

_OF_SERVER: Final = {
    "process_cpu_seconds_total": "process_cpu_seconds_total",
    "process_resident_memory_bytes": "process_resident_memory_bytes",
    "process_open_fds": "process_open_fds",
    "process_start_time_seconds": "process_start_time_seconds",
}
_OF_RECORDER: Final = {
    "process_cpu_seconds_total": "trimtab_record_cpu_seconds_total",
    "process_resident_memory_bytes": "trimtab_record_resident_memory_bytes",
}


def looked_at(recorder: int | None) -> dict[str, list[Sample]]:
    """Return what is known of this process and of the recorder's; nothing off Linux."""
    found = _read("self", _OF_SERVER)
    return found | _read(recorder, _OF_RECORDER) if recorder is not None else found


def _read(pid: int | str, names: dict[str, str]) -> dict[str, list[Sample]]:
    from prometheus_client import ProcessCollector

    read = ProcessCollector(pid=lambda: pid, registry=None)
    return {
        names[sample.name]: [((), sample.value)]
        for family in read.collect()
        for sample in family.samples
        if sample.name in names
    }
