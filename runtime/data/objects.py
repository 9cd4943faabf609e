"""The object store: values too large to travel, kept in a folder under their hash.

A file is written aside, synced, and only then given its name, and the folder is synced
too: a reference in the journal always leads to whole bytes. Equal bytes are one file.
Tables are Arrow files that every process maps read-only, so a slice of one costs nothing
until it is looked at.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections import OrderedDict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import msgspec

from runtime.data import reference
from runtime.data.reference import Reference
from runtime.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

_ASIDE: Final = ".aside-"
"""How the names of files begin that are being written."""
_KEPT: Final = 8
"""How many opened objects a process keeps for the next batch of the same step."""


class Objects:
    """The store in one folder. One instance a process; not for several threads."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._kept: OrderedDict[str, Any] = OrderedDict()

    def path(self, ref: Reference) -> Path:
        """The object's file.

        Raises:
            DataError: there is no such object, or its size is not the one written.
        """
        path = self.root / reference.relative_path(ref)
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            raise DataError(f"object {ref['$ref']} is not in {self.root}") from None
        if size != ref["bytes"]:
            raise DataError(f"object {path} has {size} bytes where {ref['bytes']} were written")
        return path

    def put_bytes(self, data: bytes, ext: str, media: str, rows: int | None = None) -> Reference:
        """Keep these bytes and return the reference to them."""
        with _Writer(self.root) as writer:
            writer.write(data)
            return reference.make(writer.keep(ext), ext, media, writer.size, rows=rows)

    def put_json(self, value: Any) -> Reference:
        """Keep a JSON value."""
        rows = len(value) if isinstance(value, list) else None
        return self.put_bytes(msgspec.json.encode(value), "json", reference.JSON, rows)

    def put_table(self, table: pa.Table | pa.RecordBatch) -> Reference:
        """Keep a table as an Arrow file."""
        import pyarrow as pa

        if isinstance(table, pa.RecordBatch):
            table = pa.Table.from_batches([table])
        with _Writer(self.root) as writer:
            with pa.ipc.new_file(pa.PythonFile(writer, mode="w"), table.schema) as file:
                file.write_table(table)
            sha256 = writer.keep("arrow")
        return reference.make(
            sha256,
            "arrow",
            reference.ARROW,
            writer.size,
            rows=table.num_rows,
            schema=schema_of(table),
        )

    def open_table(self, ref: Reference) -> pa.Table:
        """The whole table, mapped: nothing is read until a column is looked at."""
        kept = self._recall(ref)
        return kept if kept is not None else self._keep(ref, self._map(ref))

    def table_slice(self, ref: Reference, start: int, count: int) -> pa.Table:
        """Rows ``[start, start + count)`` of a table, still mapped."""
        return self.open_table(ref).slice(start, count)

    def read_json(self, ref: Reference) -> Any:
        """A JSON object, as a value of the caller's own."""
        return msgspec.json.decode(self.path(ref).read_bytes())

    def json_slice(self, ref: Reference, start: int, count: int) -> list[Any]:
        """Items ``[start, start + count)`` of a JSON list.

        The list is decoded once and kept as one encoded piece an item, so that what a
        caller does to its items is never seen by the next.
        """
        pieces = self._recall(ref)
        if pieces is None:
            data = self.path(ref).read_bytes()
            pieces = self._keep(ref, msgspec.json.decode(data, type=list[msgspec.Raw]))
        return [msgspec.json.decode(piece) for piece in pieces[start : start + count]]

    def read(self, ref: Reference) -> Any:
        """The value behind a reference: a mapped table, or JSON."""
        if reference.is_table(ref):
            return self.open_table(ref)
        if ref["media"] == reference.JSON:
            return self.read_json(ref)
        return self.path(ref).read_bytes()

    def open(self, value: Any) -> Any:
        """A JSON value with every reference inside replaced by what it stands for."""
        if isinstance(value, dict):
            if reference.is_reference(value):
                return self.read(value)
            return {name: self.open(part) for name, part in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.open(part) for part in value]
        return value

    def sweep(self) -> int:
        """Remove what a crash left half written; how many files. Only while nobody writes."""
        left = list(self.root.glob(f"{_ASIDE}*"))
        for path in left:
            path.unlink(missing_ok=True)
        return len(left)

    def _map(self, ref: Reference) -> pa.Table:
        path = str(self.path(ref))
        if ref["media"] == reference.PARQUET:
            import pyarrow.parquet as pq

            return pq.read_table(path, memory_map=True)
        import pyarrow as pa

        with pa.memory_map(path, "r") as source:
            return pa.ipc.open_file(source).read_all()

    def _recall(self, ref: Reference) -> Any:
        kept = self._kept.get(ref["$ref"])
        if kept is not None:
            self._kept.move_to_end(ref["$ref"])
        return kept

    def _keep(self, ref: Reference, value: Any) -> Any:
        self._kept[ref["$ref"]] = value
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return value


def schema_of(table: pa.Table) -> dict[str, str]:
    """Column → type, as text."""
    return {field.name: str(field.type) for field in table.schema}


class _Writer:
    """A file being written aside and hashed; `keep` makes it durable under its hash."""

    closed = False

    def __init__(self, root: Path) -> None:
        self.root, self.size = root, 0
        self._hash = hashlib.sha256()
        self._file: IO[bytes]
        self._aside = ""

    def __enter__(self) -> _Writer:
        self.root.mkdir(parents=True, exist_ok=True)
        fd, self._aside = tempfile.mkstemp(dir=self.root, prefix=_ASIDE)
        self._file = os.fdopen(fd, "wb", buffering=1 << 16)
        return self

    def write(self, data: Any) -> int:
        view = memoryview(data)
        self._hash.update(view)
        self._file.write(view)
        self.size += view.nbytes
        return view.nbytes

    def tell(self) -> int:
        return self.size

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.flush()

    def keep(self, ext: str) -> str:
        """Give the file its name, durably, and return the hash."""
        sha256 = self._hash.hexdigest()
        folder = self.root / sha256[:2]
        fresh = not folder.is_dir()
        folder.mkdir(exist_ok=True)
        self._file.flush()
        os.fchmod(self._file.fileno(), 0o444)
        os.fsync(self._file.fileno())
        os.rename(self._aside, folder / f"{sha256}.{ext}")
        self._aside = ""
        sync_folder(folder)
        if fresh:
            sync_folder(self.root)
        return sha256

    def __exit__(self, *exc: object) -> None:
        self._file.close()
        if self._aside:
            os.unlink(self._aside)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
