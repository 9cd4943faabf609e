"""Clocks of places, and times and windows to read on them."""

from __future__ import annotations

from datetime import datetime

from hypothesis import strategies as st

ZONES = (
    "UTC", "Europe/Berlin", "America/New_York", "America/St_Johns", "Asia/Kathmandu",
    "Australia/Lord_Howe", "Pacific/Apia", "America/Sao_Paulo",
)  # fmt: skip
WINDOWS = st.builds(
    lambda first, length: f"{first}-{(first + length) % 24 or 24}",
    st.integers(0, 23), st.integers(1, 23),
)  # fmt: skip
CHANGES = (
    "2026-03-29T01:00Z", "2026-10-25T01:00Z",  # Berlin
    "2026-03-08T07:00Z", "2026-11-01T06:00Z",  # New York
    "2026-04-04T15:00Z", "2026-10-03T15:30Z",  # Lord Howe, by half an hour
    "2011-12-30T10:00Z",  # Apia leaves out a day
)  # fmt: skip
"""When clocks are put forward or back."""
TIMES = st.one_of(
    st.floats(0, 4e9, allow_nan=False),
    st.builds(
        lambda change, off_s: datetime.fromisoformat(change).timestamp() + off_s,
        st.sampled_from(CHANGES), st.floats(-36 * 3600.0, 36 * 3600.0),
    ),
)  # fmt: skip
"""Any time, or one of the days around a change of the clock."""
