"""Losers of joins and rounds of loops, with the engine and real workers."""

from __future__ import annotations

import os
from pathlib import Path
from textwrap import indent

import pytest

from runtime.data.folder import DataFolder
from runtime.engine import family
from runtime.engine.engine import Engine, Submit
from runtime.playbook.bundle import Bundle, load_text
from runtime.playbook.values import SKIPPED
from runtime.run.events import AttemptFinished
from runtime.run.replay import replay
from stories import play, until

CODE = """
import os
import time
from pathlib import Path

def add(where, what, given=None):
    with open(where, "a") as file:
        file.write(f"{what}\\n")
    return what

def until(path):
    end = time.monotonic() + 60
    while not (Path(path).exists() and Path(path).stat().st_size):
        if time.monotonic() > end:
            raise TimeoutError(path)
        time.sleep(0.01)

def hang(where):
    add(where, os.getpid())
    time.sleep(60)

def act(where, path):
    add(where, "began")
    until(path)
    return add(where, "ended")
"""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(family, "CANCEL_GRACE_S", 0.4)


def book(path: str, workflow: str) -> Bundle:
    head = f"apiVersion: trimtab/v1\nkind: Playbook\nmetadata: {{path: {path}}}\n"
    head += "workload: {folder: {type: string, default: ''}}\n"
    return load_text(f"{head}workflow:\n{indent(workflow, '  ')}", {"m.py": CODE})


async def begin(engine: Engine, bundle: Bundle, folder: Path) -> str:
    await engine.register(bundle, "me")
    return await engine.submit(Submit(bundle.path, {"folder": str(folder)}))


