"""One attempt misbehaves, a neighbour runs beside it: the attempt ends alone, in plain words."""

from __future__ import annotations

import asyncio
import contextlib
import os
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runtime.data.folder import DataFolder
from runtime.data.objects import Objects
from runtime.engine.engine import Engine, Submit
from runtime.engine.local import open_local
from runtime.playbook.bundle import load_text
from runtime.run.events import AttemptFinished
from runtime.workers import usage
from runtime.workers.limits import Limits

PATIENCE_S = 240.0
BOOK = """
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: PATH}
workload: {there: {type: string}}
workflow:
  - step: it
    tool:
      kind: KIND
      code: |
CODE
LIMITS
"""
SHELL = """
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: PATH}
workload: {there: {type: string}}
workflow:
  - step: it
    tool: {kind: shell, run: 'CODE'}
    with: {there: "{{ workload.there }}"}
LIMITS
"""
NEIGHBOUR = """
import os, time
from pathlib import Path
there = Path(workload["there"])
there.with_suffix(".runs").write_text(str(os.getpid()))
while not there.with_suffix(".over").exists():
    time.sleep(0.01)
result = os.getpid()
"""


def book(path: str, code: str, limits: str = "", *, shell: bool = False) -> str:
    code = code.strip() if shell else textwrap.indent(textwrap.dedent(code).strip(), " " * 8)
    text = (SHELL if shell else BOOK).replace("CODE", code).replace("KIND", "python")
    return text.replace("PATH", path).replace("LIMITS", textwrap.indent(limits, " " * 4))


@dataclass
class Told:
    """What became of the attempt that misbehaved."""

    finished: AttemptFinished
    workers: list[dict[str, Any]]
    objects: Objects

    @property
    def cls(self) -> str:
        return self.finished.fault.cls if self.finished.fault is not None else ""

    @property
    def message(self) -> str:
        return self.finished.fault.message if self.finished.fault is not None else ""


Beside = Callable[..., Told]


@pytest.fixture
def beside(tmp_path: Path) -> Beside:
    """Run a step while a neighbour runs, which must not notice."""

    async def submit(engine: Engine, path: str, text: str, there: Path) -> str:
        await engine.register(load_text(text, {}), "me")
        return await engine.submit(Submit(path, {"there": str(there)}))

    async def story(text: str, seen: Callable[[AttemptFinished], object]) -> Told:
        there = tmp_path / "there"
        folder = DataFolder(tmp_path / "data")
        async with open_local(folder, slots=2, attempt=Limits(2 << 30), grace_s=0) as engine:
            neighbour = await submit(engine, "test/beside", book("test/beside", NEIGHBOUR), there)
            while not there.with_suffix(".runs").exists():
                await asyncio.sleep(0.01)
            run = await submit(engine, "test/it", text, there)
            await asyncio.wait_for(engine.wait(run), PATIENCE_S)
            there.with_suffix(".over").touch()
            await asyncio.wait_for(engine.wait(neighbour), PATIENCE_S)
            assert engine.state(neighbour).status == "completed"
            assert str(engine.state(neighbour).result) == there.with_suffix(".runs").read_text()
            workers = engine.status["workers"]
            mine = [w for w in workers if w["pid"] == engine.state(neighbour).result]
            assert [w["restarts"] for w in mine] == [0]
            story = (r.event for r in engine.journal.read(f"run/{run}"))
            finished = [e for e in story if isinstance(e, AttemptFinished)]
            seen(finished[0])
            return Told(finished[0], workers, Objects(folder.objects))

    def run(
        code: str,
        limits: str = "",
        *,
        shell: bool = False,
        seen: Callable[[AttemptFinished], object] = str,
    ) -> Told:
        return asyncio.run(story(book("test/it", code, limits, shell=shell), seen))

    return run


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def marked(mark: str) -> list[int]:
    """The processes that run with this word in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark.encode() in path.read_bytes() and alive(int(path.parent.name)):
                found.append(int(path.parent.name))
    return found


def none_left(mark: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while marked(mark):
        assert time.monotonic() < deadline, f"{len(marked(mark))} processes are left"
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("code", "told"),
    [("import ctypes; ctypes.string_at(0)", "signal 11 (SIGSEGV)"),
     ("import os; os._exit(3)", "exit code 3")],
)  # fmt: skip
def test_a_process_that_dies_loses_its_attempt_alone(beside: Beside, code: str, told: str) -> None:
    it = beside(code)
    assert (it.finished.outcome, it.cls) == ("lost", "lost")
    assert told in it.message


def test_an_endless_loop_is_ended_at_its_timeout(beside: Beside) -> None:
    it = beside("while True: pass", "timeout: 300ms")
    assert (it.finished.outcome, it.cls) == ("timed_out", "timeout")
    assert "ran longer than 0.3 s" in it.message


BOMB = """
import os, signal, sys
signal.alarm(20)
while os.read(int(sys.argv[1]), 1):
    if os.fork() == 0:
        signal.alarm(20)
        SESSION
