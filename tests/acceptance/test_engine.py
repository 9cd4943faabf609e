"""The engine with real workers: what dies is lost alone, and what was asked for is finished."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.data.folder import DataFolder
from runtime.engine.engine import Engine, Submit, seek_cycles_seldom
from runtime.engine.errors import (
    BadOverride,
    BadWorkload,
    CannotFork,
    KeyConflict,
    UnknownPlaybook,
)
from runtime.engine.local import open_local
from runtime.journal.commit import Committer
from runtime.journal.port import Append, FolderInUse
from runtime.journal.sqlite import SqliteJournal, SqliteReader
from runtime.playbook.bundle import Bundle, load, load_text
from runtime.run.events import AttemptFinished, AttemptScheduled, KillSet, Recorded
from runtime.run.evolve import evolve
from runtime.run.replay import replay
from runtime.run.state import new_run

YAML = """
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: test/lines}
workload:
  count: {type: integer, default: 40, min: 0}
  wait: {type: number, default: 0}
workflow:
  - step: make
    tool: {kind: python, call: "lines:make"}
    with: {count: "{{ workload.count }}"}
    next: write
  - step: write
    each: {in: "{{ make }}", batch: 2, in_flight: 3}
    tool: {kind: python, call: "lines:write"}
    with: {wait: "{{ workload.wait }}"}
    effect: idempotent
    retry: {attempts: 4, initial: 10ms, on: [transient]}
    next: total
  - step: total
    tool: {kind: python, call: "lines:total"}
"""
CODE = """
import os, signal, time
from pathlib import Path

def make(count):
    return list(range(count))

def write(items, run_folder, wait, batch):
    time.sleep(wait)
    marker = Path(run_folder) / "kill-me"
    if marker.exists() and 10 in items:
        marker.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    for item in items:
        (Path(run_folder) / f"{item}.txt").write_text(str(item * item))
    return len(items)

def total(run_folder):
    return sum(int(p.read_text()) for p in Path(run_folder).glob("*.txt"))
"""
EXPECTED = sum(n * n for n in range(40))


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    folder = tmp_path / "book"
    folder.mkdir()
    (folder / "lines.yaml").write_text(YAML)
    (folder / "lines.py").write_text(CODE)
    return load(folder / "lines.yaml")


async def run_one(engine: Engine, **kw: object) -> str:
    run = await engine.submit(Submit("test/lines", **kw))  # type: ignore[arg-type]
    await engine.wait(run)
    return run


def events(folder: DataFolder, run: str) -> list[Recorded]:
    reader = SqliteReader.open(folder.journal)
    with contextlib.closing(reader):
        return list(reader.read(f"run/{run}"))


def test_a_playbook_runs_from_its_file_to_its_result(bundle: Bundle, folder: DataFolder) -> None:
    async def story() -> None:
        async with open_local(folder, slots=3) as engine:
            await engine.register(bundle, "me")
            run = await run_one(engine)
            assert engine.state(run).status == "completed"
            assert engine.state(run).result == EXPECTED
            assert engine.values(run)["write"]["batches"] == 20

    asyncio.run(story())


def test_a_killed_workers_attempt_is_lost_and_tried_again(
    bundle: Bundle, folder: DataFolder
) -> None:
    async def story() -> str:
        async with open_local(folder, slots=3) as engine:
            await engine.register(bundle, "me")
            run = await engine.submit(Submit("test/lines", {"wait": 0.01}))
            folder.run(run).mkdir(parents=True, exist_ok=True)
            (folder.run(run) / "kill-me").touch()
            await engine.wait(run)
            assert engine.state(run).result == EXPECTED
            return run

    run = asyncio.run(story())
    finished = [r.event for r in events(folder, run) if isinstance(r.event, AttemptFinished)]
    lost = [e for e in finished if e.outcome == "lost"]
    assert len(lost) == 1
    assert lost[0].fault is not None
    assert lost[0].fault.cls == "lost"
    again = [e for e in finished if e.batch == lost[0].batch and e.outcome == "succeeded"]
    assert [e.number for e in again] == [2]


def test_the_fold_of_the_journal_is_the_state_that_was_live(
    bundle: Bundle, folder: DataFolder
) -> None:
    async def story() -> tuple[str, str, Engine]:
        async with open_local(folder, slots=3) as engine:
            await engine.register(bundle, "me")
            live = await engine.submit(Submit("test/lines"))
            state = engine.state(live)
            await engine.wait(live)
            return live, state.hash(), engine

    run, live_hash, engine = asyncio.run(story())
    state = new_run(run, engine.catalogue.latest("test/lines").net)
    for recorded in events(folder, run):
        evolve(state, recorded.event, recorded.at)  # type: ignore[arg-type]
    assert state.hash() == live_hash


SERVER = """
import asyncio, sys
from pathlib import Path
from runtime.data.folder import DataFolder
from runtime.engine.engine import Submit
from runtime.engine.local import open_local
from runtime.playbook.bundle import load

