"""A full disk: a worker keeps its result and waits, a server says so in one sentence."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PATIENCE_S = 120.0
APART = ("unshare", "--user", "--map-root-user", "--mount")
"""A small disk of one's own, seen by one process and gone with it."""


@cache
def small_disks() -> bool:
    if shutil.which("unshare") is None:
        return False
    tried = subprocess.run([*APART, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True)
    return tried.returncode == 0


pytestmark = pytest.mark.skipif(not small_disks(), reason="may not mount a small disk here")


def on_a_small_disk(disk: Path, size: str, script: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script that sees a disk of this size in the folder."""
    disk.mkdir(parents=True)
    mounted = f"mount -t tmpfs -o size={size} none {disk} && {script}"
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "TRIMTAB_RECORD_ENABLED": "off"}
    return subprocess.run(
        [*APART, "sh", "-c", mounted], cwd=ROOT, env=environ, capture_output=True, text=True,
        timeout=PATIENCE_S,
    )  # fmt: skip


STORY = """
import asyncio, json, sys
from pathlib import Path
from runtime.data.folder import DataFolder
from runtime.engine.engine import Submit
from runtime.engine.local import open_local
from runtime.playbook.bundle import load_text
from runtime.run.events import AttemptFinished

BOOK = '''
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: test/large}
workflow:
  - step: large
    timeout: 30s
    tool: {kind: python, code: "result = [str(n) * 8 for n in range(100_000)]"}
'''

async def main():
    folder = DataFolder(Path(sys.argv[1]))
    filler = folder.objects / "filler"
    async with open_local(folder, slots=1) as engine:
        with filler.open("wb", buffering=0) as file:
            try:
                while file.write(b"x" * 4096): pass
            except OSError:
                pass
        await engine.register(load_text(BOOK, {}), "me")
        run = await engine.submit(Submit("test/large"))
        notes = []
        while not notes:
            await asyncio.sleep(0.02)
            notes = [said.note for said in engine.said(run).values()]
        filler.unlink()
        await engine.wait(run)
        tries = [r.event for r in engine.journal.read("run/" + run)
                 if isinstance(r.event, AttemptFinished)]
        print(json.dumps({"notes": notes, "tries": [[t.outcome, t.number] for t in tries],
                          "bytes": tries[0].bytes_out}))

asyncio.run(main())
"""


def test_a_result_that_finds_no_room_waits_for_it_and_is_no_try(tmp_path: Path) -> None:
    (tmp_path / "story.py").write_text(STORY)
    data = tmp_path / "data"
    script = f"{sys.executable} {tmp_path / 'story.py'} {data}"
    ended = on_a_small_disk(data / "objects", "6m", script)
    assert ended.returncode == 0, ended.stderr
    told: dict[str, Any] = json.loads(ended.stdout)
    assert told["tries"] == [["succeeded", 1]]
    assert told["notes"] == ["waits for room on the disk: No space left on device"]
    assert told["bytes"] > 1 << 20


@pytest.mark.parametrize("before", ["", "serve-once"])
def test_a_server_on_a_full_disk_says_so_in_one_sentence(tmp_path: Path, before: str) -> None:
    data = tmp_path / "data"
    trimtab = f"{sys.executable} -m control_plane.cli.main --data {data}"
    fill = f"dd if=/dev/zero of={data}/filler bs=4k 2>/dev/null"
    once = f"{trimtab} optimize >/dev/null 2>&1; " if before else ""
    ended = on_a_small_disk(data, "4m", f"{once}{fill}; {trimtab} serve --port 0")
    assert ended.returncode == 1, ended.stderr
    assert "the disk that holds the data folder is full" in ended.stderr
    assert "free some room" in ended.stderr
    assert "Traceback" not in ended.stderr
