"""An ended run goes on with real workers: what is done stays done, and mended code is used."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from runtime.data.folder import DataFolder
from runtime.engine.engine import Submit
from runtime.engine.errors import CannotFork
from runtime.engine.local import open_local
from runtime.playbook.bundle import Bundle, load_text

BOOK = """
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: test/beside}
workflow:
  - step: begin
    next: [items, other]
  - step: items
    each: {in: "{{ range(6) }}", batch: 1, in_flight: 1%s}
    tool: {kind: python, call: "retried_work:one"}
    next: last
  - step: other
    tool: {kind: python, call: "retried_work:other"}
    next: last
  - step: last
    tool: {kind: python, code: "result = value"}
    with: {value: "{{ %s }}"}
"""
CODE = """
import time
from pathlib import Path

PLACE = Path("%s")

def wait(name):
    while not (PLACE / name).exists():
        time.sleep(0.01)

def one(items):
    with (PLACE / "log").open("a") as log:
        log.write(f"{items[0]} ")
    if items == [1]:
        (PLACE / "began").touch()
        wait("failed")
    return items[0]

def other():
    wait("began")
    if not (PLACE / "failed").exists():
        (PLACE / "failed").touch()
        raise ValueError("no luck")
    return "well"
"""


def book(place: Path, code: str = CODE, reduce: str = "", value: str = "items.results") -> Bundle:
    return load_text(BOOK % (reduce, value), {"retried_work.py": code % place})


@pytest.mark.parametrize(
    ("reduce", "value", "result"),
    [
        ("", "items.results", [0, 1, 2, 3, 4, 5]),
        (', reduce: {total: {add: "{{ items }}"}}', "items.reduced.total", 15),
    ],
)
def test_batches_that_ended_while_the_run_was_failing_count_once(
    tmp_path: Path, reduce: str, value: str, result: object
) -> None:
    async def story() -> None:
        async with open_local(DataFolder(tmp_path / "data"), slots=2) as engine:
            await engine.register(book(tmp_path, reduce=reduce, value=value), "me")
            run = await engine.submit(Submit("test/beside"))
            assert (await engine.wait(run)).state == "failed"
            made = await engine.retry(run, "me", reason="luck")
            assert made.steps == ["items", "other"]
            assert (await engine.wait(made.run)).state == "completed"
            assert engine.state(made.run).result == result

    asyncio.run(story())
    done = (tmp_path / "log").read_text().split()
    assert set(done) == set("012345")
    if not reduce:  # what a batch gave is kept; what it gave to a sum is not told apart
        assert sorted(done) == list("012345")


def test_what_is_left_of_a_run_may_run_mended_code(tmp_path: Path) -> None:
    broken = CODE.replace('raise ValueError("no luck")', 'raise KeyError("typo")')

    async def story() -> None:
        async with open_local(DataFolder(tmp_path / "data"), slots=2) as engine:
            await engine.register(book(tmp_path, broken), "me")
            run = await engine.submit(Submit("test/beside"))
            assert (await engine.wait(run)).state == "failed"
            await engine.register(book(tmp_path), "me")
            made = await engine.retry(run, "me", version="2")
            assert (await engine.wait(made.run)).state == "completed"
            assert engine.state(made.run).steps["other"].value == "well"
            other = (BOOK % ("", "items.results")).replace(
                "  - step: begin", "  - step: before\n    next: begin\n  - step: begin"
            )
            files = {"retried_work.py": CODE % tmp_path}
            await engine.register(load_text(other, files), "me")
            with pytest.raises(CannotFork, match="flows otherwise"):
                await engine.retry(run, "me", version="3")

    asyncio.run(story())
