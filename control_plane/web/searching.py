"""What the page of search was asked, as its address says it, and the addresses near it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlencode

from control_plane.clock import moment
from control_plane.web.port import Question

DAY_S: Final = 86_400.0
WHENS: Final = (
    ("", "any time"), ("1", "the last hour"), ("24", "the last day"), ("168", "the last week"),
    ("720", "the last month"),
)  # fmt: skip
FACETS: Final = ("kind", "playbook", "step", "state", "hardware")
NARROWS: Final = (*FACETS, "hours", "since", "until")


@dataclass(frozen=True, slots=True)
class Wanted:
    """The words, and what to keep to; ``since`` and ``until`` are days or times in UTC."""

    q: str = ""
    kind: str = ""
    playbook: str = ""
    step: str = ""
    state: str = ""
    hardware: str = ""
    hours: str = ""
    since: str = ""
    until: str = ""
    like: str = ""
    causes: bool = False

    def question(self, now: float) -> Question:
        """Return what is asked of the record; a day given as the end counts whole.

        Raises:
            ValueError: a time that it keeps to is none, or ends before it begins.
        """
        since = now - _hours(self.hours) * 3600 if self.hours else None
        since = moment(self.since) if self.since else since
        until = moment(self.until) if self.until else None
        if until is not None and "T" not in self.until and " " not in self.until.strip():
            until += DAY_S
        if since is not None and until is not None and since >= until:
            raise ValueError(f"{self.since or 'the time asked for'} is not before {self.until}")
        return Question(
            self.q, self.kind, self.playbook, self.state, step=self.step, like=self.like,
            hardware=self.hardware, since=since, until=until,
        )  # fmt: skip

    def address(self, **changed: Any) -> str:
        """Return the address of the same search with something changed; "" takes it out."""
        other = replace(self, **changed)
        told = {name: getattr(other, name) for name in ("q", "like", *NARROWS)}
        given = {name: value for name, value in told.items() if value}
        if other.causes:
            given["causes"] = "true"
        return f"/search?{urlencode(given)}" if given else "/search"

    @property
    def kept(self) -> list[tuple[str, str, str]]:
        """What it keeps to: the name, the value, and the address without it."""
        whens = dict(WHENS)
        return [
            (name, whens.get(value, value) if name == "hours" else value,
             self.address(**{name: ""}))
            for name in NARROWS if (value := getattr(self, name))
        ]  # fmt: skip


def _hours(text: str) -> float:
    try:
        hours = float(text)
    except ValueError:
        hours = 0.0
    if not 0 < hours <= 10 * 366 * 24:
        raise ValueError(f"hours is a number above 0, not {text!r}")
    return hours
