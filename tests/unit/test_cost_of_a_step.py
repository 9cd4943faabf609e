"""What a step costs is counted in calls, which are the same on every machine, however busy.

A feature that no step of a playbook uses must not add to what each of its steps costs. Whoever
has to raise a bound here says so in docs/reference/runtime-results.md.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from types import FrameType

import pytest

from driven import OK, Driver, World, mapped, step, world
from runtime.run.decide import Decision
from runtime.run.evolve import evolve
from runtime.run.state import new_run

PURE = ("/runtime/run/", "/runtime/net/", "/runtime/ids.py")
ASKED = ("/runtime/run/layers.py", "/runtime/run/route.py")
"""What the test's edge asks each time and the engine's only once."""


def calls(work: Callable[[], object]) -> int:
    """How many functions of the pure middle are called."""
    found = 0

    def heard(frame: FrameType, what: str, _: object) -> None:
        nonlocal found
        name = frame.f_code.co_filename
        ours = any(part in name for part in PURE) and not name.endswith(ASKED)
        found += what == "call" and ours

    before = sys.getprofile()
    sys.setprofile(heard)
    try:
        work()
    finally:
        sys.setprofile(before)
    return found


def to_decide(driver: Driver) -> int:
    """The calls that it takes to decide on the end of the try that flies first."""
    ended = replace(OK, attempt=driver.flying()[0].attempt)
    decision = Decision(driver.state, driver.world.playbook, driver.world)
    count = calls(lambda: decision.ended(ended))
    driver.take(decision.events, into_state=False)
    return count


def chain(length: int) -> World:
    names = [f"s{n}" for n in range(length)]
    return world(*(step(a, b) for a, b in pairwise(names)), step(names[-1]))


def third_of(made: World) -> int:
    driver = Driver(made)
    return [to_decide(driver) for _ in range(3)][-1]


@pytest.mark.parametrize(
    ("made", "most"), [(chain(5), 66), (mapped(40, 1, 4), 45)], ids=["chain", "each"]
)
def test_deciding_on_a_plain_step_takes_few_calls(made: World, most: int) -> None:
    assert third_of(made) <= most


@pytest.mark.parametrize(
    ("small", "large"),
    [(chain(5), chain(100)), (mapped(40, 1, 4), mapped(4000, 1, 4))],
    ids=["chain", "each"],
)
def test_a_step_costs_the_same_however_much_there_is_to_do(small: World, large: World) -> None:
    assert third_of(small) == third_of(large)


def test_folding_an_event_takes_few_calls() -> None:
    driver = Driver(chain(20))
    driver.run_out()
    state = new_run("r", driver.net)

    def fold() -> None:
        for event in driver.log:
            evolve(state, event, 1.0)

    assert calls(fold) / len(driver.log) <= 14
