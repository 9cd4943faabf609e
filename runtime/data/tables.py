"""A table in a file: mapped, and sliced without reading what lies before the slice.

An Arrow file is mapped read-only; its record batches are of one size, told in the footer,
so that the batch that holds a row is found by a division. A file that somebody else wrote
is asked once how many rows each batch has. Of a Parquet file only the row groups that a
slice touches are decoded, and the last ones are kept for the next slice.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from typing import IO, TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS: Final = 1 << 16
"""Rows of every record batch that we write, but the last."""
_ROWS_KEY: Final = b"trimtab.batch_rows"


class TableFile(Protocol):
    """A table that can be had whole or in part."""

    def whole(self) -> pa.Table:
        """The whole table."""
        ...

    def slice(self, start: int, count: int) -> pa.Table:
        """Rows ``[start, start + count)``, as many of them as there are."""
        ...


def write_arrow(sink: IO[bytes] | Any, table: pa.Table) -> None:
    """Write a table as an Arrow file: the same bytes however its rows are chunked.

    No more than one record batch is copied at a time, and none that is whole already.
    """
    import pyarrow as pa

    metadata = {_ROWS_KEY: str(BATCH_ROWS).encode()}
    with pa.ipc.new_file(pa.PythonFile(sink, mode="w"), table.schema, metadata=metadata) as file:
        for batch in _batches(table.unify_dictionaries()):
            file.write_batch(batch)


def _batches(table: pa.Table) -> Iterator[pa.RecordBatch]:
    for start in range(0, table.num_rows, BATCH_ROWS):
        yield from table.slice(start, BATCH_ROWS).combine_chunks().to_batches()


class ArrowFile:
    """An Arrow file, mapped read-only: a write to what it gives ends the process."""

    def __init__(self, path: str) -> None:
        import pyarrow as pa

        self._file = pa.ipc.open_file(pa.memory_map(path, "r"))
        self._starts: list[int] | None = None
        told = (self._file.metadata or {}).get(_ROWS_KEY)
        self._batch_rows = int(told) if told else None

    def whole(self) -> pa.Table:
        return self._file.read_all()

    def slice(self, start: int, count: int) -> pa.Table:
        import pyarrow as pa

        first, skip = self._find(start)
        parts: list[pa.RecordBatch] = []
        rows = -skip
        while rows < count and first + len(parts) < self._file.num_record_batches:
            parts.append(self._file.get_batch(first + len(parts)))
            rows += parts[-1].num_rows
        return pa.Table.from_batches(parts, self._file.schema).slice(skip, count)

    def _find(self, row: int) -> tuple[int, int]:
        """The batch that holds a row, and the row's place in it."""
        if self._batch_rows is not None:
            return divmod(row, self._batch_rows)
        if self._starts is None:
            count = self._file.num_record_batches
            sizes = [self._file.get_batch(i).num_rows for i in range(count)]
            self._starts = list(accumulate(sizes, initial=0))
        return _found(self._starts, row)


class ParquetFile:
    """A Parquet file, read by row groups."""

    def __init__(self, path: str) -> None:
        import pyarrow.parquet as pq

        self._path = path
        self._file = pq.ParquetFile(path, memory_map=True)
        groups = self._file.metadata
        sizes = [groups.row_group(i).num_rows for i in range(groups.num_row_groups)]
        self._starts = list(accumulate(sizes, initial=0))
        self._last: tuple[list[int], pa.Table] | None = None

    def whole(self) -> pa.Table:
        return self._file.read()

    def slice(self, start: int, count: int) -> pa.Table:
        first, skip = _found(self._starts, start)
        groups = [first]
        while groups[-1] + 2 < len(self._starts) and self._starts[groups[-1] + 1] < start + count:
            groups.append(groups[-1] + 1)
        return self._read(groups).slice(skip, count)

    def _read(self, groups: list[int]) -> pa.Table:
        if self._last is None or self._last[0] != groups:
            known = [g for g in groups if g + 1 < len(self._starts)]
            self._last = groups, self._file.read_row_groups(known)
        return self._last[1]


def _found(starts: list[int], row: int) -> tuple[int, int]:
    at = max(bisect_right(starts, row) - 1, 0)
    return at, row - starts[at]
