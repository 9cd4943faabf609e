"""Hours of the day: whatever the zone and whatever is done to its clock, a window opens."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from clocks import TIMES, WINDOWS, ZONES
from hypothesis import given
from hypothesis import strategies as st

from runtime.playbook.hours import ANY, canonical, closes, of_day, opens, windows
from runtime.playbook.zones import meant, zone_of


def berlin(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Europe/Berlin")).timestamp()


@given(WINDOWS, TIMES, st.sampled_from(ZONES))
def test_a_window_opens_within_its_hours_and_within_two_days(
    hours: str, at: float, zone: str
) -> None:
    found = opens(hours, at, ZoneInfo(zone))
    assert datetime.fromtimestamp(found, ZoneInfo(zone)).hour in of_day(hours)
    assert at <= found <= at + 49 * 3600


@given(WINDOWS, TIMES, st.sampled_from(ZONES))
def test_what_opens_is_the_first_that_opens(hours: str, at: float, zone: str) -> None:
    found, name = opens(hours, at, ZoneInfo(zone)), ZoneInfo(zone)
    between = range(int((found - at) // 900))
    assert not any(
        datetime.fromtimestamp(at + 900.0 * k, name).hour in of_day(hours) for k in between
    )


@given(WINDOWS, TIMES, st.sampled_from(ZONES))
def test_a_window_closes_as_soon_as_it_is_no_longer_open(hours: str, at: float, zone: str) -> None:
    place = ZoneInfo(zone)
    found = closes(hours, at, place)
    assert datetime.fromtimestamp(found, place).hour not in of_day(hours)
    between = (at + 900.0 * k for k in range(int((found - at) // 900)))
    assert all(opens(hours, when, place) == when for when in between)


@given(WINDOWS)
def test_hours_as_they_are_compared_stay_as_they_are(hours: str) -> None:
    assert canonical(hours) == hours
    assert canonical("any") == ANY


@pytest.mark.parametrize("text", ["", "22", "6-6", "0-24", "24-6", "8-25", "8:30-9", "22-6 UTC"])
def test_what_is_no_window_is_none(text: str) -> None:
    assert canonical(text) is None


@pytest.mark.parametrize("length", [1, 2, 3, 4, 6, 8, 12])
def test_a_day_is_made_of_windows_of_one_length(length: int) -> None:
    found = [hour for window in windows(length) for hour in sorted(of_day(window))]
    assert found == list(range(24))
    assert all(canonical(window) == window for window in windows(length))


@pytest.mark.parametrize(
    ("hours", "asked", "opened"),
    [
        ("22-6", "2026-03-28T12:00", "2026-03-28T22:00"),
        ("2-3", "2026-03-29T01:00", "2026-03-30T02:00"),  # that night has no such hour
        ("3-4", "2026-03-29T01:59", "2026-03-29T03:00"),  # a minute later by the sun
        ("3-4", "2026-10-25T01:00", "2026-10-25T03:00"),  # three hours later by the sun
    ],
)
def test_the_clock_of_the_place_tells_the_hours(hours: str, asked: str, opened: str) -> None:
    assert opens(hours, berlin(asked), ZoneInfo("Europe/Berlin")) == berlin(opened)


@pytest.mark.parametrize(("night", "hours_long"), [("03-28", 7), ("06-28", 8), ("10-24", 9)])
def test_a_night_is_as_long_as_it_is_where_the_clock_is_changed_in_it(
    night: str, hours_long: int
) -> None:
    zone, first = ZoneInfo("Europe/Berlin"), berlin(f"2026-{night}T18:00")
    quarters = [first + 900.0 * k for k in range(4 * 20)]
    assert sum(opens("22-6", at, zone) == at for at in quarters) == 4 * hours_long


def test_zones_are_known_on_a_machine_that_has_no_data_of_them() -> None:
    zoneinfo.reset_tzpath(to=())
    try:
        assert ZoneInfo.no_cache("Europe/Berlin").key == "Europe/Berlin"
    finally:
        zoneinfo.reset_tzpath()


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        ("Europe/Berlyn", "Europe/Berlin"), ("europe/berlin", "Europe/Berlin"),
        ("New York", "America/New_York"), ("Kolkatta", "Asia/Kolkata"), ("utc", "UTC"),
    ],
)  # fmt: skip
def test_a_zone_that_is_none_is_answered_with_the_one_that_was_meant(text: str, zone: str) -> None:
    assert meant(text) == f"did you mean {zone}?"
    assert zone_of(zone) is not None


def test_utc_is_known_without_data_of_time_zones_and_what_is_no_zone_is_none() -> None:
    assert zone_of("UTC") is UTC
    assert (zone_of("Nowhere/Else"), zone_of("../etc"), zone_of("")) == (None, None, None)


def test_an_hour_that_comes_twice_is_open_twice() -> None:
    first = berlin("2026-10-25T02:10")
    assert opens("2-3", first, ZoneInfo("Europe/Berlin")) == first
    assert opens("2-3", first + 3600, ZoneInfo("Europe/Berlin")) == first + 3600
    assert opens("3-4", first, ZoneInfo("Europe/Berlin")) == berlin("2026-10-25T03:00")
