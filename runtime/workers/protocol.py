"""What the server and a worker say to each other: tasks down, reports up, as msgpack.

A worker never touches the journal. It gets one `Task`, runs the tool, writes large
results to the object store and answers with one `Report`. Frames are a 4-byte
little-endian length and then the struct.
"""

from __future__ import annotations

from typing import Any

import msgspec


class Items(msgspec.Struct, frozen=True):
    """The items of a batch: ``[start, start + count)`` of ``source``.

    ``source`` is a JSON list of just these items (then ``sliced`` is true), or a
    reference (`runtime.data.reference`) to the whole, which the worker maps and slices.
    """

    source: Any
    start: int
    count: int
    sliced: bool


class Publish(msgspec.Struct, frozen=True):
    """The step's result is to become this product, if it passes the contract.

    ``folder`` is the product's own folder; ``contract`` a file's name in the bundle.
    """

    product: str
    format: str
    contract: str | None
    number: int
    folder: str


class Task(msgspec.Struct, frozen=True):
    """One attempt to run. Paths are absolute; ``tool`` and ``args`` are already rendered."""

    slot: int
    attempt: str
    run: str
    playbook: str
    version: str
    step: str
    number: int
    key: str
    tool: dict[str, Any]
    args: dict[str, Any]
    workload: dict[str, Any]
    bundle: str
    run_folder: str
    objects: str
    system: bool = False
    items: Items | None = None
    timeout_s: float | None = None
    memory_bytes: int | None = None
    output_bytes: int = 1 << 30
    publish: Publish | None = None
    secrets: tuple[str, ...] = ()
    source_name: str = ""
    source_line: int = 0
    services: dict[str, Any] = {}


class Report(msgspec.Struct, frozen=True):
    """How it went. ``fault`` has the fields of `runtime.run.events.Fault`.

    ``result`` is JSON or a reference. ``published`` has the fields of
    ``ProductPublished`` less step; ``checks`` those of a failed contract.
    """

    slot: int
    attempt: str
    outcome: str
    run_s: float = 0.0
    cpu_s: float = 0.0
    rss_peak: int = 0
    rows_in: int = 0
    rows_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    result: Any = None
    fault: dict[str, Any] | None = None
    stdout: str = ""
    spend_usd: float = 0.0
    environment: str = ""
    published: dict[str, Any] | None = None
    checks: list[Any] | None = None
