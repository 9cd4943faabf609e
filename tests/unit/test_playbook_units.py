"""Durations, shares and sizes are read as people write them."""

from __future__ import annotations

import pytest

from runtime.playbook.units import duration_s, share, size_bytes


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("30s", 30.0),
        ("1.5s", 1.5),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("2d", 172800.0),
        ("1d2h3m4s5ms", 93784.005),
        ("", None),
        ("30", None),
        ("s", None),
        ("-5s", None),
        ("5 s", None),
        ("5s3m", None),
        ("5x", None),
        ("1" * 50 + "s", None),
    ],
)
def test_a_duration_has_units_from_long_to_short(text: str, seconds: float | None) -> None:
    assert duration_s(text) == seconds


@pytest.mark.parametrize(
    ("text", "value"),
    [("1%", 0.01), ("99.5%", 0.995), ("0%", 0.0), ("100 %", 1.0), ("101%", None), ("1", None)],
)
def test_a_share_is_a_percentage_of_at_most_the_whole(text: str, value: float | None) -> None:
    assert share(text) == value


@pytest.mark.parametrize(
    ("text", "size"),
    [("64MB", 64 << 20), ("512 MB", 512 << 20), ("1.5GB", 3 << 29), ("1kB", 1024),
     ("2TB", 2 << 40), ("0MB", 0), ("64", None), ("64mb", None), ("-1MB", None), ("MB", None)],
)  # fmt: skip
def test_a_size_has_one_unit(text: str, size: int | None) -> None:
    assert size_bytes(text) == size
