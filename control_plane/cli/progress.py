"""A run on a terminal while it goes: one bar a step, on stderr.

Fed with events, from the engine beside it or from a server's stream. Where nobody looks
(no terminal, NO_COLOR) it draws nothing and costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from control_plane.cli.talk import colourful, say

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

Read: TypeAlias = Callable[[str, Any], Any]
"""Returns a field of an event, or the default."""
Take: TypeAlias = Callable[[str, Read], None]
"""Takes an event: its type, and how to read it."""


class Bars:
    """The bars of one run's steps."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}
        self._items: dict[str, int] = {}

    def take(self, kind: str, read: Read) -> None:
        """Take one event into account."""
        if kind == "each.cut":
            task = self._task(read("step", ""))
            items = read("items", None)
            if items is not None:
                self._progress.update(task, total=int(items["count"]))
        elif kind == "attempt.scheduled":
            self._items[read("attempt", "")] = int(read("items", 1))
            task = self._task(read("step", ""))
            if read("batch", -1) < 0:
                self._progress.update(task, total=1)
        elif kind == "attempt.finished":
            done = self._items.pop(read("attempt", ""), 0)
            if read("outcome", "") == "succeeded":
                self._progress.update(self._task(read("step", "")), advance=done)

    def _task(self, step: str) -> TaskID:
        if step not in self._tasks:
            self._tasks[step] = self._progress.add_task(step, total=None)
        return self._tasks[step]


@contextmanager
def bars() -> Iterator[Take]:
    """Give what takes the events of a run; draws bars while the block lasts."""
    if not colourful():
        yield lambda kind, read: None
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
               TimeElapsedColumn())  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield Bars(progress).take


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