async def main(data, book):
    async with open_local(DataFolder(Path(data)), slots=3) as engine:
        await engine.register(load(Path(book)), "me")
        run = await engine.submit(Submit("test/lines", {"wait": 0.05}, key="once"))
        print(run, flush=True)
        await engine.wait(run)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
def server(tmp_path: Path, bundle: Bundle, folder: DataFolder) -> Iterator[subprocess.Popen[str]]:
    script = tmp_path / "server.py"
    script.write_text(textwrap.dedent(SERVER))
    process = subprocess.Popen(
        [sys.executable, str(script), str(folder.root), str(tmp_path / "book" / "lines.yaml")],
        stdout=subprocess.PIPE, text=True, env=dict(os.environ, PYTHONPATH=os.getcwd()),
    )  # fmt: skip
    yield process
    process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def until_finished(folder: DataFolder, run: str, attempts: int) -> None:
    while True:
        done = [r for r in events(folder, run) if isinstance(r.event, AttemptFinished)]
        if len(done) >= attempts:
            return


@pytest.mark.parametrize("after", [0, 4, 15])
def test_a_killed_servers_runs_go_on_at_the_next_start(
    after: int, server: subprocess.Popen[str], folder: DataFolder
) -> None:
    assert server.stdout is not None
    run = server.stdout.readline().strip()
    until_finished(folder, run, after)
    before = events(folder, run)
    server.send_signal(signal.SIGKILL)
    server.wait()

    async def story() -> None:
        async with open_local(folder, slots=3) as engine:
            await engine.wait(run)
            assert engine.state(run).result == EXPECTED

    asyncio.run(story())
    later = events(folder, run)
    assert later[: len(before)] == before, "an acknowledged event was lost"
    scheduled = {r.event.attempt for r in later if isinstance(r.event, AttemptScheduled)}
    finished = [r.event.attempt for r in later if isinstance(r.event, AttemptFinished)]
    assert sorted(finished) == sorted(scheduled), "an attempt ended twice or never"


def test_a_folder_has_one_owner(server: subprocess.Popen[str], folder: DataFolder) -> None:
    assert server.stdout is not None
    server.stdout.readline()

    async def story() -> None:
        with pytest.raises(FolderInUse, match="in use by another process"):
            async with open_local(folder):
                pass

    asyncio.run(story())


def test_the_same_key_is_the_same_run_and_another_request_under_it_is_refused(
    bundle: Bundle, folder: DataFolder
) -> None:
    async def story() -> None:
        async with open_local(folder, slots=3) as engine:
            await engine.register(bundle, "me")
            first, second = await asyncio.gather(
                engine.submit(Submit("test/lines", key="k")),
                engine.submit(Submit("test/lines", key="k")),
            )
            assert first == second
            with pytest.raises(KeyConflict, match=first):
                await engine.submit(Submit("test/lines", {"count": 2}, key="k"))
            await engine.wait(first)
            assert await engine.submit(Submit("test/lines", key="k")) == first

    asyncio.run(story())


