"""Clocks of places, and times and windows to read on them."""

from __future__ import annotations

from hypothesis import strategies as st

ZONES = (
    "UTC", "Europe/Berlin", "America/New_York", "America/St_Johns", "Asia/Kathmandu",
    "Australia/Lord_Howe", "Pacific/Apia", "America/Sao_Paulo",
)  # fmt: skip
WINDOWS = st.builds(
    lambda first, length: f"{first}-{(first + length) % 24 or 24}",
    st.integers(0, 23), st.integers(1, 23),
)  # fmt: skip
TIMES = st.floats(0, 4e9, allow_nan=False)
