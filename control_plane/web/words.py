"""Numbers, times and names as the pages say them: short, with their unit, in UTC.

>>> seconds(0.0421), seconds(75), money(0.00042), change(-0.423), count(12000)
('42 ms', '1 min 15 s', '$0.00042', '42% less', '12,000')
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from runtime.engine.hardware import LOCAL

NOTHING: Final = "—"
MINUS: Final = "\N{MINUS SIGN}"
STATE_WORDS: Final = {
    "waiting": ("○", "waiting"),
    "running": ("▶", "running"),
    "held": ("◔", "waiting for hours"),
    "paused": ("❚❚", "paused"),
    "failing": ("▲", "failing"),
    "cancelling": ("▲", "cancelling"),
    "completed": ("✓", "completed"),
    "succeeded": ("✓", "succeeded"),
    "failed": ("✕", "failed"),
    "caught": ("↷", "failed, caught"),
    "cancelled": ("■", "cancelled"),
    "skipped": ("·", "not needed"),
    "timed_out": ("✕", "timed out"),
    "lost": ("?", "worker lost"),
    "draft": ("○", "draft"),
    "gated": ("○", "checked"),
    "blocked": ("✕", "blocked by policy"),
    "proposed": ("●", "needs review"),
    "approved": ("▶", "approved"),
    "scheduled": ("▶", "waiting to start"),
    "shadow": ("▶", "in shadow"),
    "canary": ("▶", "being tried"),
    "inconclusive": ("?", "cannot tell"),
    "watch": ("▶", "being watched"),
    "kept": ("✓", "kept"),
    "learned": ("✓", "learned"),
    "rolling_back": ("▲", "rolling back"),
    "rolled_back": ("↶", "rolled back"),
    "rollback_failed": ("✕", "rollback failed"),
    "rejected": ("✕", "rejected"),
    "superseded": ("·", "superseded"),
    "expired": ("·", "expired"),
    "stale": ("·", "stale"),
    "withdrawn": ("·", "withdrawn"),
    "discarded": ("·", "discarded"),
    "better": ("✓", "better"),
    "worse": ("✕", "worse"),
}
"""State → a sign and a word: what a state looks like without its colour."""

TONES: Final = {
    **dict.fromkeys(("completed", "succeeded", "kept", "learned", "better"), "good"),
    **dict.fromkeys(("failed", "timed_out", "lost", "blocked", "rejected", "worse"), "bad"),
    **dict.fromkeys(("rollback_failed", "failing"), "bad"),
    **dict.fromkeys(("paused", "cancelling", "caught", "rolling_back"), "care"),
    **dict.fromkeys(("rolled_back", "inconclusive", "proposed"), "care"),
    **dict.fromkeys(("running", "held", "approved", "scheduled", "shadow"), "live"),
    **dict.fromkeys(("canary", "watch"), "live"),
}


def sign(state: str) -> str:
    """Return the sign that stands for a state."""
    return STATE_WORDS.get(state, ("○", state))[0]


def state_word(state: str) -> str:
    """Return the words for a state."""
    return STATE_WORDS.get(state, ("○", state.replace("_", " ")))[1]


def tone(state: str) -> str:
    """Return ``good``, ``bad``, ``care``, ``live`` or ``quiet``."""
    return TONES.get(state, "quiet")


def seconds(value: float | None) -> str:
    """Say a duration with two or three figures."""
    if value is None:
        return NOTHING
    if value < 0:
        return MINUS + seconds(-value)
    if value < 0.0995:
        return f"{value * 1000:.0f} ms" if value >= 0.01 else f"{value * 1000:.1f} ms"
    if value < 59.5:
        return f"{value:.2f} s" if value < 9.995 else f"{value:.1f} s"
    return _long(round(value))


def _long(value: int) -> str:
    minutes, rest = divmod(value, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{hours // 24} d {hours % 24} h" if hours % 24 else f"{hours // 24} d"


def money(value: float | None) -> str:
    """Say dollars, with as many places as it takes to see two figures."""
    if value is None:
        return NOTHING
    if value == 0 or value >= 1:
        return f"${value:,.2f}"
    if 0 < value < 0.000001:
        return "under $0.000001"
    places = 2
    while places < 8 and round(value, places) * 10 ** (places - 1) < 1:
        places += 1
    return f"${value:.{places}f}"


def percent(value: float | None, places: int = 0) -> str:
    """Say a relative change or a share."""
    if value is None:
        return NOTHING
    return f"{value * 100:.{places}f}%".replace("-", MINUS)


def known(value: float) -> str:
    """Say a share of which all is all: what is not whole is never said to be.

    >>> known(1.0), known(0.9996), known(0.5)
    ('100%', '99%', '50%')
    """
    return f"{int(value * 100)}%" if value < 1 else "100%"


def classes(slots: Mapping[str, int | None]) -> str:
    """Say the classes of workers that there are, with their slots where those are told.

    >>> classes({"gpu-l4": 1, "big": 2}), classes({})
    ('big (2 slots), gpu-l4 (1 slot), local', 'local')
    """
    told = {LOCAL: None, **slots}
    return ", ".join(
        name if n is None else f"{name} ({plural(n, 'slot')})" for name, n in sorted(told.items())
    )


def change(value: float | None) -> str:
    """Say a relative change with its direction: ``38% less``."""
    if value is None:
        return NOTHING
    if abs(value) < 0.0005:
        return "no change"
    return f"{abs(value) * 100:.0f}% {'less' if value < 0 else 'more'}"


def moved(factor: float) -> str:
    """Say by how much a level of seconds went up or down.

    >>> moved(1.5), moved(0.5)
    ('1.50× slower', '2.00× faster')
    """
    return f"{factor:.2f}× slower" if factor >= 1 else f"{1 / factor:.2f}× faster"


def _round(gap: float) -> int:
    """Leave out what nobody asks of the past: seconds past minutes, minutes past hours."""
    unit = 60 if gap < 3600 else 3600
    return int(gap // unit * unit)


def count(value: float | None) -> str:
    """Say a number of things, with commas."""
    return NOTHING if value is None else f"{value:,.0f}"


def size(value: float | None) -> str:
    """Say a number of bytes."""
    if value is None:
        return NOTHING
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


def number(value: float) -> str:
    """Say any number as briefly as it stays true to four figures."""
    if isinstance(value, int) or (value == int(value) and abs(value) < 1e15):
        return f"{int(value):,}".replace("-", MINUS)
    return f"{value:.4g}".replace("-", MINUS)


def clock_time(at: float | None) -> str:
    """Say a moment in UTC, as a person notes it."""
    return NOTHING if at is None else datetime.fromtimestamp(at, UTC).strftime("%d %b %H:%M:%S")


def until(due: float) -> str:
    """Say what a run does that waits for hours of the day to open.

    >>> until(79_200.0)
    'waiting until 01 Jan 22:00 UTC'
    """
    return f"waiting until {datetime.fromtimestamp(due, UTC):%d %b %H:%M} UTC"


def iso(at: float | None) -> str:
    """Say a moment in UTC in ISO 8601, to the millisecond."""
    if at is None:
        return ""
    text = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def ago(at: float | None, now: float) -> str:
    """Say how long ago something was."""
    if at is None:
        return NOTHING
    gap = now - at
    if gap < 2:
        return "just now"
    return f"{gap:.0f} s ago" if gap < 59.5 else f"{_long(_round(gap))} ago"


def short(run: str) -> str:
    """Shorten a run's id to what tells runs apart: its last eight characters."""
    return run[-8:]


def plural(n: int, noun: str) -> str:
    """Say a number of a noun.

    >>> plural(1, "batch"), plural(2, "batch"), plural(3, "try"), plural(4000, "run")
    ('1 batch', '2 batches', '3 tries', '4,000 runs')
    """
    if n == 1:
        return f"1 {noun}"
    if noun.endswith(("ch", "sh", "s", "x")):
        return f"{n:,} {noun}es"
    return f"{n:,} {noun[:-1]}ies" if noun.endswith("y") else f"{n:,} {noun}s"


def first_line(value: str, most: int = 160) -> str:
    """Return the first line of a text, shortened."""
    line = value.strip().partition("\n")[0]
    return line if len(line) <= most else line[: most - 1] + "…"
