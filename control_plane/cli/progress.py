"""A run on a terminal while it goes: one bar a step, on stderr.

Fed with events and with what attempts say of their progress, by the engine beside it or
by a server's stream. Where no bars are welcome (no terminal, NO_COLOR) there is a line of
progress now and then.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from control_plane.cli.talk import Row, colourful, say
from control_plane.clock import local

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

Read: TypeAlias = Callable[[str, Any], Any]
"""Returns a field of an event, or the default."""
QUIET_S: Final = 5.0
"""How long a step's progress is not told again where lines are written, and no bars drawn."""


class Watcher(Protocol):
    """Who looks at a run while it goes."""

    def take(self, kind: str, read: Read) -> None:
        """Take one event into account: its type, and how to read it."""

    def said(self, told: Row) -> None:
        """Take into account how far a running attempt says it is."""


class Bars:
    """The bars of one run's steps: what is done, with what running attempts have of theirs."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}
        self._done: dict[str, float] = {}
        self._items: dict[str, int] = {}
        self._shares: dict[str, dict[str, float]] = {}

    def take(self, kind: str, read: Read) -> None:
        """Take one event into account."""
        step, attempt = read("step", ""), read("attempt", "")
        if kind == "each.cut":
            task = self._task(step)
            items = read("items", None)
            if items is not None:
                self._progress.update(task, total=int(items["count"]), said="")
        elif kind == "attempt.scheduled":
            self._items[attempt] = int(read("items", 1))
            task = self._task(step)
            if read("batch", -1) < 0:
                self._progress.update(task, total=1, said="")
        elif kind == "attempt.finished":
            done = self._items.pop(attempt, 0)
            self._shares.get(step, {}).pop(attempt, None)
            if read("outcome", "") == "succeeded":
                self._done[step] = self._done.get(step, 0) + done
            self._draw(step, "")
        elif kind == "step.held":
            self._draw(step, hours_text(_held(read)))

    def said(self, told: Row) -> None:
        """A bar moves within what is one attempt's, and says what the attempt says."""
        step, attempt = told["step"], told["attempt"]
        if attempt not in self._items:
            return  # it has ended since
        if told["done"] is not None and told["total"]:
            share = min(max(told["done"] / told["total"], 0.0), 1.0)
            self._shares.setdefault(step, {})[attempt] = share * self._items[attempt]
        self._draw(step, progress_text(told))

    def _draw(self, step: str, text: str) -> None:
        done = self._done.get(step, 0) + sum(self._shares.get(step, {}).values())
        self._progress.update(self._task(step), completed=done, said=text)

    def _task(self, step: str) -> TaskID:
        if step not in self._tasks:
            self._tasks[step] = self._progress.add_task(step, total=None, said="")
        return self._tasks[step]


class Lines:
    """A run where no bars are welcome: a line of progress now and then, nothing else."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told: dict[str, tuple[float, str]] = {}

    def take(self, kind: str, read: Read) -> None:
        """Of events only a wait for hours of the day is told, which may be long."""
        if kind == "step.held":
            say(f"{read('step', '')}: {hours_text(_held(read))}")

    def said(self, told: Row) -> None:
        """A step is told of at most every ``QUIET_S``, and only what is new."""
        text, step, now = progress_text(told), told["step"], self._clock()
        at, last = self._told.get(step, (now - QUIET_S, ""))
        if text != last and now - at >= QUIET_S:
            self._told[step] = (now, text)
            say(f"{step}: {text}")


def _held(read: Read) -> Row:
    return {"due": read("due", 0.0), "hours": read("hours", ""), "zone": read("zone", "UTC")}


def hours_text(held: Row) -> str:
    """What a step waits for that is held until its hours of the day."""
    return f"waits for {local(held['due'])} (start.hours {held['hours']} {held['zone']})"


def progress_text(said: Row) -> str:
    """How far an attempt is, in a few words.

    >>> progress_text({"done": 3.0, "total": 10.0, "note": "rows"})
    '3 of 10, rows'
    """
    done, total = said["done"], said["total"]
    far = "" if done is None else f"{done:g}" if total is None else f"{done:g} of {total:g}"
    return ", ".join(filter(None, [far, said["note"]])) or "is at work"


@contextmanager
def watcher() -> Iterator[Watcher]:
    """Give who looks at a run; on a terminal it draws bars while the block lasts."""
    if not colourful():
        yield Lines()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (TextColumn("{task.description:<16}"), BarColumn(), MofNCompleteColumn(),
               TimeElapsedColumn(), TextColumn("{task.fields[said]}", markup=False))  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield Bars(progress)


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """Give what is told how many of how many are done; a bar, or a line every tenth."""
    if not colourful():
        told: set[int] = set()

        def tell(done: int, total: int) -> None:
            tenth = 10 * done // max(total, 1)
            if tenth not in told:
                told.add(tenth)
                say(f"{done} of {total} {what} done")

        yield tell
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task(what)
        yield lambda done, total: progress.update(bar, completed=done, total=total)
