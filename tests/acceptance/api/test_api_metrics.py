"""The metrics over HTTP: who may read them, in which forms, and traces that leave by a setting."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx2
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_parsed
from prometheus_client.parser import text_string_to_metric_families as parsed

from control_plane.auth import Keys
from control_plane.cli.embedded import embedded
from control_plane.clock import wall
from control_plane.settings import SettingFault, load
from listening import listening
from runtime.data.folder import DataFolder
from runtime.telemetry.table import METRICS


def test_nobody_without_a_key_reads_the_metrics_and_a_viewer_does(api: Any) -> None:
    assert api.ask("GET", "/metrics", None).status_code == 401
    assert api.ask("GET", "/metrics", "viewer").status_code == 200


def test_a_run_is_counted_at_the_very_next_scrape(api: Any) -> None:
    def completed() -> float:
        text = api.ask("GET", "/metrics", "viewer").text
        return sum(
            sample.value
            for family in parsed(text) for sample in family.samples
            if sample.name == "trimtab_runs_ended_total"
            and sample.labels == {"playbook": "tests/double", "status": "completed"}
        )  # fmt: skip

    before = completed()
    assert api.run()["state"] == "completed"
    assert completed() == before + 1


def test_openmetrics_is_given_to_who_accepts_it(api: Any) -> None:
    accept = {"accept": "application/openmetrics-text; version=1.0.0"}
    answer = api.ask("GET", "/metrics", "viewer", headers=accept)
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    names = {family.name for family in open_parsed(answer.text)}
    assert names == {metric.name.removesuffix("_total") for metric in METRICS}


def test_the_disk_and_the_journal_are_told_of(api: Any) -> None:
    families = {f.name: f for f in parsed(api.ask("GET", "/metrics", "viewer").text)}
    assert families["trimtab_disk_free_bytes"].samples[0].value > 0
    assert families["trimtab_journal_bytes"].samples[0].value > 0


@pytest.mark.parametrize("name", ["metrics.push_url", "traces.url"])
def test_an_address_has_to_be_a_url(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingFault, match="http://"):
        load(DataFolder(tmp_path), {}, {name: "localhost:8428"})


@dataclass
class Receiver:
    """What was posted to an HTTP server."""

    url: str = ""
    bodies: list[tuple[str, bytes]] = field(default_factory=list)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    told = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            told.bodies.append((self.path, body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with listening(Handler) as told.url:
        yield told


def test_a_server_that_ends_has_sent_its_metrics_and_the_traces_of_its_runs(
    receiver: Receiver, data: DataFolder
) -> None:
    flags = {
        "server.port": 0, "workers.slots": 2, "optimize.cron": "", "record.enabled": False,
        "traces.url": f"{receiver.url}/v1/traces", "traces.token": "t", "metrics.push_s": 3600,
        "metrics.push_url": f"{receiver.url}/api/v1/write",
    }  # fmt: skip
    settings, sources = load(data, {}, flags)
    keys = Keys(data.keys, wall)
    key = keys.make("author", ["author"])[1]
    keys.close()
    source = (
        "apiVersion: trimtab/v1\nkind: Playbook\nmetadata: {path: tests/one}\nworkflow:\n"
        "  - step: only\n    tool: {kind: python, code: 'result = 1'}\n"
    )
    headers = {"Authorization": f"Bearer {key}"}
    with embedded(data, settings, sources, record=False) as url, httpx2.Client(
        base_url=url, headers=headers, timeout=240
    ) as http:  # fmt: skip
        assert http.post("/api/playbooks", json={"source": source}).status_code < 300
        run = http.post("/api/runs", json={"playbook": "tests/one"}).json()["run"]
        while http.get(f"/api/runs/{run}").json()["state"] != "completed":
            threading.Event().wait(0.02)
        told = {f.name: f.samples for f in parsed(http.get("/metrics").text)}
        assert told["trimtab_record_up"] == [], "there is no recorder to be up or down"
    sent = dict(receiver.bodies)
    assert len(sent["/api/v1/write"]) > 1000
    message = json.loads(gzip.decompress(sent["/v1/traces"]))
    spans = message["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert {span["traceId"] for span in spans} == {run}
    assert {span["name"] for span in spans} == {"tests/one", "only", "only attempt"}
