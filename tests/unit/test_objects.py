"""Large values are kept whole, under their hash, and come back as they were."""

from __future__ import annotations

import hashlib
import math
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.data import reference
from runtime.data.objects import Objects
from runtime.data.tables import BATCH_ROWS, ArrowFile
from runtime.errors import DataError, Permanent, ResourceExhausted
from runtime.workers.settle import settle

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return Objects(tmp_path / "objects")


def files(objects: Objects) -> list[str]:
    """The names of all that lies in the store's folder but its lock."""
    return [p.name for p in objects.root.rglob("*") if p.is_file() and p.name != ".lock"]


@settings(suppress_health_check=[HealthCheck.too_slow])  # of a busy machine
@given(value=JSON)
def test_json_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, value: object
) -> None:
    objects = Objects(tmp_path_factory.getbasetemp() / "shared")
    assert objects.read(objects.put_json(value)) == value


def test_an_object_lies_under_the_hash_of_its_bytes(objects: Objects) -> None:
    ref = objects.put_json([1, 2])
    path = objects.root / ref["$ref"][:2] / ref["$ref"]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == ref["sha256"]
    assert path.stat().st_mode & 0o222 == 0
    assert (ref["rows"], ref["bytes"]) == (2, 5)


def test_equal_values_are_one_file(objects: Objects) -> None:
    assert objects.put_json({"a": 1}) == objects.put_json({"a": 1})
    assert len(files(objects)) == 1


def test_what_a_crash_left_half_written_is_swept(objects: Objects) -> None:
    ref = objects.put_json([1])
    (objects.root / ".aside-x1").write_bytes(b"half")
    assert objects.store.sweep(0.0) == 0
    assert objects.store.sweep(math.inf) == 1
    assert files(objects) == [ref["$ref"]]
    assert Objects(objects.root / "not made").store.sweep(math.inf) == 0


def test_a_table_comes_back_mapped_and_sliced(objects: Objects) -> None:
    table = pa.table({"n": list(range(1000)), "s": [str(n) for n in range(1000)]})
    ref = objects.put_table(table)
    assert ref["schema"] == {"n": "int64", "s": "string"}
    before = pa.total_allocated_bytes()
    opened = objects.open_table(ref)
    assert opened.equals(table)
    assert pa.total_allocated_bytes() == before
    assert objects.table_slice(ref, 990, 100).column("n").to_pylist() == list(range(990, 1000))


def test_a_slice_is_kept_without_the_rest(objects: Objects) -> None:
    table = pa.table({"n": list(range(100_000))})
    assert objects.put_table(table.slice(5, 3))["bytes"] < 2_000
    batch = table.to_batches()[0]
    assert objects.put_table(batch) == objects.put_table(table)


@given(
    sizes=st.lists(st.integers(1, 40), max_size=12),
    cuts=st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), max_size=6),
    media=st.sampled_from(["ours", "theirs", "parquet"]),
)
def test_a_slice_is_what_slicing_the_whole_gives(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], cuts: list[tuple[int, int]],
    media: str,
) -> None:  # fmt: skip
    objects = Objects(tmp_path_factory.getbasetemp() / "slices")
    batches = [
        pa.record_batch({"n": list(range(100 * i, 100 * i + n))}) for i, n in enumerate(sizes)
    ]
    table = pa.Table.from_batches(batches, pa.schema([("n", pa.int64())]))
    ref = put(objects, table, media)
    for start, count in cuts:
        assert objects.table_slice(ref, start, count).equals(table.slice(start, count))


def put(objects: Objects, table: pa.Table, media: str) -> reference.Reference:
    """Keep a table as we write it, or as somebody else might."""
    if media == "ours":
        return objects.put_table(table)
    sink = pa.BufferOutputStream()
    if media == "parquet":
        pq.write_table(table, sink, row_group_size=7)
    else:
        with pa.ipc.new_file(sink, table.schema) as file:
            file.write_table(table)
    ext, kind = (
        ("parquet", reference.PARQUET) if media == "parquet" else ("arrow", reference.ARROW)
    )
    return objects.put_bytes(sink.getvalue().to_pybytes(), ext, kind, rows=table.num_rows)


def test_equal_rows_are_one_file_however_they_are_chunked(objects: Objects) -> None:
    whole = pa.table({"n": list(range(200_000)), "s": pa.array(["a", "b"] * 100_000)})
    parts = pa.concat_tables([whole.slice(start, 777) for start in range(0, 200_000, 777)])
    assert parts.column("n").num_chunks > 200
    assert objects.put_table(parts) == objects.put_table(whole)


def test_the_file_that_we_write_is_sliced_by_a_division(objects: Objects) -> None:
    rows = 3 * BATCH_ROWS + 5
    file = objects.table_file(objects.put_table(pa.table({"n": pa.array(range(rows))})))
    assert isinstance(file, ArrowFile)
    part = file.slice(2 * BATCH_ROWS - 2, BATCH_ROWS + 4)
    assert part.column("n").to_pylist()[:3] == [131070, 131071, 131072]
    assert part.column("n").num_chunks == 3
    assert file._starts is None


