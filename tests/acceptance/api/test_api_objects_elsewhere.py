"""A server whose objects lie behind a URL: runs, reads and collects as any other."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from control_plane.cli.embedded import embedded
from control_plane.settings import load
from runtime.data.folder import DataFolder
from trimtab import Client

PLAYBOOK = """
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: tests/elsewhere}
workflow:
  - step: make
    tool: {kind: python, code: "result = list(range(30_000))"}
    next: add
  - step: add
    each: {in: "{{ make }}", batch: 10000}
    tool: {kind: python, code: "result = sum(items)"}
"""


def test_a_server_keeps_its_objects_where_it_is_told(
    data: DataFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    there = tmp_path / "there"
    flags = {
        "server.port": 0, "workers.slots": 2, "optimize.cron": "", "record.enabled": False,
        "objects.url": f"file://{there}",
    }  # fmt: skip
    settings, sources = load(data, {}, flags)
    book = tmp_path / "elsewhere.yaml"
    book.write_text(PLAYBOOK)
    with (
        embedded(data, settings, sources, record=False) as url,
        Client(url, data.admin_key.read_text().strip()) as client,
    ):
        client.register(book)
        run = client.submit("tests/elsewhere")["run"]
        assert client.wait(run, 60)["state"] == "completed"
        assert client.value(run, "add")["results"] == [49995000, 149995000, 249995000]
        assert client.value(run, "make") == list(range(30_000))
        [kept] = there.glob("??/*.json")
        stray = there / "ab" / ("ab" * 32 + ".json")
        stray.parent.mkdir(exist_ok=True)
        stray.write_text("[]")
        os.utime(stray, (1, 1))
        assert client.collect()["objects"] == 1
        assert kept.exists()
        assert not stray.exists()
    assert not caplog.records
    settings, sources = load(data, {}, {**flags, "objects.url": ""})
    with embedded(data, settings, sources, record=False):
        assert "has to be copied" in caplog.text
