"""What every pool owes the engine: one report a task, and nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.data.folder import DataFolder
from runtime.data.objects import Objects
from runtime.workers.environment import environment
from runtime.workers.local import LocalPool
from runtime.workers.loop import Setting
from runtime.workers.orders import DOWN, SPAWN, UP, UP_ENDED
from runtime.workers.port import Pool
from runtime.workers.protocol import Items, Publish, Report, Task
from runtime.workers.template import Template

PATIENCE_S = 240.0
REPOSITORY = Path(__file__).parents[2]
CODE = """
import ctypes, os, subprocess, sys, time
from pathlib import Path

def echo(value): return value
def pid(): return os.getpid()
def raises(): raise ValueError("no good")
def leaves(code): os._exit(code)
def calls_exit(): sys.exit(2)
def crashes(): ctypes.string_at(0)
def waits(file, seconds=600):
    Path(file).write_text(str(os.getpid()))
    time.sleep(seconds)
    return "waited"
def closes_output():
    print("last words")
    sys.stdout.close(); os.close(1); os.close(2)
def prints(megabytes):
    for _ in range(megabytes * 16): print("x" * 65535)
    print("the end")
def prints_everywhere():
    print("from python", flush=True)
    ctypes.CDLL(None).puts(b"from c")
    subprocess.run(["echo", "from a child"], check=True)
    os.write(2, b"from stderr\\n")
def hungry(megabytes): return len(bytearray(megabytes << 20))
def big_table(rows):
    import numpy as np, pyarrow as pa
    return pa.table({"n": np.arange(rows), "twice": np.arange(rows) * 2})
def sums(table): return int(table["n"].to_numpy().sum())
def writes_into(table): table["n"].chunk(0).to_numpy()[0] = 7
def maps(table):
    from pathlib import Path
    address = table["n"].chunk(0).buffers()[1].address
    for line in Path("/proc/self/maps").read_text().splitlines():
        low, high = (int(x, 16) for x in line.split()[0].split("-"))
        if low <= address < high: return line.split()[1] + " " + line.split()[-1]
def long_list(count): return [{"n": n} for n in range(count)]
def forks():
    if os.fork() == 0: return "child"
    return "parent"
def starts_a_child(file):
    child = subprocess.Popen(["sleep", "600"], start_new_session=True)
    Path(file).write_text(str(child.pid))
    return "left it"
