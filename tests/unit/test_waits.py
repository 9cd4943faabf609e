"""A run waits for hours of the day when nothing else of it is under way, and says until when."""

from __future__ import annotations

from itertools import islice
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from control_plane import waits
from control_plane.runs import Runs
from control_plane.waits import Waits, waits_of
from driven import OK, Driver, World, failed, step
from runtime.journal.memory import MemoryJournal
from runtime.journal.port import Append
from runtime.playbook.model import Each, Join, Playbook, Retry, Start
from runtime.run.decide import Decision
from runtime.run.events import (
    AttemptScheduled,
    Recorded,
    RunPaused,
    RunStarted,
    RunSubmitted,
    StepHeld,
)

H = 3600.0
HELD = StepHeld("dear", 22 * H, "22-6", "c", zone="Europe/Berlin")
TRIED = AttemptScheduled("r/other/-1/1", "other", 1, "c", "k", args={"tool": {"kind": "python"}})


def book() -> World:
    night, morning = Start("22-6", 24 * H), Start("6-8", 24 * H)
    steps = (
        step("go", "single", "many", "plain", "asks"),
        step("single", "end", start=night, retry=Retry(2)),
        step("many", "end", start=morning, each=Each("{{ x }}", 2, 2, 1.0), retry=Retry(2)),
        step("plain", "end", retry=Retry(3)),
        step("asks", "end", tool={"kind": "signal", "name": "s"}),
        step("end", join=Join()),
    )
    return World(Playbook("p", steps), items_of={"many": 5}, at=12 * H)


def truth(d: Driver) -> tuple[str, float] | None:
    """What the run's state says: all that is open waits for hours, or for a signal."""
    pauses = d.state.pauses
    if any(not t.waits_here for t in d.state.attempts.values()):
        return None
    if d.state.status != "running" or not all(p.is_held for p in pauses.values()):
        return None
    return min(((p.at, name) for (name, _), p in pauses.items()), default=None)


def told(d: Driver) -> Waits | None:
    return waits_of(Recorded(1, i, "run/r", i, 1.0, e) for i, e in enumerate(d.log, 1))


@given(st.data())
def test_what_the_events_tell_is_what_the_state_of_the_run_holds(data: Any) -> None:
    d = Driver(book())
    for _ in range(40):
        found, expected = told(d), truth(d)
        if d.state.status == "running":
            assert (None if found is None else (found.due, found.step)) == expected
        flying = [t for t in d.flying() if not t.waits_here]
        if d.state.ended or data.draw(st.integers(0, 3)) == 0 or not flying:
            d.world.at += data.draw(st.sampled_from([60.0, 3 * H]))
            d.act(Decision.due)
        else:
            d.end(data.draw(st.sampled_from(flying)), data.draw(st.sampled_from([OK, failed()])))


def journal_of(*runs: tuple[Any, ...]) -> MemoryJournal:
    journal = MemoryJournal()
    for name, events in enumerate(runs):
        first = (RunSubmitted("p" if name % 2 else "q", "v", 1, {}, "me"), RunStarted())
        journal.append([Append(f"run/{name:032}", 0, 1.0, (*first, *events))])
    return journal


def test_runs_that_wait_are_listed_by_that_word_and_say_for_what() -> None:
    runs = Runs(journal_of((HELD,), (), (HELD, TRIED), (HELD,), (HELD, RunPaused("me"))))
    found = runs.page(state="waiting")
    assert [int(line.run) for line in found] == [3, 0]
    expected = Waits("dear", "22-6", "Europe/Berlin", 22 * H)
    assert {line.state for line in found} == {"running"}
    assert [line.waits for line in runs.page()] == [None, expected, None, None, expected]
    assert [int(line.run) for line in runs.page(state="waiting", playbook="q")] == [0]
    assert [int(line.run) for line in runs.page(state="waiting", before=found[0].run)] == [0]
    assert runs.get(found[0].run).waits == runs.line(found[0].run).waits == expected


def test_what_waits_is_found_beyond_a_page_of_what_does_not() -> None:
    journal = journal_of((HELD,), *([()] * 1200), (HELD,))
    found = islice(waits.rows(journal), 5)
    assert [int(row.run) for row, _ in found] == [1201, 0]
