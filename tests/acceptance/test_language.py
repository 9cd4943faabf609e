"""What a playbook can say happens, with the engine and real workers."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from runtime.data.folder import DataFolder
from runtime.engine import family
from runtime.engine.engine import Engine, Submit
from runtime.engine.errors import EngineError, NotWaiting, UnknownLimit
from runtime.journal.sqlite import SqliteReader
from runtime.playbook.bundle import Bundle, load_text
from runtime.playbook.faults import PlaybookFaults
from runtime.playbook.tools import TOOLS
from runtime.run.events import (
    AttemptScheduled,
    PlaybookRegistered,
)
from stories import play, until

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "playbook.md"
CODE = """
import time
from pathlib import Path

def note(where, what):
    with open(where, "a") as file:
        file.write(what + "\\n")
    return what

def until(path, value=True):
    end = time.monotonic() + 60
    while not Path(path).exists():
        if time.monotonic() > end:
            raise TimeoutError(path)
        time.sleep(0.01)
    return value

def touch(path):
    Path(path).touch()

def seen(path):
    return Path(path).exists()

def fail(**given):
    from runtime.errors import DataError
    raise DataError("no luck")

def together(folder, run_folder, items):
    # how many of these are at work at this moment, over all runs
    mine = Path(folder) / f"{Path(run_folder).name}-{items[0]}"
    mine.touch()
    time.sleep(0.05)
    count = len(list(Path(folder).iterdir()))
    mine.unlink()
    return count
"""


def book(path: str, workflow: str, before: str = "") -> Bundle:
    """Return a playbook of this workflow; its steps may call the functions in ``m``."""
    head = f"apiVersion: trimtab/v1\nkind: Playbook\nmetadata: {{path: {path}}}\n"
    return load_text(f"{head}{before}workflow:\n{indent(workflow, '  ')}", {"m.py": CODE})


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a cancelled run has in flight is given less time, so that the tests take less."""
    monkeypatch.setattr(family, "CANCEL_GRACE_S", 0.4)


async def run(engine: Engine, bundle: Bundle, **workload: object) -> str:
    """Register a playbook and submit a run of it."""
    await engine.register(bundle, "me")
    return await engine.submit(Submit(bundle.path, workload))


def ends(folder: DataFolder, bundle: Bundle, **workload: object) -> tuple[str, Any]:
    """Run a playbook to its end; returns the state and the result, or the fault."""

    async def story(engine: Engine) -> tuple[str, Any]:
        id_ = await run(engine, bundle, **workload)
        row = await engine.wait(id_)
        state = engine.state(id_)
        return row.state, state.fault or state.result

    found: tuple[str, Any] = play(folder, story)
    return found


def scheduled(folder: DataFolder, id_: str) -> list[str]:
    """The steps of a run's attempts, in order."""
    with contextlib.closing(SqliteReader.open(folder.journal)) as reader:
        events = [r.event for r in reader.read(f"run/{id_}")]
    return [e.step for e in events if isinstance(e, AttemptScheduled)]


def waits_in(engine: Engine, id_: str, step: str) -> Callable[[], bool]:
    return lambda: any(t.step == step for t in engine.state(id_).attempts.values())


# ---- loops and rounds -------------------------------------------------------------------


def test_a_loop_counts_in_the_context_and_ends_by_its_condition(folder: DataFolder) -> None:
    loop = """
- step: head
  tool: {kind: python, code: "result = before + 2"}
  with: {before: "{{ body | default(0) }}"}
  set: {rounds: {add: 1}}
  next: body
- step: body
  tool: {kind: python, code: "result = value"}
  with: {value: "{{ head }}"}
  next:
    - {to: head, when: "ctx.rounds < 4", max: 9}
    - {to: end, otherwise: true}
- step: end
  tool: {kind: python, code: "result = [rounds, last]"}
  with: {rounds: "{{ ctx.rounds }}", last: "{{ body }}"}
"""
    assert ends(folder, book("t/loop", loop)) == ("completed", [4, 8])