def lines(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def statuses(engine: Engine, run: str) -> dict[str, str]:
    return {name: str(step.status) for name, step in engine.state(run).steps.items()}


def folds_the_same(engine: Engine, bundle: Bundle, run: str) -> bool | None:
    """Whether a replay of the journal comes to every marking that the run had."""
    net = engine.catalogue.latest(bundle.path).net
    return replay(run, net, engine.journal.read(f"run/{run}")).equal


ROUNDS = """
- step: round
  tool: {kind: python, call: "m:add"}
  with: {where: "{{ workload.folder }}/rounds", what: "{{ ctx.n | default(0) }}"}
  next: [quick, slow]
- step: quick
  tool: {kind: python, code: "result = 1"}
  next: meet
- step: slow
  tool: {kind: python, call: "m:until"}
  with: {path: "{{ workload.folder }}/met{{ ctx.n | default(0) }}"}
  next: late
- step: late
  tool: {kind: python, call: "m:add"}
  with: {where: "{{ workload.folder }}/late", what: "{{ ctx.n | default(0) }}"}
  next: meet
- step: meet
  join: any
  tool: {kind: python, call: "m:add"}
  with: {where: "{{ workload.folder }}/met{{ ctx.n | default(0) }}", what: met}
  set: {n: {add: 1}}
  split: exclusive
  next:
    - {to: round, when: "ctx.n | default(0) < 2", max: 5}
    - {to: after, otherwise: true}
- step: after
  tool: {kind: python, code: "result = n"}
  with: {n: "{{ ctx.n }}"}
"""


def test_a_late_token_of_a_round_counts_in_no_other(tmp_path: Path) -> None:
    bundle = book("t/rounds", ROUNDS)

    async def story(engine: Engine) -> None:
        run = await begin(engine, bundle, tmp_path)
        assert (await engine.wait(run)).state == "completed", engine.state(run).fault
        assert engine.state(run).steps["meet"].times == 3
        assert engine.state(run).result == 3
        assert lines(tmp_path / "rounds") == ["0", "1", "2"]
        assert len(lines(tmp_path / "late")) == 3, "the run waits for its losers"
        assert engine.state(run).marking.tokens() == {}
        assert folds_the_same(engine, bundle, run)

    play(DataFolder(tmp_path / "data"), story)


RACE = """
- step: start
  next: [quick, slow]
- step: quick
  tool: {kind: python, call: "m:until"}
  with: {path: "{{ workload.folder }}/slow"}
  next: meet
SLOW
- step: meet
  join: {any: true, losers: cancel}
  next: after
- step: after
  tool: {kind: python, code: "result = 'done'"}
"""


def race(slow: str) -> str:
    return RACE.replace("SLOW", slow.strip())


HANGS = """
- step: slow
  tool: {kind: python, call: "m:hang"}
  with: {where: "{{ workload.folder }}/slow"}
  retry: {attempts: 3, on: [transient, permanent]}
  next: late
- step: late
  tool: {kind: python, call: "m:add"}
  with: {where: "{{ workload.folder }}/late", what: x}
  next: meet
"""


def test_the_process_of_a_loser_is_killed(tmp_path: Path) -> None:
    bundle = book("t/kills", race(HANGS))

    async def story(engine: Engine) -> None:
        run = await begin(engine, bundle, tmp_path)
        assert (await engine.wait(run)).state == "completed"
        found = statuses(engine, run)
        assert (found["slow"], found["late"], found["after"]) == ("cancelled", "skipped", "done")
        [pid] = lines(tmp_path / "slow")
        await until(lambda: not is_alive(int(pid)))
        assert lines(tmp_path / "late") == []
        ends = [r.event for r in engine.journal.read(f"run/{run}")
                if isinstance(r.event, AttemptFinished) and r.event.step == "slow"]  # fmt: skip
        assert [e.outcome for e in ends] == ["cancelled"]
        assert ends[0].fault is not None
        assert ends[0].fault.cls == "cancelled"
        assert folds_the_same(engine, bundle, run)

    play(DataFolder(tmp_path / "data"), story)


TOLD = """
  tool: {kind: python, code: "result = told"}
  with: {told: ["{{ slow }}", "{{ slow.skipped }}", "{{ late }}", "{{ late.skipped }}"]}
"""


def test_a_loser_reads_as_skipped_whether_it_had_begun_is_being_ended_or_is_gone(
    tmp_path: Path,
) -> None:
    before, after, _ = race(HANGS).partition("- step: after")
    bundle = book("t/told", f"{before}{after}{TOLD}  next: last\n- step: last{TOLD}")

    async def story(engine: Engine) -> None:
        run = await begin(engine, bundle, tmp_path)
        assert (await engine.wait(run)).state == "completed", engine.state(run).fault
        values = engine.values(run)
        assert values["after"] == values["last"] == [None, True, None, True]
        assert statuses(engine, run)["slow"] == "cancelled"
        ended = engine._folded(run)
        assert ended.edge.names(ended.state)["slow"] is SKIPPED

    play(DataFolder(tmp_path / "data"), story)


ONCE = """
- step: slow
  effect: once
  tool: {kind: python, call: "m:act"}
  with: {where: "{{ workload.folder }}/slow", path: "{{ workload.folder }}/go"}
  next: meet
"""


def test_a_loser_that_may_act_once_and_has_begun_is_let_finish(tmp_path: Path) -> None:
    async def story(engine: Engine) -> None:
        run = await begin(engine, book("t/once", race(ONCE)), tmp_path)
        await until(lambda: statuses(engine, run)["after"] == "done")
        assert not engine.state(run).ended
        (tmp_path / "go").write_text("now")
        assert (await engine.wait(run)).state == "completed"
        assert statuses(engine, run)["slow"] == "done"
        assert lines(tmp_path / "slow") == ["began", "ended"]

    play(DataFolder(tmp_path / "data"), story)


BELOW = """
- step: hang
  tool: {kind: python, call: "m:hang"}
  with: {where: "{{ workload.folder }}/slow"}
"""
CHILD = """
- step: slow
  tool: {kind: playbook, path: t/below}
  with: {folder: "{{ workload.folder }}"}
  next: meet
"""


def test_the_run_below_a_loser_is_cancelled(tmp_path: Path) -> None:
    async def story(engine: Engine) -> None:
        await engine.register(book("t/below", BELOW), "me")
        run = await begin(engine, book("t/above", race(CHILD)), tmp_path)
        assert (await engine.wait(run)).state == "completed"
        assert statuses(engine, run)["slow"] == "cancelled"
        [child] = [r.run for r in engine.journal.runs(system=None) if r.run != run]
        assert (await engine.wait(child)).state == "cancelled"
        [pid] = lines(tmp_path / "slow")
        await until(lambda: not is_alive(int(pid)))

    play(DataFolder(tmp_path / "data"), story)


WAITS = """
- step: slow
  TOOL
  next: meet
"""


@pytest.mark.parametrize(
    "tool", ["{kind: wait, for: 1h}", "{kind: signal, name: go}", "{kind: approval, prompt: Now?}"]
)
def test_a_loser_that_waits_for_somebody_is_let_go(tmp_path: Path, tool: str) -> None:
    (tmp_path / "slow").write_text("now")

    async def story(engine: Engine) -> None:
        flow = race(WAITS.replace("TOOL", f"tool: {tool}"))
        run = await begin(engine, book("t/waits", flow), tmp_path)
        assert (await engine.wait(run)).state == "completed"
        assert statuses(engine, run)["slow"] == "cancelled"

    play(DataFolder(tmp_path / "data"), story)


HELD = """
  tool: {kind: python, call: "m:until"}
  with: {path: "{{ workload.folder }}/on"}
"""


def held(slow: str) -> str:
    """A race whose run goes on until it is let."""
    before, after, _ = race(slow).partition("- step: after")
    return before + after + HELD


def test_a_loser_whose_run_is_interrupted_is_not_begun_again(tmp_path: Path) -> None:
    bundle = book("t/again", held(ONCE.replace("effect: once", "")))

    async def first(engine: Engine) -> str:
        run = await begin(engine, bundle, tmp_path)
        await until(lambda: statuses(engine, run)["slow"] == "cancelled")
        return run

    async def second(engine: Engine) -> None:
        (tmp_path / "on").write_text("now")
        assert (await engine.wait(run)).state == "completed"
        assert statuses(engine, run)["slow"] == "cancelled"
        assert lines(tmp_path / "slow") == ["began"]

    data = DataFolder(tmp_path / "data")
    run = play(data, first)
    play(data, second)


def test_a_child_that_was_given_up_as_the_server_died_is_cancelled_at_its_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def first(engine: Engine) -> tuple[str, str]:
        await engine.register(book("t/below", BELOW), "me")
        run = await begin(engine, book("t/above", held(CHILD)), tmp_path)
        await until(lambda: statuses(engine, run)["slow"] == "cancelled")
        [child] = [r.run for r in engine.journal.runs(system=None) if r.run != run]
        return run, child

    async def second(engine: Engine) -> None:
        assert (await engine.wait(child)).state == "cancelled"
        (tmp_path / "on").write_text("now")
        assert (await engine.wait(run)).state == "completed"

    data = DataFolder(tmp_path / "data")
    with monkeypatch.context() as death:
        death.setattr(family.Family, "_cancel_child", lambda *_, **__: None)
        run, child = play(data, first)
    play(data, second)


BOOKING = """
- step: book
  tool: {kind: python, call: "m:add"}
  with: {where: "{{ workload.folder }}/told", what: "book {{ ctx.n | default(0) }}"}
  set: {n: {add: 1}}
  compensate:
    kind: python
    code: |
      with open(where, "a") as file:
          file.write(f"undo {given}\\n")
      result = 1
  next: more
- step: more
  split: exclusive
  next:
    - {to: book, when: "ctx.n < 5", max: 2}
    - {to: enough, otherwise: true}
    - {to: late, on: [no_route]}
- step: enough
- step: late
  tool: {kind: python, code: "raise ValueError('the hotel is full')"}
"""


def test_a_round_too_many_is_caught_and_each_round_is_undone_with_what_it_gave(
    tmp_path: Path,
) -> None:
    flow = BOOKING.replace("where:", 'given: "{{ book | default(0) }}", where:', 1)

    async def story(engine: Engine) -> None:
        run = await begin(engine, book("t/booking", flow), tmp_path)
        assert (await engine.wait(run)).state == "failed"
        found = statuses(engine, run)
        assert (found["more"], found["enough"], found["late"]) == ("failed", "skipped", "failed")
        fault = engine.state(run).steps["more"].fault
        assert fault is not None
        assert fault.cls == "no_route"

    play(DataFolder(tmp_path / "data"), story)
    assert (tmp_path / "told").read_text().splitlines() == [
        "book 0", "book 1", "book 2", "undo book 2", "undo book 1", "undo book 0",
    ]  # fmt: skip


OWN = """
- step: asks
  tool:
    kind: python
    code: |
      from trimtab_errors import Quorum
      raise Quorum("too few")
  next:
    - {to: caught, on: [permanent]}
- step: caught
  tool: {kind: python, code: "result = 1"}
"""
QUORUM = """
from runtime.errors import ToolError

class Quorum(ToolError):
    cls = "no_quorum"
"""


def test_a_tool_cannot_end_in_a_way_that_is_the_flows_alone(tmp_path: Path) -> None:
    bundle = load_text(book("t/own", OWN).source, {"trimtab_errors.py": QUORUM})

    async def story(engine: Engine) -> None:
        run = await begin(engine, bundle, tmp_path)
        assert (await engine.wait(run)).state == "completed"
        assert statuses(engine, run)["caught"] == "done"
        fault = engine.state(run).steps["asks"].fault
        assert fault is not None
        assert fault.message == "too few (its tool says no_quorum, a class that no tool can give)"

    play(DataFolder(tmp_path / "data"), story)


BESIDE = """
- step: notes
  tool: {kind: python, call: "m:add"}
  with: {where: "{{ workload.folder }}/noted", what: it}
"""


def test_a_data_folder_may_be_named_from_where_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    async def story(engine: Engine) -> None:
        run = await begin(engine, book("t/beside", BESIDE), tmp_path)
        assert (await engine.wait(run)).state == "completed", engine.state(run).fault
        assert lines(tmp_path / "noted") == ["it"]

    play(DataFolder(Path("data")), story)