signal.pause()
"""
"""A fork bomb that this machine survives whatever we do: it needs a ticket for each fork."""
TICKETS = 400


@pytest.mark.parametrize("session", ["pass", "os.setsid()"])
def test_a_fork_bomb_is_held_and_nothing_of_it_is_left(beside: Beside, session: str) -> None:
    mark = f"BOMB=bomb{os.getpid()}x{len(session)}"
    code = f"""
        import os, subprocess, sys
        ours, theirs = os.pipe()
        os.write(theirs, b"t" * {TICKETS})
        text = {BOMB.replace("SESSION", session)!r}
        env = {{**os.environ, "BOMB": "{mark[5:]}"}}
        subprocess.run([sys.executable, "-c", text, str(ours)], env=env, pass_fds=[ours, theirs])
        result = 1
    """
    it = beside(code, "processes: 40", seen=lambda _: none_left(mark))
    assert (it.finished.outcome, it.cls) == ("failed", "resource")
    assert "more than 40 processes" in it.message


def test_two_gigabytes_under_a_limit_of_512_megabytes_are_refused(beside: Beside) -> None:
    it = beside("result = len(bytearray(2 << 30))", "memory: 512MB")
    assert (it.finished.outcome, it.cls) == ("failed", "resource")
    assert it.message == "it wanted more than the 512 MB of memory allowed"
    assert it.finished.rss_peak < 512 << 20


def test_memory_that_a_child_takes_counts_as_the_attempts(beside: Beside) -> None:
    code = """exec python3 -c "x = bytearray(2 << 30); import time; time.sleep(600)" """
    it = beside(code, "memory: 512MB\neffect: idempotent", shell=True)
    assert (it.finished.outcome, it.cls) == ("failed", "resource")
    assert "512 MB are allowed" in it.message


@pytest.fixture
def look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What an attempt does to wait for a look of the watch that began after this."""
    ready, looked, measure = tmp_path / "ready", tmp_path / "looked", usage.memory_bytes

    def measured(pids: list[int], limit: int) -> int:
        awaited = ready.exists() and int(ready.read_text() or 0) in pids
        held = measure(pids, limit)
        if awaited:
            looked.touch()
        return held

    monkeypatch.setattr(usage, "memory_bytes", measured)
    return f"""
        import os, pathlib, time
        pathlib.Path({str(ready)!r}).write_text(str(os.getpid()))
        while not pathlib.Path({str(looked)!r}).exists():
            time.sleep(0.01)
    """.strip()


def test_memory_that_forks_share_is_counted_once(beside: Beside, look: str) -> None:
    it = beside(
        f"""
        import os, time
        held = bytearray(200 << 20)
        children = [os.fork() for _ in range(4)]
        if 0 in children:
            time.sleep(600)
        {look}
        result = sum(1 for child in children if child > 0)
        """,
        "memory: 512MB",
    )
    assert it.finished.result == 4, it.message


