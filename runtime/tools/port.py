"""A tool: what a step calls. It gets a `Call` and returns an `Outcome`.

A tool reads its own block of the playbook (`Call.tool`), asks the call for its inputs,
and raises when it fails; the class of the error decides what happens next. It never
measures, stores or reports: the worker does that around it. A tool is found by the entry
point group ``trimtab.tools``, made once in a worker and called for many attempts.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import msgspec

from runtime.data import reference
from runtime.data.objects import Objects
from runtime.data.reference import Reference
from runtime.errors import Permanent
from runtime.tools.faults import Origin
from runtime.tools.task import Task

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Batch:
    """Which batch of its step this is: items ``[start, start + count)``."""

    index: int
    start: int
    count: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a tool made: any value that is JSON, a table, or holds tables."""

    value: Any = None


class Blob:
    """Bytes of a media type, for a result: they travel by reference and are opened as bytes."""

    __slots__ = ("data", "media")

    def __init__(self, data: bytes, media: str) -> None:
        self.data, self.media = data, media


class Tool(Protocol):
    """One kind of tool. One that does not ship with us also has a ``declaration``."""

    kind: ClassVar[str]

    def run(self, call: Call) -> Outcome:
        """Do it. Raises what `runtime.tools.faults` can give a class."""
        ...


class Log:
    """What a tool says while it works: lines of its captured output, and what it spent."""

    def __init__(self) -> None:
        self.spend_usd = 0.0
        self.tokens = self.calls = 0

    def __call__(self, message: object, **fields: Any) -> None:
        self._say("", message, fields)

    def info(self, message: object, **fields: Any) -> None:
        self._say("info: ", message, fields)

    def warning(self, message: object, **fields: Any) -> None:
        self._say("warning: ", message, fields)

    def error(self, message: object, **fields: Any) -> None:
        self._say("error: ", message, fields)

    def spend(self, usd: float = 0.0, *, tokens: int = 0, calls: int = 0) -> None:
        """Add to what this attempt cost beside the worker's time."""
        self.spend_usd += usd
        self.tokens += tokens
        self.calls += calls

    def _say(self, level: str, message: object, fields: dict[str, Any]) -> None:
        tail = "".join(f" {name}={value!r}" for name, value in fields.items())
        sys.stdout.write(f"{level}{message}{tail}\n")


class Call:
    """One attempt, as its tool sees it. Inputs are opened when asked for, and counted."""

    def __init__(self, task: Task, objects: Objects) -> None:
        self.task = task
        self.objects = objects
        self.tool = task.tool
        self.log = Log()
        self.rows_in = task.items.count if task.items else 0
        self.bytes_in = 0
        self.inline_offset: int | None = None
        """Lines before the first of inline code in the playbook, once that is known."""
        self._args: dict[str, Any] | None = None
        self._opened: set[str] = set()

    @property
    def args(self) -> dict[str, Any]:
        """The step's ``with``, its references opened."""
        if self._args is None:
            self._args = {name: self.open(value) for name, value in self.task.args.items()}
        return self._args

    @property
    def origin(self) -> Origin:
        """Where the code of this call comes from, for messages."""
        task = self.task
        return Origin(
            task.bundle, task.source_name, task.source_line, task.step, self.inline_offset
        )

    @property
    def batch(self) -> Batch | None:
        """Which batch this is, or None when the step is not an ``each``."""
        items = self.task.items
        if items is None:
            return None
        return Batch(int(self.task.attempt.rsplit("/", 2)[-2]), items.start, items.count)

    @property
    def run_folder(self) -> Path:
        """The run's scratch folder; made when first asked for."""
        os.makedirs(self.task.run_folder, exist_ok=True)
        return Path(self.task.run_folder)

    @property
    def inputs(self) -> list[str]:
        """The objects that were opened, by name: lineage."""
        return sorted(self._opened)

    def text(self, key: str, default: str | None = None) -> str:
        """A key of the tool block that must be a text."""
        value = self.tool.get(key, default)
        if not isinstance(value, str):
            found = "it is missing" if value is None else f"it is {value!r}"
            raise Permanent(f"tool {self.tool.get('kind')}: `{key}` must be a text; {found}")
        return value

    def open(self, value: Any) -> Any:
        """A value with its references opened; what is opened is counted as read."""
        for ref in reference.references(value):
            self._count(ref)
        return self.objects.open(value)

    def items(self) -> list[Any]:
        """The items of this batch; a table's rows as dicts. The list is the tool's own."""
        items = self._batch()
        if items.sliced:
            return list(self.open(items.source))
        if reference.is_table(items.source):
            rows: list[Any] = self._slice().to_pylist()
            return rows
        self._opened.add(items.source["$ref"])
        found = self.objects.json_slice(items.source, items.start, items.count)
        return list(self.open(found))

    def table(self) -> pa.Table:
        """The batch as an Arrow table: mapped, when its source is one."""
        items = self._batch()
        if not items.sliced and reference.is_table(items.source):
            return self._slice()
        return table_of(self.items())

    def _slice(self) -> pa.Table:
        items = self._batch()
        part = self.objects.table_slice(items.source, items.start, items.count)
        self._opened.add(items.source["$ref"])
        self.bytes_in += part.nbytes
        return part

    def _batch(self) -> Any:
        if self.task.items is None:
            raise Permanent(f"step {self.task.step} has no items: it is not an `each` step")
        return self.task.items

    def _count(self, ref: Reference) -> None:
        self._opened.add(ref["$ref"])
        self.bytes_in += ref["bytes"]
        if self.task.items is None:
            self.rows_in += ref.get("rows") or 0


def table_of(value: Any) -> pa.Table:
    """A value as an Arrow table: a table, a data frame, a list of rows or of tables.

    Raises:
        Permanent: it is nothing of the kind.
    """
    import pyarrow as pa

    if isinstance(value, pa.Table):
        return value
    if isinstance(value, pa.RecordBatch):
        return pa.Table.from_batches([value])
    if type(value).__module__.startswith("pandas."):
        return pa.Table.from_pandas(value, preserve_index=False)
    if isinstance(value, list):
        return _from_list(value)
    raise Permanent(f"expected a table or a list of rows, not {type(value).__name__}")


def _from_list(rows: list[Any]) -> pa.Table:
    import pyarrow as pa

    if rows and all(isinstance(row, (pa.Table, pa.RecordBatch)) for row in rows):
        return pa.concat_tables([table_of(row) for row in rows])
    if all(isinstance(row, dict) for row in rows):
        names = dict.fromkeys(name for row in rows for name in row)
        return pa.table({name: [row.get(name) for row in rows] for name in names})
    return pa.table({"item": rows})


def encode_json(value: Any) -> str:
    """A value as JSON text, for a tool that has to hand it to something else."""
    return msgspec.json.encode(value).decode()