def test_a_loop_that_does_not_end_in_time_fails_the_run(folder: DataFolder) -> None:
    loop = """
- step: head
  tool: {kind: python, code: "result = 1"}
  next: [{to: head, when: "head == 1", max: 3}, {to: end, otherwise: true}]
- step: end
"""
    state, fault = ends(folder, book("t/endless", loop))
    assert (state, "begun again 3 times" in fault.message) == ("failed", True)


def test_an_each_in_a_loop_runs_all_its_batches_in_every_round(folder: DataFolder) -> None:
    loop = """
- step: make
  tool: {kind: python, code: "result = list(range(n))"}
  with: {n: "{{ (ctx.rounds | default(0) + 1) * 2 }}"}
  next: work
- step: work
  each: {in: "{{ make }}", batch: 2, in_flight: 2}
  tool: {kind: python, code: "result = sum(items)"}
  set: {rounds: {add: 1}, sums: {append: "{{ work.results }}"}}
  next: more
- step: more
  next: [{to: make, when: "ctx.rounds < 3", max: 5}, {to: end, otherwise: true}]
- step: end
  tool: {kind: python, code: "result = sums"}
  with: {sums: "{{ ctx.sums }}"}
"""
    found = ends(folder, book("t/nested", loop))
    assert found == ("completed", [[1], [1, 5], [1, 5, 9]])


def test_a_step_repeats_until_what_it_looks_for_is_there(
    folder: DataFolder, tmp_path: Path
) -> None:
    poll = """
- step: poll
  tool: {kind: python, call: "m:seen"}
  with: {path: "{{ workload.path }}"}
  repeat: {until: "poll", max: 3000, wait: 20ms}
"""
    bundle = book("t/poll", poll, "workload: {path: {type: string}}\n")
    path = tmp_path / "there"

    async def story(engine: Engine) -> None:
        id_ = await run(engine, bundle, path=str(path))
        await until(lambda: "poll" in engine.state(id_).rounds)
        path.touch()
        assert (await engine.wait(id_)).state == "completed"
        assert engine.state(id_).result is True

    play(folder, story)


# ---- joins ------------------------------------------------------------------------------


def race(join: str) -> str:
    """One quick branch, two that wait for what comes after the join."""
    return f"""
- step: start
  next: [quick, brisk, slow]
- step: quick
  tool: {{kind: python, code: "result = 1"}}
  next: meet
- step: brisk
  tool: {{kind: python, code: "result = 2"}}
  next: meet
- step: slow
  tool: {{kind: python, call: "m:until"}}
  with: {{path: "{{{{ run.folder }}}}/go"}}
  next: meet
- step: meet
  join: {join}
  tool: {{kind: python, call: "m:touch"}}
  with: {{path: "{{{{ run.folder }}}}/go"}}
  set: {{met: {{add: 1}}}}
"""


@pytest.mark.parametrize(
    "join",
    ["any", "{at_least: 2}", "{all: true, within: 150ms, at_deadline: fire}",
     "{at_least: 3, within: 150ms, at_deadline: fire}"],
)  # fmt: skip
def test_a_join_fires_once_before_its_last_input_and_the_run_waits_for_it(
    folder: DataFolder, join: str
) -> None:
    async def story(engine: Engine) -> None:
        id_ = await run(engine, book("t/race", race(join)))
        assert (await engine.wait(id_)).state == "completed"
        assert engine.values(id_)["slow"] is True
        assert engine.state(id_).ctx["met"] == 1

    play(folder, story)


def test_a_step_takes_over_from_a_join_that_is_late(folder: DataFolder) -> None:
    flow = (
        race("{all: true, within: 150ms, at_deadline: instead}")
        + """
- step: instead
  tool: {kind: python, call: "m:touch"}
  with: {path: "{{ run.folder }}/go"}
"""
    )

    async def story(engine: Engine) -> None:
        id_ = await run(engine, book("t/late", flow))
        assert (await engine.wait(id_)).state == "completed"
        steps = engine.state(id_).steps
        assert (steps["instead"].status, steps["meet"].status) == ("done", "failed")

    play(folder, story)


