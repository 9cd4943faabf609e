"""A task: one attempt to run, as the engine gives it to a worker and the worker to a tool."""

from __future__ import annotations

from typing import Any

import msgspec

from runtime.data.product import Publish


class Items(msgspec.Struct, frozen=True):
    """The items of a batch: ``[start, start + count)`` of ``source``.

    ``source`` is a JSON list of just these items (then ``sliced`` is true), or a
    reference (`runtime.data.reference`) to the whole, which the worker maps and slices.
    """

    source: Any
    start: int
    count: int
    sliced: bool


class Task(msgspec.Struct, frozen=True, omit_defaults=True):
    """One attempt to run. Paths are absolute; ``tool`` and ``args`` are already rendered.

    Its limits: ``timeout_s`` in all, ``heartbeat_s`` between two signs of life,
    ``memory_bytes`` and ``processes`` of the worker and what it starts, ``output_bytes``
    of the result.
    """

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
    processes: int = 256
    heartbeat_s: float | None = None
    publish: Publish | None = None
    secrets: tuple[str, ...] = ()
    source_name: str = ""
    source_line: int = 0
    services: dict[str, Any] = {}