def test_a_mapped_table_larger_than_the_memory_limit_may_be_read(
    tmp_path: Path, look: str
) -> None:
    text = """
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: test/mapped}
workflow:
  - step: make
    tool:
      kind: python
      code: |
        import numpy as np, pyarrow as pa
        result = pa.table({"n": np.ones(20_000_000)})
    next: sum
  - step: sum
    memory: 128MB
    with: {table: "{{ make }}"}
    tool:
      kind: python
      code: |
        columns = [chunk.to_numpy() for chunk in table["n"].chunks]
        result = float(sum(column.sum() for column in columns))
        LOOK
""".replace("LOOK", look)

    async def story() -> None:
        async with open_local(DataFolder(tmp_path / "data"), slots=1) as engine:
            await engine.register(load_text(text, {}), "me")
            run = await engine.submit(Submit("test/mapped", {}))
            await asyncio.wait_for(engine.wait(run), PATIENCE_S)
            assert engine.state(run).result == 20_000_000, engine.state(run).fault

    asyncio.run(story())


def test_a_library_with_reserves_and_threads_works_under_a_limit(beside: Beside) -> None:
    it = beside(
        """
        import duckdb, pyarrow as pa, pyarrow.compute as pc
        numbers = pa.table({"n": list(range(100_000))})
        told = duckdb.sql("select sum(n) from numbers").fetchall()[0]
        result = [pc.sum(numbers["n"]).as_py(), told[0]]
        """,
        "memory: 512MB",
    )
    assert it.finished.result == [4_999_950_000] * 2, it.message


def test_a_step_that_may_act_once_and_is_stopped_may_have_acted(beside: Beside) -> None:
    code = """exec python3 -c "x = bytearray(2 << 30); import time; time.sleep(600)" """
    it = beside(code, "memory: 256MB", shell=True)
    assert it.cls == "unknown"
    assert "256 MB are allowed" in it.message


def test_a_result_of_a_gigabyte_over_the_limit_fails_as_resource(beside: Beside) -> None:
    it = beside('result = "x" * (1 << 30)', "output: 64MB")
    assert (it.finished.outcome, it.cls) == ("failed", "resource")
    assert "this step may return 67108864" in it.message


def test_a_large_result_under_the_limit_travels_by_reference(beside: Beside) -> None:
    it = beside('result = {"text": "x" * (40 << 20)}', "output: 64MB")
    assert it.finished.outcome == "succeeded"
    assert set(it.finished.result) >= {"$ref", "bytes", "sha256"}
    assert it.finished.bytes_out > 40 << 20


def test_closed_outputs_harm_nothing(beside: Beside) -> None:
    it = beside("""
        import os, sys
        print("last words")
        sys.stdout.close(); sys.stderr.close(); os.close(1); os.close(2)
        result = "done"
    """)
    assert (it.finished.outcome, it.finished.result) == ("succeeded", "done")
    assert "last words" in it.finished.stdout


def test_a_child_that_is_left_behind_is_killed(beside: Beside) -> None:
    mark = f"LEFT=left{os.getpid()}"
    it = beside(
        f"""
        import os, subprocess
        env = {{**os.environ, "LEFT": "{mark[5:]}"}}
        subprocess.Popen(["sleep", "600"], start_new_session=True, env=env)
        result = "left it"
        """,
        seen=lambda _: none_left(mark),
    )
    assert it.finished.result == "left it"


def test_a_worker_that_stops_itself_is_ended_at_its_timeout(beside: Beside) -> None:
    it = beside("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)", "timeout: 300ms")
    assert (it.finished.outcome, it.cls) == ("timed_out", "timeout")


def test_a_thread_that_never_ends_goes_with_its_worker(beside: Beside) -> None:
    def gone(finished: AttemptFinished) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while alive(finished.result):
            assert time.monotonic() < deadline, "the worker with the thread goes on"
            time.sleep(0.01)

    it = beside(
        """
        import os, threading, time
        threading.Thread(target=lambda: time.sleep(600), daemon=False).start()
        result = os.getpid()
        """,
        seen=gone,
    )
    assert it.finished.outcome == "succeeded"