def test_parallel_branches_reduce_into_one_key(folder: DataFolder) -> None:
    branch = """
- step: s{n}
  tool: {{kind: python, code: "result = {n}"}}
  set:
    sum: {{add: "{{{{ s{n} }}}}"}}
    all: {{append: "{{{{ s{n} }}}}"}}
    by: {{merge: {{k{n}: "{{{{ s{n} }}}}"}}}}
    low: {{min: "{{{{ s{n} }}}}"}}
    high: {{max: "{{{{ s{n} }}}}"}}
  next: end
"""
    flow = "- step: start\n  next: [s1, s2, s3]" + "".join(branch.format(n=n) for n in (1, 2, 3))
    flow += """
- step: end
  tool: {kind: python, code: "result = ctx"}
  with: {ctx: "{{ ctx }}"}
"""
    state, ctx = ends(folder, book("t/reduce", flow))
    assert state == "completed"
    assert sorted(ctx.pop("all")) == [1, 2, 3]
    assert ctx == {"sum": 6, "by": {"k1": 1, "k2": 2, "k3": 3}, "low": 1, "high": 3}


# ---- time and people --------------------------------------------------------------------

HEAR = """
- step: first
  tool: {kind: python, call: "m:until"}
  with: {path: "{{ run.folder }}/go"}
  next: hear
- step: hear
  tool: {kind: signal, name: "go-{{ workload.n }}"}
"""


@pytest.mark.parametrize("early", [True, False])
def test_a_signal_is_heard_whether_it_comes_before_or_after(
    folder: DataFolder, early: bool
) -> None:
    async def story(engine: Engine) -> None:
        id_ = await run(engine, book("t/hear", HEAR, "workload: {n: 1}\n"))
        if early:
            await engine.signal(id_, "go-1", {"x": 1}, "ann")
        await until(lambda: folder.run(id_).is_dir())
        (folder.run(id_) / "go").touch()
        if not early:
            await until(waits_in(engine, id_, "hear"))
            await engine.signal(id_, "another", {"x": 2}, "ann")
            await engine.signal(id_, "go-1", {"x": 1}, "ann")
        assert (await engine.wait(id_)).state == "completed"
        assert engine.state(id_).result == {"x": 1}

    play(folder, story)


ASK = """
- step: ask
  tool: {kind: approval, prompt: "Go on?"}
  TIMEOUT
  next: [{to: go}, {to: stop, on: [permanent]}, {to: late, on: [timeout]}]
- step: go
- step: stop
- step: late
"""


@pytest.mark.parametrize(
    ("answer", "limit", "taken"),
    [(True, "1h", "go"), (False, "1h", "stop"), (None, "100ms", "late")],
)
def test_a_person_says_yes_or_no_or_nothing_in_time(
    folder: DataFolder, answer: bool | None, limit: str, taken: str
) -> None:
    async def story(engine: Engine) -> None:
        bundle = book("t/ask", ASK.replace("TIMEOUT", f"timeout: {limit}"))
        id_ = await run(engine, bundle)
        await until(waits_in(engine, id_, "ask"))
        if answer is not None:
            await engine.approve(id_, "ask", approved=answer, actor="ann")
        assert (await engine.wait(id_)).state == "completed"
        states = {n: s.status for n, s in engine.state(id_).steps.items() if n != "ask"}
        assert {n for n, status in states.items() if status == "done"} == {taken}

    play(folder, story)


def test_an_answer_is_for_the_step_that_asks_and_no_signal_can_stand_for_it(
    folder: DataFolder,
) -> None:
    first = "- step: first\n  tool: {kind: signal, name: begin}\n  next: ask\n"
    flow = first + ASK.replace("TIMEOUT", "timeout: 1h")

    async def story(engine: Engine) -> None:
        id_ = await run(engine, book("t/asks", flow))
        with pytest.raises(NotWaiting, match="ask of run"):
            await engine.approve(id_, "ask", approved=True, actor="ann")
        with pytest.raises(NotWaiting, match="is no signal"):
            await engine.signal(id_, "approval:ask", {"approved": True}, "bob")
        await engine.signal(id_, "begin", None, "bob")
        await until(waits_in(engine, id_, "ask"))
        await engine.approve(id_, "ask", approved=True, actor="ann")
        with pytest.raises(EngineError):
            await engine.approve(id_, "ask", approved=True, actor="ann")
        assert (await engine.wait(id_)).state == "completed"

    play(folder, story)


