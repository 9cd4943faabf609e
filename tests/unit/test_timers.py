"""One wake-up serves every run that has something due."""

from __future__ import annotations

import asyncio

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
        await asyncio.wait_for(over.wait(), 30)
        return woken

    assert sorted(asyncio.run(story())) == ["beside", "fails", "later"]
