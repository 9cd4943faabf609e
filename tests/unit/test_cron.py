"""Cron text means what cron means by it, daylight saving included."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.cron import Cron, CronFault

BERLIN = ZoneInfo("Europe/Berlin")
TEXTS = ["* * * * *", "*/15 * * * *", "0 0 * * 0", "30 2 * * *", "0 0 13 * 5", "7 */3 1 * *"]


def at(text: str, zone: ZoneInfo | None = None) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone or UTC).timestamp()


def days(times: list[float]) -> list[str]:
    return [datetime.fromtimestamp(t, UTC).strftime("%a %Y-%m-%d %H:%M") for t in times]


@pytest.mark.parametrize(
    ("text", "after", "expected"),
    [
        ("0 0 * * 0", "2026-11-24", ["Sun 2026-11-29 00:00", "Sun 2026-12-06 00:00"]),
        ("0 0 13 * 5", "2026-11-24", ["Fri 2026-11-27 00:00", "Fri 2026-12-04 00:00"]),
        ("*/20 8 * * *", "2026-11-24T08:10", ["Tue 2026-11-24 08:20", "Tue 2026-11-24 08:40"]),
        ("0 12 29 2 *", "2026-11-24", ["Tue 2028-02-29 12:00", "Sun 2032-02-29 12:00"]),
    ],
)
def test_the_next_times_are_crons(text: str, after: str, expected: list[str]) -> None:
    assert days(Cron(text).after(at(after), 2)) == expected


def test_the_hour_that_does_not_exist_moves_on_and_the_one_twice_there_fires_once() -> None:
    cron = Cron("30 2 * * *", "Europe/Berlin")
    spring = [
        datetime.fromtimestamp(t, BERLIN) for t in cron.after(at("2026-03-28T12", BERLIN), 2)
    ]
    assert [t.strftime("%d %H:%M") for t in spring] == ["29 03:00", "30 02:30"]
    autumn = [
        datetime.fromtimestamp(t, BERLIN) for t in cron.after(at("2026-10-24T12", BERLIN), 2)
    ]
    assert [t.strftime("%d %H:%M") for t in autumn] == ["25 02:30", "26 02:30"]


@given(
    st.sampled_from(TEXTS),
    st.sampled_from(["UTC", "Europe/Berlin"]),
    st.floats(min_value=1e9, max_value=2e9),
)
def test_the_latest_time_is_the_one_whose_next_is_ahead(text: str, zone: str, now: float) -> None:
    cron = Cron(text, zone)
    latest = cron.latest(now)
    assert latest is not None
    assert latest <= now
    assert cron.after(latest, 1)[0] > now


@given(
    st.sampled_from(TEXTS),
    st.floats(min_value=1e9, max_value=2e9),
    st.floats(min_value=0, max_value=1e6),
)
def test_what_was_missed_is_the_tail_of_what_was_due(text: str, since: float, long: float) -> None:
    cron = Cron(text)
    due = [t for t in cron.after(since, 60) if t <= since + long]
    if len(due) < 60:
        assert cron.missed(since, since + long, limit=3) == due[-3:]


@pytest.mark.parametrize(
    ("text", "zone", "told"),
    [
        ("61 * * * *", "UTC", "61"),
        ("* * * *", "UTC", "five fields"),
        ("* * * * * *", "UTC", "five fields"),
        ("whenever", "UTC", "five fields"),
        ("0 0 30 2 *", "UTC", "0 0 30 2"),
        ("* * * * *", "Mars/Olympus", "time zone 'Mars/Olympus'"),
        ("* * * * *", "../etc/passwd", "time zone"),
    ],
)
def test_what_cannot_be_read_is_refused_at_once(text: str, zone: str, told: str) -> None:
    with pytest.raises(CronFault, match=told):
        Cron(text, zone)


def test_the_times_are_said_in_words() -> None:
    assert Cron("*/15 * * * *").text == "Every 15 minutes"
