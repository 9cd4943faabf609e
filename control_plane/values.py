"""A value as it leaves the house: whole, in the form that was asked for, piece by piece.

An object is streamed from its file as it is; a table is turned into JSON, and a list of
rows into a table, a piece at a time, so that no answer is larger in memory than a piece
of it. What cannot be had in a form is refused before the first byte goes out.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import msgspec

from control_plane.errors import Invalid, NotFound
from runtime.data import reference
from runtime.data.objects import Objects
from runtime.data.store import Missing
from runtime.data.tables import TableFile, write_arrow
from runtime.errors import Permanent

if TYPE_CHECKING:
    import pyarrow as pa

Form: TypeAlias = Literal["json", "arrow", "as-is"]
_CHUNK: Final = 1 << 20
_ROWS: Final = 2_000
_MEDIA: Final = {
    "arrow": reference.ARROW, "parquet": reference.PARQUET, "json": reference.JSON,
    "bin": "application/octet-stream",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Body:
    """An answer: its media type, its length where that is known, and its pieces."""

    media: str
    pieces: Iterator[bytes]
    length: int | None = None


def body_of(value: Any, objects: Objects, form: Form) -> Body:
    """A value, with what it refers to in its place when it is a reference itself.

    Raises:
        NotFound: it is a reference to an object that was collected.
        Invalid: it is nothing that has this form.
    """
    if reference.is_reference(value):
        return object_of(reference.name(value), objects, form, value["media"])
    if form == "arrow":
        return _as_arrow(value)
    data = msgspec.json.encode(value)
    return Body(reference.JSON, iter((data,)), len(data))


def object_of(name: str, objects: Objects, form: Form, media: str | None = None) -> Body:
    """An object of the store by its name. Raises what `body_of` does."""
    try:
        path = objects.store.path(name)
    except Missing as error:
        raise NotFound("object", name) from error
    kind = name.partition(".")[2]
    media = media or _MEDIA.get(kind, _MEDIA["bin"])
    if form == "as-is" or (form, kind) in (("json", "json"), ("arrow", "arrow")):
        return Body(media, _file(path), path.stat().st_size)
    if kind in ("arrow", "parquet"):
        table = objects.table_file({"$ref": name, "media": media, "bytes": path.stat().st_size})
        return Body(reference.JSON, _rows(table)) if form == "json" else _arrow(table.whole())
    if kind == "json":
        return _as_arrow(msgspec.json.decode(path.read_bytes()))
    raise Invalid([f"object {name} is {media}: it has the form as-is alone"])


def _file(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            yield piece


def _rows(table: TableFile) -> Iterator[bytes]:
    """The rows as a JSON list of objects."""
    before, start = b"[", 0
    while rows := table.slice(start, _ROWS).to_pylist():
        yield before + msgspec.json.encode(rows, enc_hook=str)[1:-1]
        before, start = b",", start + len(rows)
    yield b"]" if start else b"[]"


def _as_arrow(value: Any) -> Body:
    import pyarrow as pa

    from runtime.tools.port import table_of

    try:
        return _arrow(table_of(value))
    except (Permanent, pa.ArrowException) as error:
        raise Invalid([f"the value has no form of a table: {error}"]) from error


def _arrow(table: pa.Table) -> Body:
    file = tempfile.TemporaryFile()  # noqa: SIM115 - closed when its last piece is gone
    write_arrow(file, table)
    size = file.tell()
    file.seek(0)
    return Body(reference.ARROW, _all_of(file), size)


def _all_of(file: Any) -> Iterator[bytes]:
    with file:
        while piece := file.read(_CHUNK):
            yield piece
