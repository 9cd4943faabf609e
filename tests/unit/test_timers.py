"""One wake-up serves every run that has something due."""

from __future__ import annotations

import asyncio

import pytest

from runtime.engine import timers as clockwork
from runtime.engine.timers import Timers


def test_a_run_that_fails_when_it_is_due_keeps_no_other_from_its_time() -> None:
    async def story() -> list[str]:
        loop, woken, over = asyncio.get_running_loop(), list[str](), asyncio.Event()

        def due(run: str) -> None:
            woken.append(run)
            if run == "later":
                over.set()
            if run == "fails":
                raise ZeroDivisionError(run)

        timers = Timers(loop, loop.time, due)
        now = loop.time()
        for run, at in (("fails", now), ("beside", now), ("later", now + 0.01)):
            timers.at(at, run)
        await asyncio.wait_for(over.wait(), 240)
        return woken

    assert sorted(asyncio.run(story())) == ["beside", "fails", "later"]


def test_what_comes_due_while_the_machine_sleeps_is_noticed_soon_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The loop's clock has not moved then; the engine's has."""
    monkeypatch.setattr(clockwork, "LOOK_S", 0.01)

    async def story() -> list[str]:
        loop, woken, over = asyncio.get_running_loop(), list[str](), asyncio.Event()
        slept_s = [0.0]

        def due(run: str) -> None:
            woken.append(run)
            if run == "tonight":
                over.set()

        timers = Timers(loop, lambda: loop.time() + slept_s[0], due)
        timers.at(loop.time() + 36_000, "tonight")
        timers.at(loop.time() + 72_000, "tomorrow")
        loop.call_soon(slept_s.__setitem__, 0, 36_001.0)
        await asyncio.wait_for(over.wait(), 240)
        timers.close()
        return woken

    assert asyncio.run(story()) == ["tonight"]