def test_what_does_not_fit_is_refused_and_nothing_is_written(
    bundle: Bundle, folder: DataFolder
) -> None:
    async def story() -> None:
        async with open_local(folder, slots=3) as engine:
            await engine.register(bundle, "me")
            with pytest.raises(BadWorkload) as bad:
                await engine.submit(Submit("test/lines", {"count": "x", "extra": 1}))
            assert [name for name, _ in bad.value.faults] == ["extra", "count"]
            with pytest.raises(UnknownPlaybook, match="test/lines"):
                await engine.submit(Submit("test/nothing"))
            for knob, value in (
                ("each.batch", 0), ("retry.attempts", 1000), ("timeout", "5s"),
                ("timeout", -1), ("runs_on", 3), ("hedge", 1),
            ):  # fmt: skip
                wanted = {"write": {knob: value}}
                with pytest.raises(BadOverride, match=knob.replace(".", r"\.")):
                    await engine.submit(Submit("test/lines", overrides=wanted))
            assert engine.journal.runs(system=None) == []

    asyncio.run(story())


def test_what_a_crash_left_half_written_is_gone_once_the_engine_is_open(
    folder: DataFolder,
) -> None:
    folder.prepare()
    (folder.products / "p").mkdir()
    half = [
        folder.objects / ".aside-half", folder.root / ".server.json.x1",
        folder.root / ".admin.key.x2", folder.products / "p" / ".3.parquet.x3",
        folder.bundles / ".0a1b.x4" / "lines.py",
    ]  # fmt: skip
    half[-1].parent.mkdir()
    for path in half:
        path.write_bytes(b"x")

    async def story() -> None:
        async with open_local(folder):
            assert [path for path in half if path.exists()] == []
            assert list(folder.bundles.iterdir()) == []

    asyncio.run(story())


QUIET = """
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: test/quiet}
workflow:
  - step: told
    tool: {kind: python, code: "print('An' + 'na')\\nresult = 1"}
    next: fails
  - step: fails
    tool: {kind: python, code: "print('An' + 'na')\\nraise KeyError('An' + 'na')"}
"""


@pytest.mark.parametrize("text", ["on", "off"])
def test_texts_are_written_down_unless_the_step_says_otherwise(
    folder: DataFolder, text: str
) -> None:
    said = QUIET.replace("    tool", f"    record: {{text: {text}}}\n    tool")

    async def story() -> str:
        async with open_local(folder) as engine:
            await engine.register(load_text(said, {}), "me")
            run = await engine.submit(Submit("test/quiet"))
            assert (await engine.wait(run)).state == "failed"
            return run

    told = [r.event for r in events(folder, asyncio.run(story()))]
    ends = [event for event in told if isinstance(event, AttemptFinished)]
    assert [event.fault.cls for event in ends if event.fault] == ["permanent"]
    assert all(event.fault.fingerprint for event in ends if event.fault)
    assert ("Anna" in repr(told)) is (text == "on")


LONG = """
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: test/long}
workflow:
  - step: parts
    each: {in: "{{ range(4) }}"}
    tool: {kind: python, code: "result = 'x' * 30_000 if run_folder.is_dir() else ''"}
    next: read
  - step: read
    tool: {kind: python, code: "result = sum(map(len, parts))"}
    with: {parts: "{{ parts.results }}"}
"""


@pytest.mark.parametrize("lacking", ["runs", "objects"])
def test_while_a_folder_cannot_be_written_nothing_is_lost(
    lacking: str, folder: DataFolder
) -> None:
    async def story() -> None:
        async with open_local(folder, slots=2) as engine:
            await engine.register(load_text(LONG, {}), "me")
            place = folder.root / lacking
            place.rename(folder.root / "aside")
            place.touch()
            runs = [await engine.submit(Submit("test/long")) for _ in range(3)]
            if lacking == "runs":
                while engine.status["ready"] < 3:
                    await asyncio.sleep(0.01)
                place.unlink()
                (folder.root / "aside").rename(place)
            for run in runs:
                assert (await engine.wait(run)).state == "completed"
                assert engine.state(run).result == 120_000

    asyncio.run(story())


ASKS = """
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: test/asks}
workflow:
  - step: ask
    tool: {kind: signal, name: go}
    next: sure
  - step: sure
    tool: {kind: approval, prompt: sure?}
"""


