"""What a step borrows: no row goes through a pipe, and nobody can change what others read."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from bench.data import measured
from runtime.data.folder import DataFolder
from runtime.data.objects import Objects
from runtime.data.reference import Reference
from runtime.engine.engine import Submit
from runtime.engine.local import open_local
from runtime.playbook.bundle import load_text
from runtime.run.events import AttemptFinished

YAML = """
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: test/borrow}
workload:
  table: {type: any}
workflow:
  - step: look
    each: {in: "{{ workload.table }}", batch: 1000, in_flight: 2}
    tool: {kind: python, call: "look:main"}
    effect: none
    retry: {attempts: 3, initial: 10ms, on: [transient, lost]}
"""
VIEWS = {
    "a numpy view": 'table.column("n").chunk(0).to_numpy()[0] = 7',
    "a numpy view of a part": 'np.add(table.column("n").chunk(0).to_numpy(), 1, out=view(table))',
    "a buffer": 'memoryview(table.column("n").chunk(0).buffers()[1])[0] = 7',
    "a record batch": 'table.to_batches()[0].column(0).to_numpy(writable=False).sort()',
    "an argument": 'whole.column("n").chunk(0).to_numpy()[0] = 7',
    "pandas": 'table.to_pandas(split_blocks=True, self_destruct=False)["n"].values[0] = 7',
}  # fmt: skip
CODE = """
import numpy as np

def view(table):
    return table.column("n").chunk(0).to_numpy()

def main(table, whole=None):
    whole = table
    %s
    return table.num_rows
"""
WILD = """
import ctypes
from pathlib import Path
import pyarrow.compute as pc

def main(table, batch, run_folder):
    marker = Path(run_folder) / "wild"
    if batch.index == 2 and not marker.exists():
        marker.touch()
        chunk = table.column("n").chunk(0)
        ctypes.memset(chunk.buffers()[1].address + 8 * chunk.offset, 7, 8)
    return pc.sum(table.column("n")).as_py()
"""


def lay(folder: DataFolder) -> tuple[Reference, Path, str]:
    folder.prepare()
    objects = Objects(folder.objects)
    ref = objects.put_table(pa.table({"n": range(5000)}))
    path = objects.path(ref)
    return ref, path, sha(path)


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


async def looked(folder: DataFolder, ref: Reference, code: str) -> tuple[str, Any, list[Any]]:
    async with open_local(folder, slots=2) as engine:
        await engine.register(load_text(YAML, {"look.py": code}), "me")
        run = await engine.submit(Submit("test/borrow", {"table": ref}))
        row = await engine.wait(run)
        events = [r.event for r in engine.journal.read(f"run/{run}")]
        ended = [e for e in events if isinstance(e, AttemptFinished)]
        return row.state, engine.values(run).get("look"), ended


@pytest.mark.parametrize("how", VIEWS)
def test_to_change_what_was_borrowed_is_refused_in_plain_words(how: str, tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    ref, path, before = lay(folder)
    state, _, ended = asyncio.run(looked(folder, ref, CODE % VIEWS[how]))
    assert state == "failed"
    faults = {(e.fault.cls, e.outcome) for e in ended if e.fault is not None}
    assert ("permanent", "failed") in faults
    assert not faults - {("permanent", "failed"), ("cancelled", "cancelled")}
    assert any(e.fault and "read-only" in e.fault.message for e in ended)
    assert path.stat().st_mode & 0o777 == 0o444
    assert sha(path) == before == ref["sha256"]


def test_a_wild_write_ends_its_own_attempt_alone_and_changes_nothing(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    ref, path, before = lay(folder)
    state, value, ended = asyncio.run(looked(folder, ref, WILD))
    assert state == "completed"
    assert sum(value["results"]) == sum(range(5000))
    assert [(e.batch, e.outcome) for e in ended if e.fault is not None] == [(2, "lost")]
    assert sha(path) == before


def test_what_a_batch_sends_does_not_grow_with_its_rows(tmp_path: Path) -> None:
    small = measured(tmp_path / "small", 1, batches=8, slots=2)
    large = measured(tmp_path / "large", 64, batches=8, slots=2)
    assert large["table_bytes"] > 60 * small["table_bytes"]
    for way, most in (("sent", 2000), ("received", 1000)):
        each = [told["pipe_bytes_per_batch"][way] for told in (small, large)]
        assert max(each) < most
        assert abs(each[0] - each[1]) < 100
    assert large["worker_mb"]["anonymous_grown"] < 8, "the table has 67 MB"
