"""Long columns are told apart by their texts as sorting every row would, and as quickly read."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from optimizer.distinct import among, distinct, pieces, texts
from optimizer.outages import CHANCE, IN_A_ROW, together

names = st.text("ab0", max_size=3)
columns = st.lists(names, max_size=30)


@given(columns)
def test_the_names_and_places_are_those_of_sorting_all(column: list[str]) -> None:
    told = np.array(column, dtype=str)
    for found, plain in zip(distinct(told), np.unique(told, return_inverse=True), strict=True):
        assert found.dtype == plain.dtype
        assert np.array_equal(found, plain)


@given(columns, columns)
def test_what_is_among_others_is_found(column: list[str], other: list[str]) -> None:
    one, two = np.array(column, dtype=str), np.array(other, dtype=str)
    assert np.array_equal(among(one, two), np.isin(one, two))


@given(st.lists(st.none() | names, max_size=30))
def test_a_text_is_itself_and_nothing_where_there_is_none(column: list[str | None]) -> None:
    objects = np.array([*column, None], dtype=object)[:-1]
    plain = np.where([one is None for one in objects], "", objects).astype(str)
    assert texts(objects).dtype == plain.dtype
    assert np.array_equal(texts(objects), plain)


@given(
    st.lists(st.tuples(st.text("ab0", min_size=1, max_size=3), st.integers(-1, 120)), max_size=30)
)
def test_pieces_of_work_are_in_the_order_of_their_texts(rows: list[tuple[str, int]]) -> None:
    run = np.array([name for name, _ in rows], dtype=str)
    number = np.array([number for _, number in rows], dtype=int)
    whole = np.char.add(np.char.add(run, "/"), number.astype(str))
    assert np.array_equal(pieces(run, number), np.unique(whole, return_inverse=True)[1])


@given(st.integers(7, 400), st.integers(0, IN_A_ROW))
def test_an_outage_is_more_failures_in_a_row_than_chance_would_have(many: int, usual: int) -> None:
    chance = max(usual / IN_A_ROW, 0.5 / IN_A_ROW)
    least = max(IN_A_ROW // 2, int(binom.isf(CHANCE / many, IN_A_ROW, chance)) + 1)
    rows = np.zeros((many, IN_A_ROW), bool)
    rows[:, :usual] = True
    if least <= IN_A_ROW:
        rows[0], rows[1] = False, False
        rows[0, :least], rows[1, : least - 1] = True, True
        found = together(rows.ravel()).reshape(many, IN_A_ROW)
        assert found[0].all()
        assert not found[1].any() or usual >= least


def test_what_never_failed_is_judged_without_the_library_of_what_failed() -> None:
    code = (
        "import sys; from optimizer.models.failures import fit; fit([10, 20], [0, 0], [5, 5]); "
        "import numpy; from optimizer.outages import together; together(numpy.zeros(100, bool)); "
        "sys.exit('sklearn' in sys.modules or 'scipy.stats' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
