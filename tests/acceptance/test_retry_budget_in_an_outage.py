"""In an outage real workers make few tries more than there is work, over all runs together."""

from __future__ import annotations

import asyncio
from pathlib import Path

from runtime.data.folder import DataFolder
from runtime.engine.engine import Submit
from runtime.engine.local import open_local
from runtime.journal.port import Append
from runtime.playbook.bundle import load_text
from runtime.run.events import AttemptFinished, ExperimentEnded, ExperimentStarted
from runtime.run.replay import replay
from stories import until

BOOK = """
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: test/outage}
workload: {calls: {type: integer, default: 100}}
workflow:
  - step: ask
    each: {in: "{{ range(workload.calls) }}", batch: 1, in_flight: 4, failures: {allow: 100%}}
    tool: {kind: python, call: "outage_work:ask"}
    retry: {attempts: 5, initial: 1ms, budget: 10%}
"""
CODE = """
import time
from pathlib import Path

def ask(items=()):
    raise ConnectionError("the service is down")

def ask_again(tried):
    tried = Path(tried)
    while tried.exists() and not tried.with_name("go").exists():
        time.sleep(0.01)
    tried.touch()
    raise ConnectionError("the service is down")
"""


def test_two_runs_in_an_outage_make_a_tenth_more_tries_than_they_have_work(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_local(DataFolder(tmp_path), slots=2) as engine:
            await engine.register(load_text(BOOK, {"outage_work.py": CODE}), "me")
            runs = [await engine.submit(Submit("test/outage")) for _ in range(2)]
            tries: list[AttemptFinished] = []
            for run in runs:
                await engine.wait(run)
                told = list(engine.journal.read(f"run/{run}"))
                tries += [r.event for r in told if isinstance(r.event, AttemptFinished)]
                assert replay(run, engine.version_of(run).net, told).equal is True
            assert 200 < len(tries) <= 1.1 * 200
            last = [one for one in tries if one.retry_at is None]
            assert len(last) == 200
            assert all(one.over_budget for one in last)
            assert all("no retry: the budget of 10% is spent" in _message(one) for one in last)
            # the budget is a knob: a run's override sets another
            free = await engine.submit(Submit(
                "test/outage", {"calls": 3}, overrides={"ask": {"retry.budget": None}}
            ))  # fmt: skip
            await engine.wait(free)
            told = list(engine.journal.read(f"run/{free}"))
            assert sum(isinstance(r.event, AttemptFinished) for r in told) == 15

    asyncio.run(story())


TRIED = """
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: test/tried}
workload: {tried: {type: string}}
workflow:
  - step: ask
    tool: {kind: python, call: "outage_work:ask_again"}
    with: {tried: "{{ workload.tried }}"}
    retry: {attempts: 2, initial: 1ms, budget: 100%}
"""


def test_what_the_arms_of_a_trial_earned_is_forgotten_when_it_ends(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_local(DataFolder(tmp_path), slots=2) as engine:
            await engine.register(load_text(TRIED, {"outage_work.py": CODE}), "me")
            bound, budgets = engine.catalogue.latest("test/tried").bound("ask"), engine._budgets
            await engine.append([Append("experiment/x", 0, 1.0, (ExperimentStarted(
                "x", "p-1", "test/tried", "ask", "retry", "blocks", {"retry.attempts": 2},
                {"candidate": {"retry.attempts": 2}}, {"candidate": 1.0}, "salt", bound, 1,
            ),))])  # fmt: skip
            workloads = [{"tried": str(tmp_path / f"{n}.tried")} for n in range(4)]
            runs = [await engine.submit(Submit("test/tried", given)) for given in workloads]
            arm = ("x", "candidate")
            await until(lambda: budgets.of("test/tried", "ask", arm).now[1] > 0)
            await engine.append([Append("experiment/x", 1, 2.0, (ExperimentEnded("x", "kept"),))])
            assert {key[2] for key in budgets._kept} <= {""}
            (tmp_path / "go").touch()  # until now no second try has ended
            for run in runs:
                await engine.wait(run)
            # late tries of the arm were held to the step's own budget
            assert {key[2] for key in budgets._kept} == {""}

    asyncio.run(story())


def _message(finished: AttemptFinished) -> str:
    return finished.fault.message if finished.fault is not None else ""
