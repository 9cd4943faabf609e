"""A run that is followed on a terminal: what its bars and its lines say of progress."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.progress import Progress

from control_plane.cli.progress import Bars, Lines
from control_plane.clock import local


def told(
    done: float | None, total: float | None, note: str = "", attempt: str = "r/copy/-1/1"
) -> dict[str, object]:
    return {"step": "copy", "attempt": attempt, "done": done, "total": total, "note": note}


def bars() -> tuple[Bars, Progress]:
    progress = Progress(console=Console(file=io.StringIO()))
    return Bars(progress), progress


def take(bars: Bars, kind: str, **body: object) -> None:
    bars.take(kind, {"step": "copy", "attempt": "r/copy/-1/1", **body}.get)


def test_a_bar_moves_with_what_its_attempt_says_and_is_full_at_its_end() -> None:
    looking, progress = bars()
    take(looking, "attempt.scheduled", items=1, batch=-1)
    looking.said(told(30, 120, "rows"))
    task = progress.tasks[0]
    assert (task.completed, task.total, task.fields["said"]) == (0.25, 1, "30 of 120, rows")
    take(looking, "attempt.finished", outcome="succeeded")
    assert (task.completed, task.fields["said"]) == (1, "")


def test_what_a_failed_attempt_had_done_is_taken_off_its_bar() -> None:
    looking, progress = bars()
    take(looking, "attempt.scheduled", items=1, batch=-1)
    looking.said(told(90, 120))
    take(looking, "attempt.finished", outcome="failed")
    looking.said(told(100, 120))  # it was on its way when the attempt ended
    assert progress.tasks[0].completed == 0


def test_batches_that_run_count_for_their_share_of_items() -> None:
    looking, progress = bars()
    take(looking, "each.cut", items={"count": 40})
    for batch in (0, 1):
        take(looking, "attempt.scheduled", attempt=f"r/copy/{batch}/1", items=10, batch=batch)
    take(looking, "attempt.finished", attempt="r/copy/0/1", outcome="succeeded")
    looking.said(told(1, 2, attempt="r/copy/1/1"))
    assert (progress.tasks[0].completed, progress.tasks[0].total) == (15, 40)


def test_where_no_bars_are_welcome_a_step_is_told_of_now_and_then(
    capsys: pytest.CaptureFixture[str],
) -> None:
    now = [0.0]
    lines = Lines(lambda: now[0])
    for at, done in ((0.0, 1), (1.0, 2), (6.0, 3), (20.0, 3)):
        now[0] = at
        lines.said(told(done, 9))
    assert capsys.readouterr().err == "copy: 1 of 9\ncopy: 3 of 9\n"


def test_a_wait_for_hours_is_told_at_once_on_a_bar_until_the_step_begins(
    capsys: pytest.CaptureFixture[str],
) -> None:
    held = {"step": "copy", "due": 79_200.0, "hours": "3-5", "zone": "Europe/Berlin"}
    said = f"waits for {local(79_200.0)} (start.hours 3-5 Europe/Berlin)"
    Lines().take("step.held", held.get)
    assert capsys.readouterr().err == f"copy: {said}\n"
    looking, progress = bars()
    looking.take("step.held", held.get)
    assert (progress.tasks[0].total, progress.tasks[0].fields["said"]) == (None, said)
    take(looking, "attempt.scheduled", items=1, batch=-1)
    assert (progress.tasks[0].total, progress.tasks[0].fields["said"]) == (1, "")