WAIT = """
- step: rest
  tool: {kind: wait, for: 1500ms}
  next: after
- step: after
  tool: {kind: python, code: "result = 'woken'"}
"""


def test_a_wait_goes_on_over_a_restart(folder: DataFolder) -> None:
    async def begin(engine: Engine) -> tuple[str, float]:
        id_ = await run(engine, book("t/wait", WAIT))
        await until(waits_in(engine, id_, "rest"))
        return id_, min(engine.state(id_).timers.values())

    async def go_on(engine: Engine) -> tuple[str, float]:
        assert (await engine.wait(id_)).state == "completed"
        return engine.state(id_).result, time.time()

    id_, due = play(folder, begin)
    assert time.time() < due, "the wait was over before the restart"
    result, at = play(folder, go_on)
    assert result == "woken"
    assert at >= due
    assert scheduled(folder, id_) == ["rest", "after"]


@pytest.mark.parametrize(
    ("until_", "kind", "at"),
    [
        ('"{{ workload.at }}"', "string", "2020-01-01T00:00:00+00:00"),
        ("workload.at", "string", "2020-01-01T00:00:00Z"),
        ("workload.at + 1.5", "number", 1_577_836_800),
        ("2020-01-01T00:00Z", "number", 0),
    ],
)
def test_a_wait_may_end_at_a_time(folder: DataFolder, until_: str, kind: str, at: object) -> None:
    flow = WAIT.replace("for: 1500ms", f"until: {until_}")
    bundle = book("t/until", flow, f"workload: {{at: {{type: {kind}}}}}\n")
    assert ends(folder, bundle, at=at) == ("completed", "woken")


@pytest.mark.parametrize("at", ["soon", "2020-01-01T00:00:00"])
def test_a_wait_for_what_is_no_time_fails_as_an_expression(folder: DataFolder, at: str) -> None:
    flow = WAIT.replace("for: 1500ms", "until: workload.at")
    state, fault = ends(folder, book("t/until", flow, "workload: {at: {type: string}}\n"), at=at)
    assert (state, fault.cls) == ("failed", "expression")


def test_what_the_engine_answers_fits_what_its_kinds_declare(folder: DataFolder) -> None:
    flow = """
- step: rest
  tool: {kind: wait, for: 1ms}
  next: ask
- step: ask
  tool: {kind: approval, prompt: "?"}
  next: all
- step: all
  tool: {kind: python, code: "result = [rest, ask]"}
  with: {rest: "{{ rest }}", ask: "{{ ask }}"}
"""

    async def story(engine: Engine) -> None:
        id_ = await run(engine, book("t/answers", flow))
        await until(waits_in(engine, id_, "ask"))
        await engine.approve(id_, "ask", approved=True, actor="ann", note="fine")
        assert (await engine.wait(id_)).state == "completed"
        found = dict(zip(("wait", "approval"), engine.state(id_).result, strict=True))
        assert found["approval"] == {"approved": True, "by": "ann", "note": "fine"}
        for kind, value in found.items():
            Draft202012Validator(TOOLS[kind].result).validate(value)

    play(folder, story)


def test_a_failing_run_waits_for_no_time_and_no_signal(folder: DataFolder) -> None:
    flow = """
- step: start
  next: [hear, rest, ask, bad]
- step: hear
  tool: {kind: signal, name: never}
- step: rest
  tool: {kind: wait, for: 1d}
- step: ask
  tool: {kind: approval, prompt: "?"}
- step: bad
  tool: {kind: python, call: "m:fail"}
"""
    state, fault = ends(folder, book("t/gives_up", flow))
    assert (state, fault.cls) == ("failed", "data")


# ---- child runs -------------------------------------------------------------------------

