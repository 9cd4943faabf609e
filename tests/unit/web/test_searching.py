"""A search is its address: what it keeps to can be taken out, and times are times."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.web.searching import NARROWS, Wanted

DAY, NOW = 86_400.0, 1_000_000_000.0
WORDS = st.text(max_size=12)
WANTED = st.builds(Wanted, *[WORDS] * 10, st.booleans())


@given(WANTED)
def test_an_address_says_all_that_was_asked(wanted: Wanted) -> None:
    told = {k: v for k, (v,) in parse_qs(urlsplit(wanted.address()).query).items()}
    causes = told.pop("causes", "") == "true"
    assert Wanted(causes=causes, **told) == wanted


@given(WANTED, st.sampled_from(NARROWS))
def test_what_is_taken_out_is_gone_and_nothing_else_is(wanted: Wanted, name: str) -> None:
    before = parse_qs(urlsplit(wanted.address()).query)
    after = parse_qs(urlsplit(wanted.address(**{name: ""})).query)
    assert after == {k: v for k, v in before.items() if k != name}
    assert {kept[0] for kept in wanted.kept} == before.keys() & set(NARROWS)


def test_a_day_at_the_end_counts_whole_and_a_time_does_not() -> None:
    asked = Wanted("x", since="1970-01-02", until="1970-01-02", hardware="gpu").question(NOW)
    assert (asked.since, asked.until, asked.hardware) == (DAY, 2 * DAY, "gpu")
    assert Wanted("x", until="1970-01-02T06:00").question(NOW).until == 1.25 * DAY
    assert Wanted("x", hours="24").question(NOW).since == NOW - DAY
    assert Wanted("x").question(NOW).since is None


@pytest.mark.parametrize("wanted", [
    Wanted(since="soon"), Wanted(hours="-1"), Wanted(hours="many"),
    Wanted(since="1970-01-03", until="1970-01-01"), Wanted(since="1970-01-02", until="1970-01-01"),
])  # fmt: skip
def test_what_is_no_time_is_said(wanted: Wanted) -> None:
    with pytest.raises(ValueError, match=r"is no day|hours is a number|is not before"):
        wanted.question(NOW)