def told(services): return services
def where(): return os.getcwd()
def wanders(): os.chdir("/")
def unsayable(): return {"n": 2 ** 80}
def huge(): return "x" * 200_000
"""


class Bench:
    """A pool with somebody at the other end who remembers every report."""

    def __init__(self, pool: Pool, folder: DataFolder) -> None:
        self.pool, self.folder = pool, folder
        self.reports: list[tuple[str, Report]] = []
        self.heard_at = 0.0
        self.bundle = folder.bundles / "first"
        self.bundle.mkdir()
        (self.bundle / "work.py").write_text(CODE)
        self._slots = 0
        self._waiting: dict[int, asyncio.Future[Report]] = {}
        self._moved = asyncio.Event()

    def heard(self, worker: str, report: Report) -> None:
        self.reports.append((worker, report))
        self.heard_at = asyncio.get_running_loop().time()
        waiting = self._waiting.get(report.slot)
        if waiting is not None and not waiting.done():
            waiting.set_result(report)
        self._moved.set()

    def task(self, call: str | dict[str, Any], **options: Any) -> Task:
        self._slots += 1
        tool = {"kind": "python", "call": f"work:{call}"} if isinstance(call, str) else call
        items = options.get("items")
        fields = {
            "args": {}, "workload": {}, "run": "r", "playbook": "p", "version": "v",
            "step": "s", "number": 1, "key": "k", "bundle": str(self.bundle),
            "run_folder": str(self.folder.run("r")), "objects": str(self.folder.objects),
            "attempt": f"r/s/{0 if items else -1}/{self._slots}",
        }  # fmt: skip
        return Task(slot=self._slots, tool=tool, **{**fields, **options})

    async def send(self, call: str | dict[str, Any], **options: Any) -> asyncio.Future[Report]:
        """Send a task as soon as a worker is free."""
        await self.until(lambda: self.pool.free() > 0)
        task = self.task(call, **options)
        self._waiting[task.slot] = asyncio.get_running_loop().create_future()
        self.pool.send(task)
        return self._waiting[task.slot]

    def send_short(self, call: str, **options: Any) -> asyncio.Future[Report]:
        """Send a task that should be short, if need be behind others."""
        task = self.task(call, **options)
        self._waiting[task.slot] = asyncio.get_running_loop().create_future()
        self.pool.send(task, 0.0001)
        return self._waiting[task.slot]

    async def run(self, call: str | dict[str, Any], **options: Any) -> Report:
        return await asyncio.wait_for(await self.send(call, **options), PATIENCE_S)

    async def until(self, true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not true():
            assert time.monotonic() < deadline, "it never came true"
            await asyncio.sleep(0.005)

    async def started(self, file: Path) -> int:
        await self.until(lambda: file.exists() and file.read_text() != "")
        return int(file.read_text())

    async def gone(self, pid: int) -> None:
        await self.until(lambda: not alive(pid))

    def pids(self) -> list[int]:
        return [int(str(line["pid"])) for line in self.pool.workers() if line["pid"]]


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def children_of(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(stat.parent.name))
    return found


Stage = Callable[..., None]
"""Plays a story with a bench; ``slots`` says with how many workers."""


@pytest.fixture(params=[LocalPool], ids=["local"])
def make_pool(request: pytest.FixtureRequest) -> Callable[..., Pool]:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    folder = DataFolder(tmp_path / "data")
    folder.prepare()
    return folder


@pytest.fixture
def with_bench(make_pool: Callable[..., Pool], folder: DataFolder) -> Stage:
    """Run a story against a pool, of two unless said, and see that it leaves nothing behind."""

    @contextlib.asynccontextmanager
    async def opened(slots: int) -> AsyncIterator[Bench]:
        pool = make_pool(slots, folder)
        bench = Bench(pool, folder)
        pool.start(asyncio.get_running_loop(), bench.heard)
        try:
            yield bench
        finally:
            pids = bench.pids()
            await pool.stop(0)
            for pid in pids:
                await bench.gone(pid)
            assert max(Counter(r.slot for _, r in bench.reports).values(), default=1) == 1

    async def story(tell: Callable[[Bench], Any], slots: int) -> None:
        async with opened(slots) as bench:
            await tell(bench)

    return lambda tell, slots=2: asyncio.run(story(tell, slots))


class TestOneReportATask:
    def test_a_task_is_answered_by_the_worker_it_was_given_to(self, with_bench: Stage) -> None:
        async def tell(bench: Bench) -> None:
            task = bench.task("echo", args={"value": {"a": [1, None, "ü"]}})
            name = bench.pool.send(task)
            await bench.until(lambda: bool(bench.reports))
            worker, report = bench.reports[0]
            assert (worker, report.slot, report.attempt) == (name, task.slot, task.attempt)
            assert (report.outcome, report.result) == ("succeeded", {"a": [1, None, "ü"]})
            assert report.environment == environment()
            assert report.rss_peak > 1 << 20
            assert report.fault is None

        with_bench(tell)

    def test_as_many_tasks_run_at_once_as_there_are_slots(
        self, with_bench: Stage, tmp_path: Path
    ) -> None:
        async def tell(bench: Bench) -> None:
            assert bench.pool.free() == bench.pool.slots == 2
            for n in (1, 2):
                bench.pool.send(bench.task("waits", args={"file": str(tmp_path / f"{n}")}))
            assert bench.pool.free() == 0
            with pytest.raises(RuntimeError, match="no free worker"):
                bench.pool.send(bench.task("pid"))
            pids = {await bench.started(tmp_path / f"{n}") for n in (1, 2)}
            assert len(pids) == 2
            lines = bench.pool.workers()
            assert {line["state"] for line in lines} == {"busy"}
            assert {line["pid"] for line in lines} == pids

        with_bench(tell)

    def test_an_exception_fails_the_attempt_and_the_worker_goes_on(
        self, with_bench: Stage
    ) -> None:
        async def tell(bench: Bench) -> None:
            before = {(await bench.run("pid")).result}
            report = await bench.run("raises", source_name="p.yaml", source_line=9)
            assert report.outcome == "failed"
            assert report.fault is not None
            assert report.fault["cls"] == "permanent"
            assert report.fault["message"] == "ValueError: no good"
            left = await bench.run("calls_exit")
            assert left.fault is not None
            assert "sys.exit(2)" in left.fault["message"]
            assert {(await bench.run("pid")).result} == before

        with_bench(tell)

    @pytest.mark.parametrize(
        ("call", "args", "told"),
        [("leaves", {"code": 3}, "exit code 3"), ("leaves", {"code": 0}, "exit code 0"),
         ("crashes", {}, "signal 11 (SIGSEGV)")],
    )  # fmt: skip
    def test_a_process_that_ends_loses_its_attempt_alone(
        self, with_bench: Stage, call: str, args: dict[str, Any], told: str
    ) -> None:
        async def tell(bench: Bench) -> None:
            report = await bench.run(call, args=args)
            assert report.outcome == "lost"
            assert report.fault is not None
            assert report.fault["cls"] == "lost"
            assert told in report.fault["message"]
            assert (await bench.run("echo", args={"value": 1})).result == 1

        with_bench(tell)

    def test_a_killed_worker_is_replaced(self, with_bench: Stage, tmp_path: Path) -> None:
        async def tell(bench: Bench) -> None:
            sent = await bench.send("waits", args={"file": str(tmp_path / "pid")})
            pid = await bench.started(tmp_path / "pid")
            os.kill(pid, signal.SIGKILL)
            report = await sent
            assert report.outcome == "lost"
            assert report.fault is not None
            assert "signal 9 (SIGKILL)" in report.fault["message"]
            await bench.until(lambda: bench.pool.free() == 2)
            assert sum(int(str(line["restarts"])) for line in bench.pool.workers()) == 1
            assert pid not in bench.pids()

        with_bench(tell)

    def test_a_task_that_no_process_ever_read_is_given_to_the_next(
        self, with_bench: Stage
    ) -> None:
        async def tell(bench: Bench) -> None:
            await bench.until(lambda: len(bench.pids()) == 2)
            for pid in bench.pids():
                os.kill(pid, signal.SIGSTOP)
            sent = await bench.send("echo", args={"value": 5})
            for pid in bench.pids():
                os.kill(pid, signal.SIGKILL)
            report = await asyncio.wait_for(sent, PATIENCE_S)
            assert (report.outcome, report.result) == ("succeeded", 5)

        with_bench(tell)

    def test_when_the_template_dies_its_tasks_are_lost_and_another_starts(
        self, with_bench: Stage, tmp_path: Path
    ) -> None:
        async def tell(bench: Bench) -> None:
            run = f"setsid sh -c 'echo $$ > {tmp_path}/2; sleep 600; true'"
            sent = [
                await bench.send("waits", args={"file": str(tmp_path / "1")}),
                await bench.send({"kind": "shell", "run": run}),
            ]
            pids = [await bench.started(tmp_path / f"{n}") for n in (1, 2)]
            (template,) = [p for p in children_of(os.getpid()) if pids[0] in children_of(p)]
            os.kill(template, signal.SIGKILL)
            assert {(await s).outcome for s in sent} == {"lost"}
            assert (await bench.run("echo", args={"value": 1})).result == 1
            for pid in pids:
                await bench.gone(pid)

        with_bench(tell)

    def test_nothing_is_lost_or_doubled_while_workers_are_killed_at_random(
        self, with_bench: Stage
    ) -> None:
        async def tell(bench: Bench) -> None:
            chance = random.Random(7)
            sent = []
            for n in range(150):
                sent.append(await bench.send("echo", args={"value": n}))
                if chance.random() < 0.2 and bench.pids():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(chance.choice(bench.pids()), signal.SIGKILL)
            reports = await asyncio.wait_for(asyncio.gather(*sent), PATIENCE_S)
            assert {r.outcome for r in reports} <= {"succeeded", "lost"}
            assert all(r.result == n for n, r in enumerate(reports) if r.outcome == "succeeded")
            assert len(bench.reports) == 150

        with_bench(tell)

    def test_a_worker_that_dies_again_and_again_is_replaced_more_slowly(
        self, with_bench: Stage
    ) -> None:
        async def tell(bench: Bench) -> None:
            pauses = [await _pause(bench) for _ in range(6)]
            assert all(pauses[n] > 0.04 * 2 ** (n - 1) for n in range(1, 6))
            again = []
            for _ in range(3):  # one of them is at once, however busy the machine is
                assert (await bench.run("echo", args={"value": 1})).result == 1
                again.append(await _pause(bench))
            assert min(again) < pauses[5]

        with_bench(tell, slots=1)

    def test_a_pool_whose_idle_workers_die_pauses_and_goes_on_by_itself(
        self, make_pool: Callable[..., Pool], folder: DataFolder
    ) -> None:
        async def story() -> None:
            pool, room = make_pool(2, folder), asyncio.Event()
            bench = Bench(pool, folder)
            pool.start(asyncio.get_running_loop(), bench.heard, room.set)
            killed = set[int]()
            while pool.health()["state"] == "working":
                for pid in set(bench.pids()) - killed:
                    os.kill(pid, signal.SIGKILL)
                    killed.add(pid)
                await asyncio.sleep(0.001)
            assert len(killed) <= 30
            assert "SIGKILL" in pool.health()["last_death"]
            assert (pool.free(), pool.room(0.001)) == (0, False)
            room.clear()
            await asyncio.wait_for(room.wait(), PATIENCE_S)
            assert (await bench.run("echo", args={"value": 1})).result == 1
            assert (pool.health()["state"], pool.health()["pauses"]) == ("working", 0)
            await pool.stop(0)

        asyncio.run(story())

    def test_a_task_that_waits_for_a_new_process_can_be_cancelled(self, with_bench: Stage) -> None:
        async def tell(bench: Bench) -> None:
            for _ in range(4):
                await bench.run("leaves", args={"code": 1})
            await bench.until(lambda: bench.pool.free() == 1 and len(bench.pids()) == 1)
            (pid,) = bench.pids()
            os.kill(pid, signal.SIGSTOP)
            sent = await bench.send("echo", args={"value": 5})
            os.kill(pid, signal.SIGKILL)
            await bench.until(lambda: bench.pool.workers()[0]["state"] == "down")
            bench.pool.kill(bench.reports[-1][1].slot + 1, "cancelled")
            assert (await asyncio.wait_for(sent, PATIENCE_S)).outcome == "cancelled"
            assert (await bench.run("echo", args={"value": 6})).result == 6
            assert len(bench.reports) == 6

        with_bench(tell, slots=1)

    def test_a_child_that_a_tool_forked_answers_nothing(self, with_bench: Stage) -> None:
        async def tell(bench: Bench) -> None:
            assert (await bench.run("forks")).result == "parent"
            assert (await bench.run("echo", args={"value": 1})).result == 1
            assert len(bench.reports) == 2

        with_bench(tell)

    @pytest.mark.parametrize("said", ["b'\\5\\0\\0\\0junk!'", "b'\\xff' * 8"])
    def test_a_worker_that_speaks_no_sense_is_ended(self, with_bench: Stage, said: str) -> None:
        code = (
            "import os, time\n"
            "for fd in map(int, os.listdir('/proc/self/fd')):\n"
            "    path = f'/proc/self/fd/{fd}'\n"
            "    if os.path.lexists(path) and os.readlink(path).startswith('socket:'):\n"
            f"        os.write(fd, {said})\n"
            "time.sleep(600)\n"
        )

        async def tell(bench: Bench) -> None:
            report = await bench.run({"kind": "python", "code": code})
            assert report.outcome == "lost"
            assert report.fault is not None
            assert "what it said was no report" in report.fault["message"]
            assert (await bench.run("echo", args={"value": 1})).result == 1

        with_bench(tell)

    def test_a_worker_that_cannot_be_forked_is_told_to_the_pool(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse() -> int:
            raise BlockingIOError("no more processes")

        monkeypatch.setattr(os, "fork", refuse)
        pool, control = socket.socketpair()
        ours, theirs = socket.socketpair()
        with pool, control, ours:
            tickets = os.pipe()
            socket.send_fds(pool, [DOWN.pack(SPAWN, 7)], [theirs.fileno(), tickets[0]])
            theirs.close()
            for fd in tickets:
                os.close(fd)
            template = Template(control, Setting("e"))
            assert template._hear()
            what, number, status = UP.unpack(pool.recv(UP.size))
            assert (what, number, os.waitstatus_to_exitcode(status)) == (UP_ENDED, 7, 71)
            assert ours.recv(1) == b""
            template.close()

    def test_inputs_that_cannot_be_said_are_a_fault(self, with_bench: Stage) -> None:
        async def tell(bench: Bench) -> None:
            report = await bench.run("echo", args={"value": 2**80})
            assert report.outcome == "failed"
            assert report.fault is not None
            assert "cannot be given to a worker" in report.fault["message"]
            assert bench.pool.free() == 2

        with_bench(tell)

    def test_a_result_that_cannot_be_said_is_a_fault(self, with_bench: Stage) -> None:
        async def tell(bench: Bench) -> None:
            report = await bench.run("unsayable")
            assert report.outcome == "failed"
            assert report.fault is not None
            assert report.fault["cls"] == "permanent"

        with_bench(tell)


class TestShortTasks:
    def test_many_wait_behind_one_another_and_each_is_answered(self, with_bench: Stage) -> None:
        async def tell(bench: Bench) -> None:
            sent = [bench.send_short("echo", args={"value": n}) for n in range(60)]
            assert bench.pool.free() == 0
            assert bench.pool.room(0.0001)
            bench.pool.flush()
            reports = await asyncio.wait_for(asyncio.gather(*sent), PATIENCE_S)
            assert [r.result for r in reports] == list(range(60))
            assert len({name for name, _ in bench.reports}) == 2

        with_bench(tell)

    def test_no_more_are_taken_than_is_work_for_a_few_milliseconds(
        self, with_bench: Stage
    ) -> None:
        async def tell(bench: Bench) -> None:
            sent = []
            while bench.pool.room(0.0001):
                sent.append(bench.send_short("echo", args={"value": 1}))
                assert len(sent) < 300
            assert not bench.pool.room(0.0001)
            with pytest.raises(RuntimeError, match="no free worker"):
                bench.send_short("echo", args={"value": 1})
            bench.pool.flush()
            await asyncio.wait_for(asyncio.gather(*sent), PATIENCE_S)
            assert bench.pool.free() == 2

        with_bench(tell)

    def test_nothing_waits_behind_a_task_that_may_be_long(
        self, with_bench: Stage, tmp_path: Path
    ) -> None:
        async def tell(bench: Bench) -> None:
            for n in (1, 2):
                await bench.send("waits", args={"file": str(tmp_path / f"{n}")})
            assert not bench.pool.room(0.0)

        with_bench(tell)

    def test_what_a_dead_process_had_not_begun_is_run_by_another(
        self, with_bench: Stage, tmp_path: Path
    ) -> None:
        async def tell(bench: Bench) -> None:
            await bench.send("waits", args={"file": str(tmp_path / "other")})
            await bench.started(tmp_path / "other")
            first = bench.send_short("waits", args={"file": str(tmp_path / "first")})
            behind = [bench.send_short("echo", args={"value": n}) for n in range(20)]
            bench.pool.flush()
            os.kill(await bench.started(tmp_path / "first"), signal.SIGKILL)
            reports = await asyncio.wait_for(asyncio.gather(*behind), PATIENCE_S)
            assert (await first).outcome == "lost"
            assert [r.result for r in reports] == list(range(20))

        with_bench(tell)

    def test_a_process_that_read_its_tasks_and_began_none_loses_none(
        self, with_bench: Stage
    ) -> None:
        async def tell(bench: Bench) -> None:
            await bench.run("pid")
            (pid,) = bench.pids()
            os.kill(pid, signal.SIGSTOP)
            sent = [bench.send_short("echo", args={"value": n}) for n in range(30)]
            bench.pool.flush()
            os.kill(pid, signal.SIGKILL)
            reports = await asyncio.wait_for(asyncio.gather(*sent), PATIENCE_S)
            assert [r.result for r in reports] == list(range(30))

        with_bench(tell, slots=1)

    def test_one_that_takes_long_after_all_holds_up_no_other(
        self, with_bench: Stage, tmp_path: Path
    ) -> None:
        async def tell(bench: Bench) -> None:
            slow = bench.send_short("waits", args={"file": str(tmp_path / "slow")}, timeout_s=60)
            quick = [bench.send_short("echo", args={"value": n}) for n in range(40)]
            bench.pool.flush()
            reports = await asyncio.wait_for(asyncio.gather(*quick), PATIENCE_S)
            assert [r.result for r in reports] == list(range(40))
            assert not slow.done()
            assert bench.pool.free() != 2
            os.kill(await bench.started(tmp_path / "slow"), signal.SIGKILL)
            assert (await slow).outcome == "lost"

        with_bench(tell)

    def test_one_over_its_time_is_ended_and_those_behind_it_are_run(
        self, with_bench: Stage, tmp_path: Path
    ) -> None:
        async def tell(bench: Bench) -> None:
            slow = bench.send_short("waits", args={"file": str(tmp_path / "s")}, timeout_s=0.05)
            quick = [
                bench.send_short("echo", args={"value": n}, timeout_s=PATIENCE_S)
                for n in range(40)
            ]
            bench.pool.flush()
            reports = await asyncio.wait_for(asyncio.gather(*quick), PATIENCE_S)
            assert {r.outcome for r in reports} == {"succeeded"}
            assert (await asyncio.wait_for(slow, PATIENCE_S)).outcome == "timed_out"

        with_bench(tell)

    @pytest.mark.parametrize("outcome", ["cancelled", "timed_out"])
    def test_one_that_no_process_began_can_be_ended(self, with_bench: Stage, outcome: str) -> None:
        async def tell(bench: Bench) -> None:
            await bench.run("pid")
            (pid,) = bench.pids()
            os.kill(pid, signal.SIGSTOP)
            sent = await bench.send("echo", args={"value": 1})
            bench.pool.kill(bench._slots, outcome)
            assert (await asyncio.wait_for(sent, PATIENCE_S)).outcome == outcome
            after = await bench.send("pid")
            os.kill(pid, signal.SIGCONT)
            assert (await asyncio.wait_for(after, PATIENCE_S)).result == pid

        with_bench(tell, slots=1)

    def test_one_that_waits_can_be_cancelled_and_harms_no_other(
        self, with_bench: Stage, tmp_path: Path
    ) -> None:
        async def tell(bench: Bench) -> None:
            await bench.send("waits", args={"file": str(tmp_path / "other")})
            first = bench.send_short(
                "waits", args={"file": str(tmp_path / "first"), "seconds": 0.3}
            )
            cancelled = bench.send_short("echo", args={"value": 1})
            last = bench.send_short("echo", args={"value": 2})
            bench.pool.flush()
            await bench.started(tmp_path / "first")
            slot = next(slot for slot, f in bench._waiting.items() if f is cancelled)
            bench.pool.kill(slot, "cancelled")
            assert (await asyncio.wait_for(cancelled, PATIENCE_S)).outcome == "cancelled"
            assert (await asyncio.wait_for(first, PATIENCE_S)).result == "waited"
            assert (await asyncio.wait_for(last, PATIENCE_S)).result == 2

        with_bench(tell)

    def test_nothing_is_lost_or_doubled_while_workers_are_killed_at_random(
        self, with_bench: Stage
    ) -> None:
        async def tell(bench: Bench) -> None:
            chance = random.Random(11)
            sent: list[asyncio.Future[Report]] = []
            while len(sent) < 1500:
                await bench.until(lambda: bench.pool.room(0.0001))
                while bench.pool.room(0.0001) and chance.random() < 0.98:
                    sent.append(bench.send_short("echo", args={"value": len(sent)}))
                bench.pool.flush()
                if chance.random() < 0.2 and bench.pids():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(chance.choice(bench.pids()), signal.SIGKILL)
            reports = await asyncio.wait_for(asyncio.gather(*sent), PATIENCE_S)
            assert {r.outcome for r in reports} <= {"succeeded", "lost"}
            assert all(r.result == n for n, r in enumerate(reports) if r.outcome == "succeeded")
            assert len(bench.reports) == len(sent)

        with_bench(tell)


async def _pause(bench: Bench) -> float:
    """How long the pool waits with a new process after its only one died."""
    await bench.run("leaves", args={"code": 1})
    await bench.until(lambda: bench.pool.free() == 1)
    return asyncio.get_running_loop().time() - bench.heard_at


class TestLimits:
    def test_a_task_over_its_time_is_ended(self, with_bench: Stage, tmp_path: Path) -> None:
        async def tell(bench: Bench) -> None:
            slow = await bench.send("waits", args={"file": str(tmp_path / "a")}, timeout_s=0.5)
            (line,) = [line for line in bench.pool.workers() if line["attempt"]]
            later = await bench.send(
                "waits", args={"file": str(tmp_path / "b"), "seconds": 0.7}, timeout_s=PATIENCE_S
            )
            await bench.until(lambda: bool(line["pid"]) or len(bench.pids()) == 2)
            (pid,) = [w["pid"] for w in bench.pool.workers() if w["name"] == line["name"]]
            report = await slow
            assert report.outcome == "timed_out"
            assert report.fault is not None
            assert report.fault["cls"] == "timeout"
            assert report.run_s >= 0.5
            await bench.gone(int(str(pid)))
            assert (await later).outcome == "succeeded"

        with_bench(tell)

    def test_a_killed_slot_reports_what_was_asked_for(
        self, with_bench: Stage, tmp_path: Path
    ) -> None:
        async def tell(bench: Bench) -> None:
            task = bench.task("waits", args={"file": str(tmp_path / "pid")})
            bench.pool.send(task)
            pid = await bench.started(tmp_path / "pid")
            bench.pool.kill(task.slot, "cancelled")
            bench.pool.kill(task.slot, "timed_out")
            await bench.until(lambda: bool(bench.reports))
            report = bench.reports[0][1]
            assert report.outcome == "cancelled"
            assert report.fault is not None
            assert report.fault["cls"] == "cancelled"
            await bench.gone(pid)
            bench.pool.kill(task.slot, "cancelled")
            assert (await bench.run("echo", args={"value": 1})).result == 1

        with_bench(tell)

    def test_a_worker_that_stays_stopped_is_not_waited_for(
        self, with_bench: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("runtime.workers.watch.STOPPED_S", 0.3)

        async def tell(bench: Bench) -> None:
            code = "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)"
            report = await bench.run({"kind": "python", "code": code})
            assert report.outcome == "timed_out"
            assert report.fault is not None
            assert "was stopped (SIGSTOP)" in report.fault["message"]
            assert (await bench.run("echo", args={"value": 1})).result == 1

        with_bench(tell)

    def test_a_task_over_its_memory_fails_as_resource(self, with_bench: Stage) -> None:
        async def tell(bench: Bench) -> None:
            report = await bench.run("hungry", args={"megabytes": 600}, memory_bytes=300 << 20)
            assert report.fault is not None
            assert report.fault["cls"] == "resource"
            again = await bench.run("hungry", args={"megabytes": 400})
            assert again.result == 400 << 20
            assert again.rss_peak > 400 << 20
            small = await bench.run("hungry", args={"megabytes": 1})
            assert small.rss_peak < 200 << 20

        with_bench(tell)

    def test_a_result_over_its_size_fails_as_resource(self, with_bench: Stage) -> None:
        async def tell(bench: Bench) -> None:
            report = await bench.run("huge", output_bytes=100_000)
            assert report.fault is not None
            assert report.fault["cls"] == "resource"
            assert "100000" in report.fault["message"]

        with_bench(tell)


class TestOutput:
    def test_output_is_caught_wherever_it_comes_from(self, with_bench: Stage) -> None:
        async def tell(bench: Bench) -> None:
            report = await bench.run("prints_everywhere")
            lines = set(report.stdout.split("\n"))
            assert {"from python", "from c", "from a child", "from stderr"} <= lines
            assert (await bench.run("echo", args={"value": 1})).stdout == ""

        with_bench(tell)

    def test_only_the_end_of_long_output_is_kept(self, with_bench: Stage) -> None:
        async def tell(bench: Bench) -> None:
            report = await bench.run("prints", args={"megabytes": 10})
            assert report.outcome == "succeeded"
            assert report.stdout.endswith("the end\n")
            assert 60_000 < len(report.stdout) < 70_000
            assert "bytes left out" in report.stdout[:100]

        with_bench(tell)

    def test_closed_output_is_mended(self, with_bench: Stage) -> None:
        async def tell(bench: Bench) -> None:
            assert (await bench.run("closes_output")).stdout == "last words\n"
            report = await bench.run("prints_everywhere")
            assert "from python" in report.stdout

        with_bench(tell)

    def test_a_tool_that_changes_folder_does_not_move_the_next(self, with_bench: Stage) -> None:
        async def tell(bench: Bench) -> None:
            assert (await bench.run("wanders")).outcome == "succeeded"
            assert (await bench.run("where")).result == os.getcwd()

        with_bench(tell)

    def test_secrets_reach_the_tool_and_nobody_else(
        self, with_bench: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TRIMTAB_SECRET_DB_PASSWORD", "hunter2")
        monkeypatch.setenv("TRIMTAB_TOKEN", "the server's own")

        async def tell(bench: Bench) -> None:
            code = (
                "import os\nprint('pw', pw)\n"
                "result = [pw, len(pw), os.environ.get('TRIMTAB_TOKEN')]"
            )
            report = await bench.run(
                {"kind": "python", "code": code},
                args={"pw": {"secret": "db-password"}},
                secrets=("db-password",),
            )
            assert report.result == ["•••", 7, None]
            assert report.stdout == "pw •••\n"
            undeclared = await bench.run(
                {"kind": "python", "code": code}, args={"pw": {"secret": "x"}}, secrets=("y",)
            )
            assert undeclared.fault is not None
            assert "not declared" in undeclared.fault["message"]

        with_bench(tell)


class TestLargeData:
    def test_a_table_of_a_hundred_megabytes_never_travels(
        self, make_pool: Callable[..., Pool], with_bench: Stage, folder: DataFolder
    ) -> None:
        async def tell(bench: Bench) -> None:
            pool = bench.pool
            assert isinstance(pool, LocalPool)
            rows = 100_000_000 // 16
            made = await bench.run("big_table", args={"rows": rows})
            ref = made.result
            assert made.rows_out == rows
            assert made.bytes_out == ref["bytes"] > 100_000_000
            assert ref["schema"] == {"n": "int64", "twice": "int64"}
            assert Objects(folder.objects).path(ref).stat().st_size == ref["bytes"]
            for start in (0, 1000, rows - 1000):
                items = Items(ref, start, 1000, sliced=False)
                report = await bench.run("sums", items=items)
                assert report.result == sum(range(start, start + 1000))
                assert report.rows_in == 1000
                assert 16_000 <= report.bytes_in < 20_000
                assert report.rss_peak < 400 << 20
            assert pool.bytes_sent + pool.bytes_received < 10_000

        with_bench(tell)

    def test_a_batch_is_a_read_only_window_on_the_file(self, with_bench: Stage) -> None:
        async def tell(bench: Bench) -> None:
            ref = (await bench.run("big_table", args={"rows": 100_000})).result
            items = Items(ref, 10, 5, sliced=False)
            mapped = (await bench.run("maps", items=items)).result
            assert mapped.startswith("r--")
            assert mapped.endswith(ref["$ref"])
            refused = await bench.run("writes_into", items=items)
            assert refused.fault is not None
            assert "read-only" in refused.fault["message"]

        with_bench(tell)

    def test_long_json_goes_by_reference_and_comes_back_in_pieces(self, with_bench: Stage) -> None:
        async def tell(bench: Bench) -> None:
            ref = (await bench.run("long_list", args={"count": 20_000})).result
            assert (ref["media"], ref["rows"]) == ("application/json", 20_000)
            code = "items[0]['n'] += 1000\nresult = items"
            for _ in range(2):
                batch = await bench.run(
                    {"kind": "python", "code": code}, items=Items(ref, 19_998, 2, sliced=False)
                )
                assert batch.result == [{"n": 20_998}, {"n": 19_999}]

        with_bench(tell)


class TestPublishing:
    def publish(self, folder: DataFolder, number: int) -> Publish:
        return Publish(
            "clinic.rows", "parquet", "c.yaml", number, f"{folder.products}/clinic.rows"
        )

    def test_a_table_that_keeps_its_contract_is_published(
        self, with_bench: Stage, folder: DataFolder
    ) -> None:
        async def tell(bench: Bench) -> None:
            (bench.bundle / "c.yaml").write_text("rows: {min: 10}\ncolumns: {n: integer}")
            hashes = set()
            for number, call in ((1, "big_table"), (2, "long_list")):
                args = {"rows": 10} if call == "big_table" else {"count": 10}
                report = await bench.run(call, args=args, publish=self.publish(folder, number))
                assert report.outcome == "succeeded", report.fault
                assert report.published is not None
                path = folder.root / report.published["location"]
                assert hashlib.sha256(path.read_bytes()).hexdigest() == report.published["sha256"]
                assert report.result["rows"] == report.published["rows"] == 10
                hashes.add(report.published["sha256"])
            assert len(hashes) == 2

        with_bench(tell)

    def test_a_broken_contract_fails_the_attempt_and_publishes_nothing(
        self, with_bench: Stage, folder: DataFolder
    ) -> None:
        async def tell(bench: Bench) -> None:
            (bench.bundle / "c.yaml").write_text("rows: {min: 11}\ncolumns: {n: integer}")
            report = await bench.run(
                "big_table", args={"rows": 10}, publish=self.publish(folder, 1)
            )
            assert (report.outcome, report.published) == ("failed", None)
            assert report.fault is not None
            assert report.fault["cls"] == "data"
            assert report.checks is not None
            assert [c["name"] for c in report.checks if not c["ok"]] == ["rows: min"]
            assert list(folder.products.rglob("*.parquet")) == []

        with_bench(tell)


class TestNothingIsLeftBehind:
    def test_what_a_tool_leaves_running_ends_with_its_attempt(
        self, with_bench: Stage, tmp_path: Path
    ) -> None:
        async def tell(bench: Bench) -> None:
            file = tmp_path / "pid"
            assert (await bench.run("starts_a_child", args={"file": str(file)})).result
            await bench.gone(int(file.read_text()))
            shell = {"kind": "shell", "run": f"setsid sleep 600 & echo $! > {file}"}
            assert (await bench.run(shell)).outcome == "succeeded"
            await bench.gone(int(file.read_text()))

        with_bench(tell)

    def test_a_timed_out_shell_takes_its_children_with_it(
        self, with_bench: Stage, tmp_path: Path
    ) -> None:
        async def tell(bench: Bench) -> None:
            file = tmp_path / "pid"
            run = f"(setsid sh -c 'echo $$ > {file}; sleep 600; true') ; true"
            task = bench.task({"kind": "shell", "run": run})
            bench.pool.send(task)
            pid = await bench.started(file)
            bench.pool.kill(task.slot, "timed_out")
            await bench.until(lambda: bool(bench.reports))
            assert bench.reports[0][1].outcome == "timed_out"
            await bench.gone(pid)

        with_bench(tell)

    @pytest.mark.parametrize(("grace_s", "ends"), [(PATIENCE_S, True), (0.05, False)])
    def test_stop_lets_a_task_end_within_the_grace(
        self, make_pool: Callable[..., Pool], folder: DataFolder, tmp_path: Path,
        grace_s: float, ends: bool,
    ) -> None:  # fmt: skip
        async def story() -> None:
            pool = make_pool(2, folder)
            bench = Bench(pool, folder)
            pool.start(asyncio.get_running_loop(), bench.heard)
            file = tmp_path / "pid"
            task = bench.task("waits", args={"file": str(file), "seconds": 0.2 if ends else 600})
            pool.send(task)
            pid = await bench.started(file)
            await pool.stop(grace_s)
            assert [r.slot for _, r in bench.reports] == ([task.slot] if ends else [])
            assert not alive(pid)
            assert pool.free() == 0

        asyncio.run(story())

    def test_a_process_that_a_tool_starts_holds_no_socket_of_ours(self, with_bench: Stage) -> None:
        async def tell(bench: Bench) -> None:
            code = "import os; os.system('ls -l /proc/self/fd')\nresult = 1"
            report = await bench.run({"kind": "python", "code": code})
            assert "pipe:" in report.stdout
            assert "socket:" not in report.stdout

        with_bench(tell)

    def test_a_pool_that_is_stopped_at_once_says_nothing(
        self, make_pool: Callable[..., Pool], folder: DataFolder, capfd: pytest.CaptureFixture[str]
    ) -> None:
        async def story() -> None:
            pool = make_pool(8, folder)
            bench = Bench(pool, folder)
            pool.start(asyncio.get_running_loop(), bench.heard)
            pool.send(bench.task("echo", args={"value": "x" * 1_000_000}))
            await pool.stop(0)

        asyncio.run(story())
        assert capfd.readouterr() == ("", "")

    def test_when_the_server_is_killed_nothing_of_it_goes_on(
        self, folder: DataFolder, tmp_path: Path
    ) -> None:
        bench = Bench(LocalPool(1, folder), folder)
        (tmp_path / "server.py").write_text(SERVER)
        run = f"setsid sleep 600 & echo $! > {tmp_path}/one; sleep 600 & echo $! > {tmp_path}/two"
        run += "; wait"
        task = bench.task({"kind": "shell", "run": run})
        python = bench.task("waits", args={"file": str(tmp_path / "three")})
        options = json.dumps([_plain(task), _plain(python)])
        with running(
            [sys.executable, str(tmp_path / "server.py"), str(folder.root), options]
        ) as p:
            names = [tmp_path / name for name in ("one", "two", "three")]
            wait_until(lambda: all(n.exists() and n.read_text().strip() for n in names))
            pids = [int(n.read_text()) for n in names]
            tree = descendants(p.pid)
            p.kill()
        wait_until(lambda: not any(alive(pid) for pid in {*pids, *tree}))


SERVER = """
import asyncio, json, sys
from pathlib import Path
import msgspec
from runtime.data.folder import DataFolder
from runtime.workers.local import LocalPool
from runtime.workers.protocol import Task

async def main():
    pool = LocalPool(2, DataFolder(Path(sys.argv[1])))
    pool.start(asyncio.get_running_loop(), lambda worker, report: print(report, flush=True))
    for task in msgspec.json.decode(sys.argv[2], type=list[Task]):
        pool.send(task)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def _plain(task: Task) -> dict[str, Any]:
    import msgspec

    plain: dict[str, Any] = msgspec.to_builtins(task)
    return plain


@contextlib.contextmanager
def running(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(command, env=env) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def descendants(pid: int) -> list[int]:
    below = children_of(pid)
    return below + [deeper for child in below for deeper in descendants(child)]
