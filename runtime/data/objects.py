"""Objects: values too large to travel, kept in a store under their hash.

A file is written aside and synced, and only then the store keeps it under its name: a
reference in the journal always leads to whole bytes. Equal bytes are one file. Tables
are Arrow files that every process maps read-only, so a slice of one costs nothing until
it is looked at; with a store elsewhere, what is mapped is this machine's copy.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections import OrderedDict
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import msgspec

from runtime.data import reference
from runtime.data.place import PATIENCE_S, open_store
from runtime.data.reference import Reference
from runtime.data.store import ASIDE, Store
from runtime.data.tables import ArrowFile, ParquetFile, TableFile, write_arrow
from runtime.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

_KEPT: Final = 8
"""How many opened objects a process keeps for the next batch of the same step."""


class Objects:
    """Values in a store. One instance a process; not for several threads.

    ``root`` is the folder on this machine where files are written and, when the store is
    that folder, where they stay. Without ``store`` it is the one this folder was given.
    """

    def __init__(
        self, root: Path, store: Store | None = None, patience_s: float = PATIENCE_S
    ) -> None:
        self.root, self._patience_s = root, patience_s
        self._store = store
        self._kept: OrderedDict[str, Any] = OrderedDict()

    @property
    def store(self) -> Store:
        """The store, opened when it is first asked for."""
        if self._store is None:
            self._store = open_store(self.root, self._patience_s)
        return self._store

    def path(self, ref: Reference) -> Path:
        """The object's file on this machine.

        Raises:
            DataError: there is no such object, or its size is not the one written.
        """
        path = self.store.path(reference.name(ref))
        size = path.stat().st_size
        if size != ref["bytes"]:
            raise DataError(f"object {path} has {size} bytes where {ref['bytes']} were written")
        return path

    def pin(self, value: Any) -> None:
        """Let all that a value refers to count as written now, before an event says so.

        What stands inside the objects is meant too, however deep.

        Raises:
            DataError: one of them is no longer there.
        """
        names = {reference.name(ref) for ref in reference.references(value)}
        pinned: set[str] = set()
        while names:
            name = names.pop()
            self.store.freshen(name)
            pinned.add(name)
            if name.endswith(".json"):
                names |= inside(self.store.path(name)) - pinned

    def put_bytes(self, data: bytes, ext: str, media: str, rows: int | None = None) -> Reference:
        """Keep these bytes and return the reference to them."""
        with _Writer(self) as writer:
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
        with _Writer(self) as writer:
            write_arrow(writer, table)
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
        return self.table_file(ref).whole()

    def table_slice(self, ref: Reference, start: int, count: int) -> pa.Table:
        """Rows ``[start, start + count)`` of a table, still mapped."""
        return self.table_file(ref).slice(start, count)

    def table_file(self, ref: Reference) -> TableFile:
        """The table's file, opened once for all the batches of a step."""
        kept: TableFile | None = self._recall(ref)
        if kept is not None:
            return kept
        path = str(self.path(ref))
        parquet = ref["media"] == reference.PARQUET
        opened: TableFile = self._keep(ref, ParquetFile(path) if parquet else ArrowFile(path))
        return opened

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
                read = self.read(value)  # a large value may hold references of its own
                return self.open(read) if value["media"] == reference.JSON else read
            return {name: self.open(part) for name, part in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.open(part) for part in value]
        return value

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


def inside(path: Path) -> set[str]:
    """The objects that a JSON object's file refers to."""
    if path.stat().st_size == 0:
        return set()
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        return reference.names_in(data)


def schema_of(table: pa.Table) -> dict[str, str]:
    """Column → type, as text."""
    return {field.name: str(field.type) for field in table.schema}


class _Writer:
    """A file being written aside and hashed; `keep` makes it durable under its hash."""

    closed = False

    def __init__(self, objects: Objects) -> None:
        self.root, self._store, self.size = objects.root, objects.store, 0
        self._hash = hashlib.sha256()
        self._file: IO[bytes]
        self._aside = ""

    def __enter__(self) -> _Writer:
        self.root.mkdir(parents=True, exist_ok=True)
        fd, self._aside = tempfile.mkstemp(dir=self.root, prefix=ASIDE)
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
        self._file.flush()
        os.fchmod(self._file.fileno(), 0o444)
        os.fsync(self._file.fileno())
        self._store.keep(Path(self._aside), f"{sha256}.{ext}")
        self._aside = ""
        return sha256

    def __exit__(self, *exc: object) -> None:
        self._file.close()
        if self._aside:
            os.unlink(self._aside)