CHILD = """
- step: square
  tool: {kind: python, code: "result = n * n"}
  with: {n: "{{ workload.n }}"}
"""
PARENT = """
- step: child
  tool: {kind: playbook, path: t/child}
  with: {n: 7}
  next: use
- step: use
  tool: {kind: python, code: "result = child + 1"}
  with: {child: "{{ child }}"}
"""
NUMBER = "workload: {n: {type: integer}}\n"


def test_a_parent_uses_what_its_child_gave(folder: DataFolder) -> None:
    async def story(engine: Engine) -> None:
        await engine.register(book("t/child", CHILD, NUMBER), "me")
        id_ = await run(engine, book("t/parent", PARENT))
        assert (await engine.wait(id_)).state == "completed"
        assert engine.state(id_).result == 50

    play(folder, story)


def test_a_childs_failure_is_its_parents_of_the_same_class(folder: DataFolder) -> None:
    caught = """
- step: child
  tool: {kind: playbook, path: t/child}
  next: [{to: fine}, {to: mend, on: [data]}]
- step: fine
- step: mend
  tool: {kind: python, code: "result = told"}
  with: {told: "{{ child.error.message }}"}
"""

    async def story(engine: Engine) -> None:
        fails = "- step: bad\n  tool: {kind: python, call: 'm:fail'}"
        await engine.register(book("t/child", fails), "me")
        id_ = await run(engine, book("t/parent", caught))
        assert (await engine.wait(id_)).state == "completed"
        assert "failed in bad: no luck" in engine.state(id_).result

    play(folder, story)


SLOW_CHILD = """
- step: slow
  tool: {kind: python, call: "m:until"}
  with: {path: "{{ workload.path }}"}
"""
SLOW_PARENT = """
- step: child
  tool: {kind: playbook, path: t/slow}
  TIMEOUT
  with: {path: "{{ workload.path }}"}
"""
WHERE = "workload: {path: {type: string}}\n"


async def begin_slow(engine: Engine, path: Path, timeout: str = "") -> tuple[str, str]:
    """Start a parent and wait until its child is at work; returns both ids."""
    await engine.register(book("t/slow", SLOW_CHILD, WHERE), "me")
    bundle = book("t/above", SLOW_PARENT.replace("TIMEOUT", timeout), WHERE)
    id_ = await run(engine, bundle, path=str(path))
    await until(lambda: engine.status["in_flight"])
    [child] = [r.run for r in engine.journal.runs(state="live", system=None) if r.run != id_]
    return id_, child


def test_cancelling_a_parent_cancels_its_child(folder: DataFolder, tmp_path: Path) -> None:
    async def story(engine: Engine) -> None:
        id_, child = await begin_slow(engine, tmp_path / "never")
        await engine.cancel(id_, "me", "enough")
        assert (await engine.wait(id_)).state == "cancelled"
        assert (await engine.wait(child)).state == "cancelled"

    play(folder, story)


def test_cancelling_reaches_the_children_of_children(folder: DataFolder, tmp_path: Path) -> None:
    top = """
- step: middle
  tool: {kind: playbook, path: t/above}
  with: {path: "{{ workload.path }}"}
"""

    async def story(engine: Engine) -> None:
        await engine.register(book("t/slow", SLOW_CHILD, WHERE), "me")
        await engine.register(book("t/above", SLOW_PARENT.replace("TIMEOUT", ""), WHERE), "me")
        id_ = await run(engine, book("t/top", top, WHERE), path=str(tmp_path / "never"))
        await until(lambda: engine.status["in_flight"])
        family = [r.run for r in engine.journal.runs(state="live", system=None)]
        assert len(family) == 3
        await engine.cancel(id_, "me", "enough")
        assert [(await engine.wait(member)).state for member in family] == ["cancelled"] * 3

    play(folder, story)


def test_a_child_that_takes_too_long_is_cancelled(folder: DataFolder, tmp_path: Path) -> None:
    async def story(engine: Engine) -> None:
        id_, child = await begin_slow(engine, tmp_path / "never", "timeout: 400ms")
        assert (await engine.wait(id_)).state == "failed"
        fault = engine.state(id_).fault
        assert fault is not None
        assert fault.cls == "timeout"
        assert (await engine.wait(child)).state == "cancelled"

    play(folder, story)


