"""A product is published when its contract holds, and not at all when it does not."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import fields

from runtime.data import contract as contracts
from runtime.data.contract import Check, ContractBroken
from runtime.data.product import encode, publish_table
from runtime.errors import Permanent
from runtime.run.events import ProductPublished
from runtime.workers.protocol import Publish

PEOPLE = pa.table({"id": ["a", "b", "c"], "age": [30, 40, None]})


def check(text: str, table: pa.Table = PEOPLE) -> dict[str, Check]:
    return {c.name: c for c in contracts.check(contracts.parse(text), table)}


@pytest.mark.parametrize(
    ("text", "name", "observed"),
    [
        ("columns: {age: {nullable: false}}", "age: nullable", 1),
        ("columns: {age: {min: 35}}", "age: min", 30),
        ("columns: {age: {max: 35}}", "age: max", 40),
        ("columns: {age: {type: string}}", "age: type", "int64"),
        ("columns: {age: int32}", "age: type", "int64"),
        ("columns: {age: {min: abc}}", "age: min", "30"),
        ("columns: {name: {type: string}}", "name: exists", 0),
        ("{closed: true, columns: {id: string}}", "columns: closed", ["age"]),
        ("rows: {min: 4}", "rows: min", 3),
        ("rows: {max: 2}", "rows: max", 3),
        ("checks: [{name: q, sql: select * from product where age < 40}]", "q", 1),
        ("checks: [{name: q, sql: select count(*) from product, expect: 4}]", "q", 3),
    ],
)
def test_a_broken_promise_says_what_was_found(text: str, name: str, observed: Any) -> None:
    found = check(text)[name]
    assert not found.ok
    assert found.observed == observed
    assert found.expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "columns: {id: {type: string, nullable: false, unique: true}, age: {type: integer}}",
        "columns: {age: {type: int64, min: 30, max: 40, unique: true}}",
        "{rows: {min: 3, max: 3}, description: people}",
        "checks: [{name: q, sql: select * from product where age > 99}]",
        "checks: [{name: q, sql: select sum(age) = 70 from product, expect: true}]",
    ],
)
def test_a_kept_promise_passes(text: str) -> None:
    assert all(found.ok for found in check(text).values())


def test_repeated_values_are_counted_and_nulls_are_not() -> None:
    table = pa.table({"id": ["a", "a", "a", None, None]})
    assert check("columns: {id: {unique: true}}", table)["id: unique"].observed == 2


def test_a_query_that_does_not_run_is_a_failed_check() -> None:
    found = check("checks: [{name: q, sql: select nothing}]")["q"]
    assert not found.ok
    assert "nothing" in found.observed


def test_a_check_cannot_read_files() -> None:
    found = check("checks: [{name: q, sql: \"select * from read_text('/etc/passwd')\"}]")["q"]
    assert not found.ok


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("columns: {id: {tpye: string}}", "column id: unknown tpye"),
        ("colums: {}", "unknown colums"),
        ("columns: [id]", "must map"),
        ("checks: [{name: q}]", "needs `sql`"),
        ("checks: 5", "must be a list"),
        ("closed: 'no'", "closed must be true or false"),
        ("columns: {id: {unique: 1}}", "column id: unique must be true or false"),
        ("columns: {id: {type: [string]}}", "type must be a word"),
        ("rows: {min: many}", "min must be a number of rows"),
        ("rows: {max: -1}", "max must be a number of rows"),
        ("a: [", "not YAML"),
        ("- a", "must be a mapping"),
    ],
)
def test_a_contract_that_is_none_says_where(text: str, told: str) -> None:
    with pytest.raises(Permanent, match=told):
        contracts.parse(text)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=50), st.data())
def test_equal_rows_give_equal_bytes_however_they_are_chunked(
    values: list[int], data: st.DataObject
) -> None:
    whole = pa.table({"n": values, "s": [str(v) for v in values]})
    cut = data.draw(st.integers(0, len(values)))
    parts = pa.concat_tables([whole.slice(0, cut), whole.slice(cut)])
    tagged = parts.replace_schema_metadata({"made": "by hand"})
    for form in ("parquet", "arrow"):
        assert encode(tagged, form) == encode(whole, form)


class TestPublishing:
    def publish(self, tmp_path: Path, table: pa.Table, **options: Any) -> dict[str, Any]:
        (tmp_path / "bundle").mkdir(exist_ok=True)
        (tmp_path / "bundle" / "c.yaml").write_text("rows: {min: 2}")
        folder = tmp_path / "data" / "products" / "clinic.people"
        fields = {"product": "clinic.people", "format": "parquet", "contract": "c.yaml",
                  "number": 7, "folder": str(folder)}  # fmt: skip
        publish = Publish(**{**fields, **options})
        return publish_table(table, publish, tmp_path / "bundle", ["abc.arrow"])

    def test_the_file_is_the_one_that_is_told(self, tmp_path: Path) -> None:
        told = self.publish(tmp_path, PEOPLE)
        path = tmp_path / "data" / told["location"]
        assert told["location"] == "products/clinic.people/7.parquet"
        assert hashlib.sha256(path.read_bytes()).hexdigest() == told["sha256"]
        assert pq.read_table(path).equals(PEOPLE)
        assert set(told) == {f.name for f in fields(ProductPublished)} - {"step"}
        assert told["checks"] == [
            {"name": "rows: min", "ok": True, "observed": 3, "expected": "at least 2"}
        ]
        ProductPublished(step="s", **told)

    def test_a_broken_contract_publishes_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(ContractBroken, match="rows: min: 1 where at least 2") as caught:
            self.publish(tmp_path, PEOPLE.slice(0, 1))
        assert caught.value.checks[0]["product"] == "clinic.people"
        assert not (tmp_path / "data").exists()

    def test_a_product_cannot_be_named_into_another_folder(self, tmp_path: Path) -> None:
        with pytest.raises(Permanent, match="no name of a product"):
            self.publish(tmp_path, PEOPLE, product="../up", contract=None)

    def test_an_arrow_product_can_be_mapped(self, tmp_path: Path) -> None:
        told = self.publish(tmp_path, PEOPLE, format="arrow")
        with pa.memory_map(str(tmp_path / "data" / told["location"])) as source:
            assert pa.ipc.open_file(source).read_all().equals(PEOPLE)

    def test_a_missing_contract_is_the_playbooks_fault(self, tmp_path: Path) -> None:
        with pytest.raises(Permanent, match=r"nowhere\.yaml cannot be read"):
            self.publish(tmp_path, PEOPLE, contract="nowhere.yaml")