def test_dictionaries_that_differ_from_chunk_to_chunk_are_kept(objects: Objects) -> None:
    chunks = [pa.array(words).dictionary_encode() for words in (["a", "b"], ["c"], ["b", "d"])]
    table = pa.table({"word": pa.chunked_array(chunks)})
    assert objects.open_table(objects.put_table(table)).column("word").to_pylist() == [
        "a", "b", "c", "b", "d",
    ]  # fmt: skip


def test_a_parquet_object_opens_as_a_table(objects: Objects, tmp_path: Path) -> None:
    pq.write_table(pa.table({"n": [1, 2]}), tmp_path / "t.parquet")
    data = (tmp_path / "t.parquet").read_bytes()
    ref = objects.put_bytes(data, "parquet", reference.PARQUET, rows=2)
    assert objects.open_table(ref).to_pydict() == {"n": [1, 2]}


def test_references_are_opened_wherever_they_stand(objects: Objects) -> None:
    inner = objects.put_json([1])
    assert objects.open({"a": [inner, 2]}) == {"a": [[1], 2]}
    assert list(reference.references({"a": [inner, {"b": inner}]})) == [inner, inner]


def test_a_reference_inside_a_large_value_is_opened_too(objects: Objects) -> None:
    outer = objects.put_json({"texts": ["x"], "more": objects.put_json([1])})
    assert objects.open(outer) == {"texts": ["x"], "more": [1]}


def test_a_missing_or_damaged_object_is_a_data_error(objects: Objects) -> None:
    ref = objects.put_json([1, 2, 3])
    path = objects.path(ref)
    os.truncate(path, 2)
    with pytest.raises(DataError, match="2 bytes where 7"):
        objects.read(ref)
    path.unlink()
    with pytest.raises(DataError, match="is not in"):
        objects.read(ref)


def test_a_name_that_leads_elsewhere_is_refused(objects: Objects) -> None:
    ref = {**objects.put_json([1]), "$ref": "../../etc/passwd"}
    with pytest.raises(ValueError, match="not the name of an object"):
        objects.path(ref)


def test_a_write_that_fails_leaves_nothing(objects: Objects) -> None:
    class Half(list[int]):
        pass

    with pytest.raises(TypeError):
        objects.put_json([Half, object()])
    table = pa.table({"n": [1]})
    with pytest.raises(AttributeError):
        objects.put_table({"not": table})
    assert files(objects) == []


class TestSettling:
    def test_small_json_travels_as_itself(self, objects: Objects) -> None:
        assert settle([1, {"a": None}], objects, 1000).result == [1, {"a": None}]
        assert settle([1, 2, 3], objects, 1000).rows == 3
        assert settle("x" * (reference.INLINE_LIMIT - 2), objects, 1 << 20).result[0] == "x"

    def test_json_over_the_limit_becomes_a_reference(self, objects: Objects) -> None:
        settled = settle("x" * reference.INLINE_LIMIT, objects, 1 << 20)
        assert reference.is_reference(settled.result)
        assert objects.read(settled.result) == "x" * reference.INLINE_LIMIT

    def test_a_table_is_always_a_reference_wherever_it_stands(self, objects: Objects) -> None:
        table = pa.table({"n": [1, 2]})
        settled = settle({"found": table, "count": 2}, objects, 1 << 20)
        assert settled.rows == 2
        assert settled.result["count"] == 2
        assert objects.open(settled.result)["found"].equals(table)
        assert settle(table, objects, 1 << 20).result["rows"] == 2

    def test_what_json_has_no_word_for_becomes_the_nearest(self, objects: Objects) -> None:
        import datetime as dt

        import numpy as np

        value = {
            "when": dt.date(2026, 1, 2), "set": {1}, "number": np.float64(0.5),
            "array": np.arange(3), "nan": float("nan"), 5: "key", "lazy": (n for n in [1, 2]),
        }  # fmt: skip
        assert settle(value, objects, 1000).result == {
            "when": "2026-01-02", "set": [1], "number": 0.5, "array": [0, 1, 2], "nan": None,
            "5": "key", "lazy": [1, 2],
        }  # fmt: skip

    def test_what_is_no_value_is_refused_by_name(self, objects: Objects) -> None:
        with pytest.raises(Permanent, match=r"builtins\.object is not JSON"):
            settle([object()], objects, 1000)

    def test_an_old_object_that_a_result_refers_to_is_made_young(self, objects: Objects) -> None:
        ref = objects.put_json([1])
        os.utime(objects.path(ref), (0, 0))
        assert settle({"again": ref}, objects, 1000).result == {"again": ref}
        assert objects.path(ref).stat().st_mtime > 0
        objects.path(ref).unlink()
        with pytest.raises(DataError, match="was released"):
            settle([ref], objects, 1000)

    def test_too_much_is_refused(self, objects: Objects) -> None:
        with pytest.raises(ResourceExhausted, match="may return 10"):
            settle("x" * 20, objects, 10)
        with pytest.raises(ResourceExhausted, match="may return 10"):
            settle(pa.table({"n": list(range(100))}), objects, 10)