def test_a_parent_that_fails_takes_its_child_down(folder: DataFolder, tmp_path: Path) -> None:
    flow = (
        "- step: start\n  next: [child, wait]"
        + SLOW_PARENT.replace("TIMEOUT", "")
        + """
- step: wait
  tool: {kind: signal, name: fail}
  next: bad
- step: bad
  tool: {kind: python, call: "m:fail"}
"""
    )

    async def story(engine: Engine) -> None:
        await engine.register(book("t/slow", SLOW_CHILD, WHERE), "me")
        id_ = await run(engine, book("t/breaks", flow, WHERE), path=str(tmp_path / "never"))
        await until(lambda: engine.status["in_flight"])
        await engine.signal(id_, "fail", None, "me")
        assert (await engine.wait(id_)).state == "failed"
        states = {r.run: r.state for r in engine.journal.runs(system=None)}
        assert sorted(states.values()) == ["cancelled", "failed"]

    play(folder, story)


def test_a_restart_in_a_childs_midst_is_one_child(folder: DataFolder, tmp_path: Path) -> None:
    path = tmp_path / "go"

    async def begin(engine: Engine) -> tuple[str, str]:
        return await begin_slow(engine, path)

    async def go_on(engine: Engine) -> None:
        path.touch()
        assert (await engine.wait(id_)).state == "completed"
        assert engine.state(id_).result is True
        assert {r.run for r in engine.journal.runs(system=None)} == {id_, child}

    id_, child = play(folder, begin)
    play(folder, go_on)


FACTORIAL = """
- step: more
  next: [{to: below, when: "workload.n > 1"}, {to: one, otherwise: true}]
- step: below
  tool: {kind: playbook, path: t/factorial}
  with: {n: "{{ workload.n - 1 }}"}
  next: times
- step: times
  tool: {kind: python, code: "result = n * below"}
  with: {n: "{{ workload.n }}", below: "{{ below }}"}
- step: one
  tool: {kind: python, code: "result = 1"}
"""


@pytest.mark.parametrize(("n", "state"), [(5, "completed"), (13, "failed")])
def test_a_playbook_may_call_itself_but_not_too_deep(
    folder: DataFolder, n: int, state: str
) -> None:
    found = ends(folder, book("t/factorial", FACTORIAL, NUMBER), n=n)
    assert found[0] == state
    assert found[1] == 120 if n == 5 else "11th run" in found[1].message


# ---- ends -------------------------------------------------------------------------------

ENDS = """
- step: a
  tool: {kind: python, call: "m:note"}
  with: {where: "{{ workload.path }}", what: a}
  compensate: {kind: python, code: "open(where, 'a').write('undo ' + what + chr(10)); result = 1"}
  next: b
- step: b
  tool: {kind: python, call: "m:note"}
  with: {where: "{{ workload.path }}", what: b}
  compensate:
    kind: python
    code: "open(where, 'a').write('undo ' + what + chr(10)); result = 1"
  next: c
- step: c
  TOOL
"""
CLOSE = """workload: {path: {type: string}}
finally:
  - step: y
    tool:
      kind: python
      code: |
        import time
        time.sleep(0.2)
        result = open(where, "a").write(f"y {c}\\n")
    with: {where: "{{ workload.path }}", c: "{{ c.error.class if c.error is defined else c }}"}
  - step: z
    tool: {kind: python, call: "m:note"}
    with: {where: "{{ workload.path }}", what: z}
"""


