"""The stage of the rows: an engine, a server or a command in a folder of its own, and waiting."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from bench import runtime_books as books
from runtime.data.folder import DataFolder, write_json
from runtime.engine.engine import Engine, Submit
from runtime.engine.local import open_local
from runtime.playbook.bundle import Bundle, unpack

WORKERS: Final = 2
ROOT: Final = Path(__file__).parents[1]
Figures = dict[str, Any]
Story = Callable[[Engine], Coroutine[Any, Any, Figures]]


def with_engine(folder: Path, story: Story) -> Figures:
    async def told() -> Figures:
        async with open_local(DataFolder(folder / "data"), WORKERS) as engine:
            return await story(engine)

    return asyncio.run(told())


async def run_to_end(engine: Engine, path: str, **workload: Any) -> str:
    run = await engine.submit(Submit(path, workload, "bench"))
    row = await engine.wait(run)
    if row.state != "completed":
        raise RuntimeError(f"{path} {row.state}: {engine.state(run).fault}")
    return run


@contextmanager
def command_line(
    folder: Path, verb: str, file: Path, stay: float = 0
) -> Iterator[subprocess.Popen[bytes]]:
    data, book = data_folder(folder / "data", slots=WORKERS), folder / "book"
    bundle: Bundle = books.one()
    unpack(bundle, book)
    command = [sys.executable, "-m", "control_plane.cli.front", "--data", str(data.root), verb]
    inputs = ["--set", f"file={file}", "--set", f"stay={stay}"]
    path = str(next(book.glob("*.yaml")))
    quiet = subprocess.DEVNULL
    with running([*command, path, *inputs], stdout=quiet, stderr=quiet) as process:
        yield process


@contextmanager
def running(command: list[str], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def data_folder(root: Path, slots: int) -> DataFolder:
    data = DataFolder(root)
    data.prepare()
    write_json(data.settings, {"workers": {"slots": slots}})
    return data


def fresh(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def until(true: Callable[[], bool], patience_s: float = 60.0) -> None:
    deadline = time.monotonic() + patience_s
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError("it never came true")
        time.sleep(0.005)


async def async_until(true: Callable[[], bool], patience_s: float = 60.0) -> None:
    deadline = time.monotonic() + patience_s
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError("it never came true")
        await asyncio.sleep(0.005)


def batches_done(engine: Engine, run: str) -> int:
    actor = engine._actors.get(run)
    each = actor.state.steps["work"].each if actor is not None else None
    return each.batches_done if each is not None else 0