def test_what_is_asked_of_a_run_is_answered_once_it_is_durable(folder: DataFolder) -> None:
    async def story() -> None:
        async with open_local(folder) as engine:
            await engine.register(load_text(ASKS, {}), "me")
            first, second = [await engine.submit(Submit("test/asks")) for _ in range(2)]
            for ask in (
                lambda: engine.signal(first, "go", 1, "me"),
                lambda: engine.approve(first, "sure", approved=True, actor="me"),
                lambda: engine.pause(second, "me"),
                lambda: engine.resume(second, "me"),
                lambda: engine.cancel(second, "me"),
            ):
                with locked(folder):
                    asking = asyncio.ensure_future(ask())
                    done, _ = await asyncio.wait({asking}, timeout=0.1)
                    assert not done, "it was answered before it was written"
                await asking
            assert (await engine.wait(first)).state == "completed"
            assert (await engine.wait(second)).state == "cancelled"

    asyncio.run(story())


@contextlib.contextmanager
def locked(folder: DataFolder) -> Iterator[None]:
    """Nobody can write the journal."""
    db = sqlite3.connect(folder.journal, isolation_level=None)
    db.execute("begin immediate")
    try:
        yield
    finally:
        db.execute("rollback")
        db.close()


def test_one_who_fails_on_the_news_of_a_commit_keeps_it_from_nobody_else(
    folder: DataFolder, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        folder.prepare()
        loop = asyncio.get_running_loop()
        journal = SqliteJournal(folder.journal, 0.0)
        heard: asyncio.Future[Any] = loop.create_future()

        def fails(answer: object) -> None:
            raise OSError("no room")

        commit = Committer(journal, loop, lambda: None)
        with locked(folder):  # so that both are one group, whose news come together
            for stream in ("kill", "kill2", "kill3"):
                told = heard.set_result if stream == "kill3" else fails
                commit.put([Append(stream, 0, 0.0, (KillSet("switch", True, "me"),))], told)
        assert await heard
        commit.close()
        journal.close()

    asyncio.run(story())
    assert "no room" in caplog.text


@pytest.mark.parametrize(
    ("own", "then"), [((700, 10, 10), 10_000), ((50_000, 20, 100), 50_000), ((0, 10, 10), 0)]
)
def test_an_engine_in_a_process_that_seeks_cycles_seldom_or_never_leaves_it_so(
    own: tuple[int, int, int], then: int
) -> None:
    before = gc.get_threshold()
    try:
        gc.set_threshold(*own)
        seek_cycles_seldom()
        assert gc.get_threshold()[0] == then
    finally:
        gc.set_threshold(*before)


def test_what_was_put_before_the_end_is_written(folder: DataFolder) -> None:
    async def story() -> None:
        folder.prepare()
        journal = SqliteJournal(folder.journal, 0.0)
        commit = Committer(journal, asyncio.get_running_loop(), lambda: None)
        commit.put([Append("kill", 0, 0.0, (KillSet("switch", True, "me"),))], lambda _: None)
        commit.hurry()
        await asyncio.to_thread(commit.close)
        assert journal.length("kill") == 1
        journal.close()

    asyncio.run(story())


def test_an_override_is_what_the_run_runs_with(bundle: Bundle, folder: DataFolder) -> None:
    async def story() -> None:
        async with open_local(folder, slots=3) as engine:
            await engine.register(bundle, "me")
            run = await run_one(engine, overrides={"write": {"each.batch": 20}})
            assert engine.values(run)["write"]["batches"] == 2

    asyncio.run(story())


def test_cancelling_ends_what_runs_and_leaves_no_worker_on_it(
    bundle: Bundle, folder: DataFolder
) -> None:
    async def story() -> None:
        async with open_local(folder, slots=3) as engine:
            await engine.register(bundle, "me")
            run = await engine.submit(Submit("test/lines", {"wait": 30}))
            while engine.status["in_flight"] < 3:
                await asyncio.sleep(0.01)
            await engine.cancel(run, "me", "enough")
            row = await engine.wait(run)
            assert row.state == "cancelled"
            assert engine.status["in_flight"] == 0

    asyncio.run(story())


TIMED = """
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: test/timed}
DEADLINE
workflow:
  - step: a
    tool: {kind: python, call: "lines:write"}
    with: {items: [], wait: 60, batch: 0}
    LIMIT
"""


@pytest.mark.parametrize(
    ("limit", "deadline"),
    [("timeout: 300ms", ""), ("total_timeout: 300ms", ""), ("", "deadline: 300ms")],
)
def test_what_has_no_time_left_is_ended(
    limit: str, deadline: str, tmp_path: Path, bundle: Bundle, folder: DataFolder
) -> None:
    text = TIMED.replace("DEADLINE", deadline).replace("LIMIT", limit)
    (tmp_path / "book" / "timed.yaml").write_text(text)

    async def story() -> None:
        async with open_local(folder, slots=1) as engine:
            await engine.register(load(tmp_path / "book" / "timed.yaml"), "me")
            run = await engine.submit(Submit("test/timed"))
            row = await engine.wait(run)
            assert row.state == "failed"
            fault = engine.state(run).fault
            assert fault is not None
            assert fault.cls == "timeout"
            assert engine.status["in_flight"] == 0

    asyncio.run(story())


def test_a_try_that_finds_no_slot_in_time_fails_as_a_timeout(
    tmp_path: Path, bundle: Bundle, folder: DataFolder
) -> None:
    text = TIMED.replace("DEADLINE", "").replace("LIMIT", "queue_timeout: 200ms")
    (tmp_path / "book" / "timed.yaml").write_text(text)

    async def story() -> None:
        async with open_local(folder, slots=1) as engine:
            await engine.register(load(tmp_path / "book" / "timed.yaml"), "me")
            first = await engine.submit(Submit("test/timed"))
            while engine.status["in_flight"] < 1:
                await asyncio.sleep(0.01)
            second = await engine.submit(Submit("test/timed"))
            row = await engine.wait(second)
            fault = engine.state(second).fault
            assert row.state == "failed"
            assert fault is not None
            assert "queue_timeout" in fault.message
            await engine.cancel(first, "me")
            await engine.wait(first)

    asyncio.run(story())


def test_a_run_goes_on_from_any_event_of_an_old_one_with_other_input(
    bundle: Bundle, folder: DataFolder
) -> None:
    async def story() -> None:
        async with open_local(folder, slots=3) as engine:
            await engine.register(bundle, "me")
            old = await run_one(engine, workload={"count": 10})
            log = events(folder, old)
            middle = next(r.stream_seq for r in log if "write/2/" in str(r.event))
            for at in (1, middle, len(log) - 1):
                new = await engine.fork(old, at, "me")
                await engine.wait(new)
                assert engine.state(new).result == sum(n * n for n in range(10))
            other = await engine.fork(old, 2, "me", workload={"count": 4})
            await engine.wait(other)
            assert engine.state(other).result == sum(n * n for n in range(4))
            assert events(folder, old) == log, "the old run was touched"
            with pytest.raises(CannotFork, match="has ended with event"):
                await engine.fork(old, len(log), "me")
            with pytest.raises(CannotFork, match="no 0"):
                await engine.fork(old, 0, "me")

    asyncio.run(story())


def test_a_replay_of_what_really_ran_comes_to_the_same_trace(
    bundle: Bundle, folder: DataFolder
) -> None:
    async def story() -> None:
        async with open_local(folder, slots=3) as engine:
            await engine.register(bundle, "me")
            run = await run_one(engine)
            found = replay(run, engine.version_of(run).net, events(folder, run))
            assert found.equal is True
            assert found.events == len(events(folder, run))

    asyncio.run(story())


def test_an_edit_that_is_taken_back_makes_the_older_bundle_the_newest_again(
    tmp_path: Path, bundle: Bundle, folder: DataFolder
) -> None:
    code = tmp_path / "book" / "lines.py"
    before = code.read_text()

    async def story() -> None:
        async with open_local(folder, slots=3) as engine:
            first = await engine.register(bundle, "me")
            assert await engine.register(bundle, "me") == first
            code.write_text(before.replace("item * item", "0"))
            await engine.register(load(tmp_path / "book" / "lines.yaml"), "me")
            code.write_text(before)
            again = await engine.register(load(tmp_path / "book" / "lines.yaml"), "me")
            assert (again.version, again.number) == (first.version, 3)
            run = await run_one(engine)
            assert engine.state(run).result == EXPECTED

    asyncio.run(story())