@pytest.mark.parametrize(
    ("tool", "state", "told"),
    [
        ('tool: {kind: python, code: "result = 5"}', "completed", ["a", "b", "y 5", "z"]),
        ('tool: {kind: python, call: "m:fail"}', "failed",
         ["a", "b", "undo b", "undo a", "y data", "z"]),
        ("tool: {kind: signal, name: never}", "cancelled", ["a", "b", "y cancelled", "z"]),
    ],
)  # fmt: skip
def test_what_was_done_is_undone_backwards_and_every_end_has_its_steps(
    folder: DataFolder, tmp_path: Path, tool: str, state: str, told: list[str]
) -> None:
    path = tmp_path / "told"

    async def story(engine: Engine) -> None:
        id_ = await run(engine, book("t/ends", ENDS.replace("TOOL", tool), CLOSE), path=str(path))
        if state == "cancelled":
            await until(waits_in(engine, id_, "c"))
            await engine.cancel(id_, "me")
        assert (await engine.wait(id_)).state == state

    play(folder, story)
    assert path.read_text().splitlines() == told


def test_a_cancelled_runs_last_steps_have_their_time(folder: DataFolder, tmp_path: Path) -> None:
    path = tmp_path / "told"
    close = CLOSE.replace("0.2", "1")

    async def story(engine: Engine) -> None:
        flow = ENDS.replace("TOOL", "tool: {kind: wait, for: 1d}")
        id_ = await run(engine, book("t/ends", flow, close), path=str(path))
        await until(waits_in(engine, id_, "c"))
        await engine.cancel(id_, "me")
        assert (await engine.wait(id_)).state == "cancelled"

    play(folder, story)
    assert path.read_text().splitlines()[2:] == ["y cancelled", "z"]


def test_the_last_steps_of_a_run_out_of_time_run_to_their_end(
    folder: DataFolder, tmp_path: Path
) -> None:
    path = tmp_path / "told"

    async def story(engine: Engine) -> None:
        flow = ENDS.replace("TOOL", "tool: {kind: wait, for: 1d}")
        bundle = book("t/ends", flow, "deadline: 2s\n" + CLOSE)
        id_ = await run(engine, bundle, path=str(path))
        assert (await engine.wait(id_)).state == "failed"
        fault = engine.state(id_).fault
        assert fault is not None
        assert "deadline" in fault.message

    play(folder, story)
    assert path.read_text().splitlines() == ["a", "b", "undo b", "undo a", "y cancelled", "z"]


def test_a_restart_amid_the_last_steps_goes_on_with_them(
    folder: DataFolder, tmp_path: Path
) -> None:
    path = tmp_path / "told"
    close = CLOSE.replace(
        "time.sleep(0.2)", "time.sleep(0.2 if Path(where + '.go').exists() else 30)"
    )
    close = close.replace("import time\n", "import time; from pathlib import Path\n")

    async def begin(engine: Engine) -> str:
        flow = ENDS.replace("TOOL", "tool: {kind: wait, for: 1d}")
        id_ = await run(engine, book("t/ends", flow, close), path=str(path))
        await until(waits_in(engine, id_, "c"))
        await engine.cancel(id_, "me")
        await until(waits_in(engine, id_, "y"))
        return id_

    async def go_on(engine: Engine) -> None:
        assert (await engine.wait(id_)).state == "cancelled"

    id_ = play(folder, begin)
    Path(f"{path}.go").touch()
    play(folder, go_on)
    assert path.read_text().splitlines() == ["a", "b", "y cancelled", "z"]


# ---- limits and priorities --------------------------------------------------------------

SHARED = """workload: {folder: {type: string}}
limits: {desk: {in_flight: 2}}
"""
CROWD = """
- step: crowd
  each: {in: "{{ range(8) }}", batch: 1, in_flight: 6}
  tool: {kind: python, call: "m:together"}
  with: {folder: "{{ workload.folder }}"}
  uses: [desk]
"""


def test_a_limit_holds_over_two_runs_at_once(folder: DataFolder, tmp_path: Path) -> None:
    desk = tmp_path / "desk"
    desk.mkdir()

    async def story(engine: Engine) -> list[int]:
        bundle = book("t/crowd", CROWD, SHARED)
        runs = [await run(engine, bundle, folder=str(desk)) for _ in range(2)]
        for id_ in runs:
            assert (await engine.wait(id_)).state == "completed"
        return [n for id_ in runs for n in engine.values(id_)["crowd"]["results"]]

    counts = play(folder, story, slots=6)
    assert len(counts) == 16
    assert max(counts) == 2