def test_a_flood_of_output_is_cut_to_its_end(beside: Beside) -> None:
    it = beside("""
        import os
        data = b"x" * (1 << 20)
        for _ in range(1024): os.write(1, data)
        print("the end")
        result = 1
    """)
    assert it.finished.outcome == "succeeded"
    assert it.finished.stdout.endswith("the end\n")
    assert len(it.finished.stdout) < 70_000
    assert it.finished.rss_peak < 300 << 20


def test_a_step_may_delete_the_folder_it_runs_in(beside: Beside) -> None:
    it = beside("""
        import os, shutil
        os.chdir(run_folder)
        shutil.rmtree(os.getcwd())
        result = "gone"
    """)
    assert (it.finished.outcome, it.finished.result) == ("succeeded", "gone")


def test_silence_for_longer_than_the_heartbeat_ends_the_attempt(beside: Beside) -> None:
    it = beside("import time; time.sleep(600)", "heartbeat: 300ms")
    assert (it.finished.outcome, it.cls) == ("timed_out", "timeout")
    assert "no sign of life for 0.3 s" in it.message


def test_a_word_of_progress_is_a_sign_of_life(beside: Beside) -> None:
    it = beside(
        """
        import time
        for n in range(30):
            progress(n, 30)
            time.sleep(0.05)
        result = "alive"
        """,
        "heartbeat: 1s",
    )
    assert it.finished.result == "alive"


KILLER = """
import os
from pathlib import Path
if not Path(workload["there"]).exists():
    os._exit(9)
result = "mended"
"""


def test_a_step_that_kills_its_workers_is_poison_until_it_is_cleared(tmp_path: Path) -> None:
    folder, there = DataFolder(tmp_path / "data"), tmp_path / "there"

    async def run(engine: Engine, path: str, code: str) -> list[AttemptFinished]:
        await engine.register(load_text(book(path, code), {}), "me")
        run = await engine.submit(Submit(path, {"there": str(there)}))
        await asyncio.wait_for(engine.wait(run), PATIENCE_S)
        events = (r.event for r in engine.journal.read(f"run/{run}"))
        return [e for e in events if isinstance(e, AttemptFinished)]

    async def killed() -> None:
        async with open_local(folder, slots=2) as engine:
            first = await run(engine, "test/killer", KILLER)
            assert [e.outcome for e in first] == [*["lost"] * 5, "failed"]
            (refused,) = await run(engine, "test/killer", KILLER)
            assert (refused.outcome, refused.worker) == ("failed", "")
            assert refused.fault is not None
            assert refused.fault.cls == "lost"
            assert "it is poison: 5 attempts in a row" in refused.fault.message
            assert "exit code 9" in refused.fault.message
            (other,) = await run(engine, "test/other", "result = 1")
            assert other.outcome == "succeeded"
            assert engine.status["pool"]["state"] == "working"

    async def cleared() -> None:
        async with open_local(folder, slots=2) as engine:
            assert [p["step"] for p in engine.status["poison"]] == ["it"]
            (refused,) = await run(engine, "test/killer", KILLER)
            assert refused.outcome == "failed"
            (version,) = await run(engine, "test/killer", KILLER + "# another version")
            assert version.result == "mended"
            assert await engine.clear("test/killer", "it", "me", "the library is mended") == 1
            assert engine.status["poison"] == []
            (again,) = await run(engine, "test/killer", KILLER)
            assert again.result == "mended"

    asyncio.run(killed())
    there.touch()
    asyncio.run(cleared())


def test_what_waits_for_the_only_worker_is_sent_when_that_is_back(tmp_path: Path) -> None:
    code = """
        import os
        from pathlib import Path
        tries = Path(workload["there"]).open("a+")
        tries.write("x"); tries.flush(); tries.seek(0)
        if len(tries.read()) < 5: os._exit(1)
        result = "at last"
    """

    async def story() -> None:
        async with open_local(DataFolder(tmp_path / "data"), slots=1) as engine:
            await engine.register(load_text(book("test/late", code), {}), "me")
            run = await engine.submit(Submit("test/late", {"there": str(tmp_path / "there")}))
            await asyncio.wait_for(engine.wait(run), PATIENCE_S)
            assert engine.state(run).result == "at last"

    asyncio.run(story())
