"""Secrets leave an attempt in no form: masked in what is text, refused in what is a table."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote_plus

import pyarrow as pa
import pytest

from runtime.data import reference
from runtime.data.objects import Objects
from runtime.errors import Permanent
from runtime.workers.protocol import Report
from runtime.workers.secrets import MASK, Mask
from runtime.workers.settle import settle

SECRET = 'p/ss "w ö'
HIDING = Mask([SECRET, "p/ss", "ab"])


@pytest.mark.parametrize(
    "told",
    [SECRET, f"https://x/?key={quote_plus(SECRET)}", 'said "p/ss \\"w ö"', "p%2Fss"],
)
def test_every_form_of_a_secret_is_masked(told: str) -> None:
    masked = HIDING.json({"told": [told], told: 1})
    assert MASK in masked["told"][0]
    assert "ss" not in str(masked)


def test_without_secrets_nothing_is_touched() -> None:
    value = {"a": [1, None, "•"]}
    assert not Mask(())
    assert Mask(()).json(value) is value


def test_a_report_is_masked_wherever_it_is_text() -> None:
    report = Report(
        1, "a", "failed", stdout=SECRET, fault={"message": SECRET}, checks=[{"observed": SECRET}]
    )
    hidden = HIDING.report(report)
    assert (hidden.stdout, hidden.fault, hidden.checks) == (
        MASK, {"message": MASK}, [{"observed": MASK}],
    )  # fmt: skip


def test_a_long_result_is_masked_before_it_is_stored(tmp_path: Path) -> None:
    objects = Objects(tmp_path)
    value = [SECRET] * reference.INLINE_LIMIT
    ref = settle(value, objects, 1 << 30, HIDING).result
    assert set(objects.read_json(ref)) == {MASK}


def test_a_reference_stays_whole_whatever_its_hash(tmp_path: Path) -> None:
    ref = Objects(tmp_path).put_json([1])
    assert Mask([ref["sha256"][:2]]).json({"x": ref}) == {"x": ref}


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["fine", f"oh {SECRET}!"]),
        pa.array([SECRET]).dictionary_encode(),
        pa.array([{"deep": [SECRET]}]),
        pa.array([SECRET.encode()]),
        pa.array([f"a long text with {SECRET}"], pa.string_view()),
        pa.chunked_array([["fine"], [quote_plus(SECRET)]]),
    ],
)
def test_a_table_with_a_secret_is_refused_and_not_stored(tmp_path: Path, column: pa.Array) -> None:
    table = pa.table({"n": [1] * len(column), "told": column})
    with pytest.raises(Permanent, match="column 'told' of the result holds a secret"):
        settle({"rows": table}, Objects(tmp_path), 1 << 30, HIDING)
    assert not list(tmp_path.rglob("*.arrow"))


def test_a_table_without_one_is_kept(tmp_path: Path) -> None:
    table = pa.table({"n": [None, 1], "told": ["abba", None]})
    ref = settle(table, Objects(tmp_path), 1 << 30, HIDING).result
    assert ref["rows"] == 2
