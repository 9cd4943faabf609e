"""The process tree: it says where it is, owns its folder, and ends when told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from patience import until
from runtime.data.folder import DataFolder, read_json
from trimtab import ApiError, Client

ROOT = Path(__file__).parents[3]
PATIENCE_S = 240.0
SLOW = """
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: tests/slow}
workflow:
  - step: wait
    tool: {kind: python, code: "import time; time.sleep(600); result = 1"}
"""


def trimtab(*words: str, data: DataFolder) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "control_plane.cli.main", "--data", str(data.root), *words]
    return subprocess.Popen(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


@pytest.fixture
def server(data: DataFolder) -> Iterator[subprocess.Popen[str]]:
    process = trimtab("dev", "--port", "0", "--slots", "2", data=data)
    try:
        until(lambda: read_json(data.server_json), "the server says where it is")
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_S)


def children(pid: int) -> set[int]:
    """The processes below this one, whatever session they are in."""
    below: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
            below.setdefault(parent, []).append(int(entry.name))
    found, edge = set(), [pid]
    while edge:
        new = below.get(edge.pop(), [])
        found.update(new)
        edge += new
    return found


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_streams_workers_and_recorder(
    data: DataFolder, server: subprocess.Popen[str], number: int
) -> None:
    (data.root.parent / "slow.yaml").write_text(SLOW)
    said = read_json(data.server_json)
    assert said["pid"] == server.pid
    with Client(data=data.root) as client:
        client.register(data.root.parent / "slow.yaml")
        run = client.submit("tests/slow")["run"]
        seen = wait_stream(client, run)
        below = children(server.pid)
        assert len(below) >= 4
        os.kill(server.pid, number)
        _, told = server.communicate(timeout=PATIENCE_S)  # the step would run for longer
        seen.join(PATIENCE_S)
    assert not seen.is_alive()
    assert server.returncode == 0, told
    assert "Traceback" not in told
    until(lambda: not any(map(alive, below)), "every process below ends")
    assert read_json(data.server_json) is None


def wait_stream(client: Client, run: str) -> threading.Thread:
    """Follow a run in a thread that ends with the stream; returns once it has begun."""
    begun = threading.Event()

    def follow() -> None:
        for _ in client._stream(run, 0):
            begun.set()

    thread = threading.Thread(target=follow)
    thread.start()
    assert begun.wait(PATIENCE_S)
    return thread


def test_a_second_server_is_refused_and_a_run_is_submitted_to_the_first(
    data: DataFolder, server: subprocess.Popen[str]
) -> None:
    second = trimtab("dev", "--port", "0", data=data)
    _, told = second.communicate(timeout=PATIENCE_S)
    assert second.returncode == 5
    assert "in use" in told
    init = trimtab("playbook", "init", str(data.root.parent), data=data)
    init.communicate(timeout=PATIENCE_S)
    run = trimtab("run", str(data.root.parent / "hello.yaml"), data=data)
    out, told = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 0, told
    assert '"greeted": 200' in out
    assert read_json(data.server_json)["url"] in told


def test_a_key_of_the_folder_is_found_and_another_is_refused(
    data: DataFolder, server: subprocess.Popen[str]
) -> None:
    with Client(data=data.root) as client:
        assert client.me()["name"] == "admin"
        assert client.sign_in_link().startswith(client.url)
    with Client(data=data.root, key="tt_no") as stranger, pytest.raises(ApiError) as refused:
        stranger.runs()
    assert refused.value.status == 401