def test_a_limit_that_nobody_declared_is_refused_at_registration(folder: DataFolder) -> None:
    async def story(engine: Engine) -> None:
        bundle = book("t/crowd", CROWD.replace("[desk]", "[door]"), SHARED)
        with pytest.raises(UnknownLimit, match="crowd uses door"):
            await engine.register(bundle, "me")

    play(folder, story)


def test_the_run_of_higher_priority_goes_first(folder: DataFolder, tmp_path: Path) -> None:
    path, go = tmp_path / "order", tmp_path / "go"
    flow = """
- step: note
  tool: {kind: python, call: "m:note"}
  with: {where: "{{ workload.where }}", what: "{{ workload.what }}"}
"""
    inputs = "workload: {where: {type: string}, what: {type: string}}\n"

    async def story(engine: Engine) -> None:
        await run(engine, book("t/slow", SLOW_CHILD, WHERE), path=str(go))
        await until(lambda: engine.status["in_flight"])
        await engine.register(book("t/note", flow, inputs), "me")
        runs = []
        for priority in (0, -1, 5, 1):
            workload = {"where": str(path), "what": str(priority)}
            runs.append(await engine.submit(Submit("t/note", workload, priority=priority)))
        await until(lambda: engine.status["ready"] == 4)
        go.touch()
        for id_ in runs:
            await engine.wait(id_)

    play(folder, story, slots=1)
    assert path.read_text().split() == ["5", "1", "0", "-1"]


# ---- registration and recovery ----------------------------------------------------------


def test_an_unsound_playbook_is_refused_at_registration_with_its_place(
    folder: DataFolder,
) -> None:
    flow = """
- step: a
  tool: {kind: python, code: "result = 1"}
  next: [b, log]
- step: b
  next: [{to: a, when: "a == 2", max: 3}, {to: c, otherwise: true}]
- step: log
- step: c
"""

    async def story(engine: Engine) -> None:
        with pytest.raises(PlaybookFaults, match=r"8:\d+ .*branch ends within a loop.*way there"):
            await engine.register(book("t/unsound", flow), "me")
        assert engine.catalogue.paths() == []

    play(folder, story)


def test_a_child_whose_playbook_can_no_longer_be_read_fails_its_step(folder: DataFolder) -> None:
    spoilt = PlaybookRegistered("t/child", "0" * 32, 1, "hedge: 5s", {}, "me")

    async def story(engine: Engine) -> None:
        await engine.append([engine._stamp("playbook/t/child", 0, spoilt)])
        id_ = await run(engine, book("t/parent", PARENT))
        assert (await engine.wait(id_)).state == "failed"
        fault = engine.state(id_).fault
        assert fault is not None
        assert fault.cls == "permanent"
        assert "t/child can no longer be read" in fault.message

    play(folder, story)


# ---- the reference ----------------------------------------------------------------------


def test_the_examples_of_the_reference_run_to_their_end(folder: DataFolder) -> None:
    text = REFERENCE.read_text(encoding="utf-8")
    code = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", text, re.DOTALL))
    bundles = [
        load_text(block, code)
        for block in re.findall(r"```yaml\n(apiVersion:.*?)```", text, re.DOTALL)
    ]

    async def story(engine: Engine) -> dict[str, Any]:
        results = {}
        for bundle in bundles:
            await engine.register(bundle, "me")
            held = {s.name: {"start.hours": "any"} for s in bundle.playbook.steps if s.start}
            id_ = await engine.submit(Submit(bundle.path, {}, overrides=held))  # at any hour
            if bundle.path == "examples/release":
                await engine.signal(id_, f"start-{id_}", "now", "ann")
                await until(waits_in(engine, id_, "ask"))
                await engine.approve(id_, "ask", approved=True, actor="ann")
            assert (await engine.wait(id_)).state == "completed", engine.state(id_).fault
            results[bundle.path] = engine.state(id_).result
        return results

    results = play(folder, story)
    assert results["examples/quotes"] in (9, 12)
    assert results["examples/halving"] == 6
    assert results["examples/release"] == "now"
    assert results["examples/booking"] == "paid"
