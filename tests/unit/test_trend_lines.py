"""Rows of measures become a line each, drawn as wide as a terminal."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from control_plane.cli.figures import LEVELS, bar, spark
from control_plane.cli.trends import left_out, lines, narrowed, said

VALUES = st.lists(st.none() | st.floats(-1e6, 1e6), max_size=300)


def row(line: str, hour: int, value: float | None) -> dict[str, object]:
    return {"line": line, "bucket": hour * 3600, "cost_usd": value, "attempts": 2, "failed": 1}


def test_a_line_has_a_value_for_every_bucket_and_none_where_nothing_ran() -> None:
    rows = [row("a", 5, 1.0), row("b", 6, 2.0), row("b", 8, 4.0)]
    assert lines(rows, "cost_usd", 3600) == [
        {"line": "b", "values": [None, 2.0, None, 4.0], "attempts": 4, "failed": 2},
        {"line": "a", "values": [1.0, None, None, None], "attempts": 2, "failed": 1},
    ]
    assert lines([], "cost_usd", 3600) == []


@given(VALUES, st.integers(1, 60))
def test_a_line_is_no_wider_than_asked_and_stays_within_its_values(
    values: list[float | None], most: int
) -> None:
    drawn = narrowed(values, most)
    known = [v for v in values if v is not None]
    assert len(drawn) <= most
    assert all(min(known) - 1e-6 <= v <= max(known) + 1e-6 for v in drawn if v is not None)
    assert (not known) == all(v is None for v in drawn)


@given(VALUES)
def test_a_sparkline_has_a_sign_a_value_and_its_highest_is_the_highest_level(
    values: list[float | None],
) -> None:
    known = [v for v in values if v is not None]
    drawn = spark(values)
    assert len(drawn) == (len(values) if known else 0)
    if known and max(known) > min(known):
        assert drawn[values.index(max(known))] == LEVELS[-1]
        assert drawn[values.index(min(known))] == LEVELS[0]


def test_bars_are_in_proportion_and_what_is_little_is_still_seen() -> None:
    assert (bar(1, 1, 8), bar(1, 2, 8), bar(0.0001, 1, 8), bar(0, 1, 8)) == (
        "████████", "████", "▏", "",
    )  # fmt: skip


def test_a_figure_is_said_in_its_unit() -> None:
    told = [said(*one) for one in (
        ("cost_usd", 0.00042), ("total_p50_s", 75.0), ("items_per_s", 12.5), ("failed", 1200.0),
        ("cost_usd", None),
    )]  # fmt: skip
    assert told == ["$0.00042", "1m15s", "12.5/s", "1,200", ""]


def test_a_cost_over_time_says_what_it_leaves_out() -> None:
    rows = [
        {"attempts": 9, "priced": 9, "spend_usd": 0.0},
        {"attempts": 1, "priced": 0, "spend_usd": 0.2},
    ]
    told = list(left_out(rows, "cost_usd"))
    assert told[0].startswith("1 of 10 attempts has no price: their slot time and what")
    assert "spend_usd" in told[1]
    assert "idle" in told[2]
    assert list(left_out(rows[:1], "cost_per_item_usd")) == told[2:]
    assert list(left_out(rows, "spend_usd")) == []
