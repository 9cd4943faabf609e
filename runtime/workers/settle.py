"""What a tool returned, made fit to travel: small JSON as itself, the rest by reference.

Tables are kept as Arrow files wherever they stand in the value; what JSON has no word
for becomes the nearest thing (a date its text, a set a list). Counting happens here too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from runtime.data import reference
from runtime.data.objects import Objects
from runtime.errors import Permanent, ResourceExhausted
from runtime.tools.port import Blob
from runtime.workers.room import at_once
from runtime.workers.secrets import NOTHING, Mask

_WORDS: Final = frozenset({bool, int, str})
"""Kinds of values that JSON gives back as they are."""


@dataclasses.dataclass(frozen=True, slots=True)
class Settled:
    """A result as it is reported."""

    result: Any
    rows: int
    bytes: int


Keep = Callable[[Callable[[], Any]], Any]
"""Does what writes to the disk, and may wait for room there."""


def settle(
    value: Any, objects: Objects, limit: int, mask: Mask = NOTHING, keep: Keep = at_once
) -> Settled:
    """Return the value as JSON or a reference, with its size and without secrets.

    What it refers to was perhaps written long ago, and is pinned.

    Raises:
        DataError: it refers to an object that is no longer there.
        Permanent: it holds something that is neither JSON nor a table, or a table a secret.
        ResourceExhausted: it is larger than ``limit`` bytes.
    """
    if value is None:
        return Settled(None, 0, 0)
    _refuse_long(value, limit)
    tables = _NO_TABLES if type(value) in _WORDS else _Tables(objects, limit, mask, keep)
    data = _encode(value, tables)
    if b'"$ref"' in data:
        objects.pin(msgspec.json.decode(data))
    result = mask.json(value if type(value) in _WORDS else msgspec.json.decode(data))
    size = len(data) + tables.bytes
    if size > limit:
        raise ResourceExhausted(f"the result has {size} bytes; this step may return {limit}")
    rows = tables.rows or (len(result) if isinstance(result, list) else 1)
    if reference.is_reference(result):
        return Settled(result, result.get("rows") or 0, result["bytes"])
    if len(data) > reference.INLINE_LIMIT:
        large = result
        result = keep(lambda: objects.put_json(large))
    return Settled(result, rows, size)


def _refuse_long(value: Any, limit: int) -> None:
    """Refuse a long text before it is copied: as JSON it is no shorter."""
    parts = value.values() if isinstance(value, dict) else [value]
    for part in parts:
        if isinstance(part, (str, bytes, bytearray)) and len(part) > limit:
            raise ResourceExhausted(
                f"the result has more than {len(part)} bytes; this step may return {limit}"
            )


class _Tables:
    """Puts each table met on the way into the store, and adds them up."""

    def __init__(self, objects: Objects, limit: int, mask: Mask, keep: Keep) -> None:
        self._objects, self._limit, self._mask, self._keep = objects, limit, mask, keep
        self.rows = self.bytes = 0

    def __call__(self, value: Any) -> Any:
        if isinstance(value, Blob):
            return self._blob(value)
        table = _as_table(value)
        if table is None:
            return _nearest(value)
        if table.nbytes > self._limit:
            raise ResourceExhausted(
                f"a table of the result has {table.nbytes} bytes; "
                f"this step may return {self._limit}"
            )
        self._mask.table(table)
        ref = self._keep(lambda: self._objects.put_table(table))
        self.rows += ref["rows"]
        self.bytes += ref["bytes"]
        return ref

    def _blob(self, blob: Blob) -> Any:
        self._mask.blob(blob.data)
        self.bytes += len(blob.data)
        return self._keep(lambda: self._objects.put_bytes(blob.data, "bin", blob.media))


_NO_TABLES: Final = _Tables(Objects(Path()), 0, NOTHING, at_once)
"""Of a value that can hold none."""


def _encode(value: Any, hook: _Tables) -> bytes:
    try:
        return msgspec.json.encode(value, enc_hook=hook)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise Permanent(f"the result cannot be stored as JSON: {error}") from error


def _as_table(value: Any) -> Any:
    """The value as an Arrow table, when it is one or a data frame; else None."""
    home, name = type(value).__module__.partition(".")[0], type(value).__name__
    if home == "pyarrow" and name in ("Table", "RecordBatch"):
        return value
    if home == "pandas" and name == "DataFrame":
        import pyarrow as pa

        return pa.Table.from_pandas(value, preserve_index=False)
    return None


def _nearest(value: Any) -> Any:
    """What JSON can say instead."""
    for method in ("tolist", "to_pylist", "isoformat"):
        if hasattr(value, method):
            return getattr(value, method)()
    if isinstance(value, (range, map, filter, zip)) or hasattr(value, "__next__"):
        return list(value)
    raise TypeError(f"a {type(value).__module__}.{type(value).__qualname__} is not JSON")
