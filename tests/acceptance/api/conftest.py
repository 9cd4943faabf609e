"""One real server for the API's tests: engine, workers, recorder, HTTP on a loopback port."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from control_plane.auth import Keys
from control_plane.cli.embedded import embedded
from control_plane.clock import wall
from control_plane.settings import load
from patience import until
from runtime.data.folder import DataFolder
from runtime.journal.sqlite import SqliteReader

PLAYBOOK = """
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: tests/double, description: Doubles numbers.}
workload:
  numbers: {type: array, default: [1, 2, 3, 4, 5]}
  wait: {type: number, default: 0, min: 0, max: 60}
workflow:
  - step: double
    each: {in: "{{ workload.numbers }}", batch: 2, in_flight: 2}
    tool: {kind: python, call: "work:double"}
    with: {wait: "{{ workload.wait }}"}
    tune:
      each.batch: {min: 1, max: 100}
    next: total
  - step: total
    tool: {kind: python, call: "work:total"}
    with: {batches: "{{ double.results }}"}
"""
WORK = """
import time

def double(items, wait):
    time.sleep(wait)
    return [2 * n for n in items]

def total(batches):
    from trimtab import spend

    spend(tokens=7, calls=1)
    return {"total": sum(n for batch in batches for n in batch)}
"""
ROLES = {
    "viewer": ["viewer"], "submitter": ["submitter"], "other": ["submitter"],
    "author": ["author"], "approver": ["approver"], "operator": ["operator"],
    "both": ["author", "approver"], "agent": ["agent"],
}  # fmt: skip


@dataclass
class Api:
    """A server, and keys of each kind to ask it with."""

    url: str
    folder: DataFolder
    keys: dict[str, str]
    http: httpx2.Client = field(default_factory=lambda: httpx2.Client(timeout=240))

    def ask(self, method: str, path: str, who: str | None = "author", **more: Any) -> Any:
        headers = dict(more.pop("headers", {}))
        if who is not None:
            headers["Authorization"] = f"Bearer {self.keys.get(who, who)}"
        return self.http.request(method, self.url + path, headers=headers, **more)

    def get(self, path: str, who: str | None = "viewer", **params: Any) -> Any:
        answer = self.ask("GET", path, who, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: Any = None, who: str = "author", **more: Any) -> Any:
        answer = self.ask("POST", path, who, json={} if body is None else body, **more)
        assert answer.status_code < 300, answer.text
        return answer.json()

    def run(self, wait_s: float = 240.0, **workload: Any) -> dict[str, Any]:
        line = self.post("/api/runs", {"playbook": "tests/double", "workload": workload})
        return self.ended(line["run"], wait_s)

    def ended(self, run: str, wait_s: float = 240.0) -> dict[str, Any]:
        return until(lambda: ended(self.get(f"/api/runs/{run}")), within_s=wait_s)

    def events(self, run: str, after: int = 0) -> Iterator[tuple[str, str, Any]]:
        """The id, kind and data of each server-sent event of a run, until the stream ends."""
        headers = {"Authorization": f"Bearer {self.keys['viewer']}", "Last-Event-ID": str(after)}
        url = f"{self.url}/api/runs/{run}/stream"
        with self.http.stream("GET", url, headers=headers) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            message: dict[str, str] = {}
            for line in answer.iter_lines():
                name, _, value = line.partition(": ")
                if line and name:
                    message[name] = value
                elif message:
                    data = message.get("data", "null")
                    told = json.loads(data) if data.startswith("{") else data
                    yield message.get("id", ""), message.get("event", ""), told
                    message = {}

    def written(self) -> dict[int, int]:
        """How far the journal is: the same before and after means that nothing was written."""
        reader = SqliteReader.open(self.folder.journal)
        try:
            return reader.heads()
        finally:
            reader.close()


def ended(view: dict[str, Any]) -> dict[str, Any] | None:
    return view if view["state"] in ("completed", "failed", "cancelled") else None


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = DataFolder(tmp_path_factory.mktemp("api") / "data")
    flags = {"server.port": 0, "workers.slots": 3, "review.profile": "demo", "optimize.cron": ""}
    settings, sources = load(folder, {}, flags)
    folder.prepare()
    keys = Keys(folder.keys, wall)
    made = {name: keys.make(name, roles)[1] for name, roles in ROLES.items()}
    keys.close()
    with embedded(folder, settings, sources, record=False) as url:
        server = Api(url, folder, made)
        server.post("/api/playbooks", {"source": PLAYBOOK, "files": {"work.py": WORK}})
        yield server
        server.http.close()


@pytest.fixture
def data(tmp_path: Path) -> DataFolder:
    folder = DataFolder(tmp_path / "data")
    folder.prepare()
    return folder
