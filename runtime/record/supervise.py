"""Keeping a recorder alive beside a server, and telling it when the journal has grown.

::

    recorder = RecorderProcess(folder)
    await recorder.start()
    unsubscribe = engine.subscribe(lambda _: recorder.notify())
    …
    await recorder.stop()

The recorder may die at any moment: it is started again, slower each time when deaths come
in a row, and goes on where it was. Its standard input is the pipe that wakes it; when the
server dies the pipe ends, and so does the recorder.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from runtime.data.folder import DataFolder, read_json
from runtime.record.access import RecorderAway, ask, status, tokens

_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 5.0
_STEADY_S: Final = 10.0
_ROOT: Final = Path(__file__).resolve().parents[2]


@dataclass(slots=True)
class _Life:
    process: asyncio.subprocess.Process | None = None
    restarts: int = 0
    stopping: bool = False
    pause_s: float = _FIRST_PAUSE_S
    began: float = field(default_factory=time.monotonic)


class RecorderProcess:
    """The recorder of one data folder, supervised. Used on the loop's thread."""

    def __init__(self, folder: DataFolder) -> None:
        self._folder, self._life = folder, _Life()
        self._watch: asyncio.Task[None] | None = None
        self._pipe: int | None = None

    @property
    def pid(self) -> int | None:
        """The recorder's process id, or None while there is none."""
        process = self._life.process
        return process.pid if process is not None and process.returncode is None else None

    @property
    def restarts(self) -> int:
        """How often it was started again."""
        return self._life.restarts

    async def start(self, ready_s: float | None = 30.0) -> None:
        """Start the recorder and keep it alive; wait until it answers.

        With ``ready_s`` None it returns at once.

        Raises:
            RecorderAway: it does not answer within ``ready_s``.
        """
        tokens(self._folder)
        await self._spawn()
        self._watch = asyncio.create_task(self._keep_alive())
        if ready_s is not None:
            await self._answering(ready_s)

    def notify(self) -> None:
        """Say that the journal has grown. Never waits: a full pipe says it already."""
        if self._pipe is not None:
            with contextlib.suppress(BlockingIOError, BrokenPipeError):
                os.write(self._pipe, b"\n")

    async def status(self) -> dict[str, Any]:
        """Return what the recorder says of itself: its sinks' cursors and lag."""
        return await asyncio.to_thread(status, self._folder, 0.0)

    async def lag(self) -> tuple[int, float]:
        """Return how many events, and how many seconds, the slowest sink is behind."""
        said = await self.status()
        return int(said["behind_events"]), float(said["behind_s"])

    async def caught_up(self, cursor: dict[int, int], timeout_s: float = 30.0) -> None:
        """Wait until every sink holds all events up to ``cursor``.

        Raises:
            RecordBehind: it does not within ``timeout_s``.
        """
        from runtime.record.access import await_caught_up

        self.notify()
        await asyncio.to_thread(await_caught_up, self._folder, cursor, timeout_s)

    async def stop(self, grace_s: float = 10.0) -> None:
        """Let it finish its batch and exit; end it when it takes longer than the grace."""
        self._life.stopping = True
        self._hang_up()
        process = self._life.process
        if process is not None and process.returncode is None:
            try:
                await asyncio.wait_for(process.wait(), grace_s)
            except TimeoutError:
                process.kill()
                await process.wait()
        if self._watch is not None:
            await self._watch

    async def _spawn(self) -> None:
        self._folder.logs.mkdir(parents=True, exist_ok=True)
        ours, theirs = _pipe()
        with (self._folder.logs / "recorder.log").open("ab") as log:
            try:
                self._life.process = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "runtime.record.recorder", str(self._folder.root),
                    stdin=theirs, stdout=log, stderr=log, start_new_session=True,
                    env=os.environ | {"PYTHONPATH": _python_path()},
                )  # fmt: skip
            except BaseException:
                os.close(ours)
                raise
            finally:
                os.close(theirs)
        self._pipe, self._life.began = ours, time.monotonic()

    async def _keep_alive(self) -> None:
        life = self._life
        while life.process is not None:
            await life.process.wait()
            self._hang_up()
            if life.stopping:
                return
            if time.monotonic() - life.began > _STEADY_S:
                life.pause_s = _FIRST_PAUSE_S
            await asyncio.sleep(life.pause_s)
            if life.stopping:
                return
            life.pause_s = min(life.pause_s * 2, _LONGEST_PAUSE_S)
            if await self._spawned_again() and life.stopping:
                # Told to stop while it was being started: it must not outlive the hanging up.
                self._hang_up()

    async def _spawned_again(self) -> bool:
        """Start the recorder once more; an error of the machine is written down and waited out."""
        try:
            await self._spawn()
        except OSError as error:
            with (self._folder.logs / "recorder.log").open("a") as log:
                log.write(f"the recorder could not be started: {error}\n")
            return False
        self._life.restarts += 1
        return True

    async def _answering(self, ready_s: float) -> None:
        deadline = time.monotonic() + ready_s
        why = "it has not written its address"
        while time.monotonic() < deadline:
            found = read_json(self._folder.recorder_json)
            if found is not None and found.get("pid") == self.pid:
                try:
                    await asyncio.to_thread(ask, self._folder, "/status", wait_s=0.0)
                except RecorderAway as error:
                    why = str(error)
                else:
                    return
            await asyncio.sleep(0.05)
        raise RecorderAway(self._folder.root, why)

    def _hang_up(self) -> None:
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None


def _pipe() -> tuple[int, int]:
    """Return the writing end, which never blocks, and the reading end of a new pipe."""
    theirs, ours = os.pipe()
    os.set_blocking(ours, False)
    return ours, theirs


def _python_path() -> str:
    """Let the recorder import this very source, installed or from a checkout."""
    kept = os.environ.get("PYTHONPATH")
    return str(_ROOT) if not kept else f"{_ROOT}{os.pathsep}{kept}"
