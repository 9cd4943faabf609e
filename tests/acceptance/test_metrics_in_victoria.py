"""Metrics in a real VictoriaMetrics: scraped by it and pushed to it, and asked for by PromQL."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
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
from runtime.telemetry.table import METRICS

ROOT = Path(__file__).parents[2]
LACKING = "there is no victoria-metrics (Debian: apt-get install victoria-metrics)"
PLAYBOOK = """
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: tests/mixed}
workload:
  fail: {type: boolean, default: false}
workflow:
  - step: double
    each: {in: "{{ [1, 2, 3, 4] }}", batch: 2}
    tool: {kind: python, call: "work:double"}
    tune:
      each.batch: {min: 1, max: 100}
    next: shaky
  - step: shaky
    tool: {kind: python, call: "work:shaky"}
    with: {fail: "{{ workload.fail }}"}
    retry: {attempts: 2, initial: 10ms, on: [transient]}
    next: sign
  - step: sign
    tool: {kind: approval, prompt: "Fine?"}
"""
WORK = """
def double(items):
    return [2 * n for n in items]

def shaky(fail):
    if fail:
        raise ConnectionError("nobody is there")
    return 1
"""
CHANGE = {
    "kind": "experiment", "playbook": "tests/mixed", "step": "double", "knob_class": "batch",
    "objective": "time", "base": {"each.batch": 2}, "evidence": {"support": 0.0}, "predicted": {},
    "diff": [{"knob": "each.batch", "from": 2, "values": [1, 4]}],
}  # fmt: skip


@dataclass
class Victoria:
    """A VictoriaMetrics, empty at first."""

    url: str
    scraping: Path

    def ask(self, query: str) -> list[Any]:
        answer = httpx2.get(f"{self.url}/api/v1/query", params={"query": query})
        assert answer.status_code == 200, f"{query}: {answer.text}"
        return list(answer.json()["data"]["result"])

    def scrape(self, address: str, key: str) -> None:
        """Scrape a server from now on, every second."""
        job = {
            "job_name": "scraped", "scrape_interval": "1s", "authorization": {"credentials": key},
            "static_configs": [{"targets": [address]}],
        }  # fmt: skip
        self.scraping.write_text(json.dumps({"scrape_configs": [job]}))
        assert httpx2.get(f"{self.url}/-/reload").status_code < 300


@pytest.fixture(scope="module")
def victoria(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victoria]:
    if shutil.which("victoria-metrics") is None:
        pytest.skip(LACKING)
    root = tmp_path_factory.mktemp("victoria")
    scraping = root / "scrape.yaml"
    scraping.write_text("{}")
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    with (root / "log").open("w") as log:
        server = subprocess.Popen(
            ["victoria-metrics", f"-httpListenAddr=127.0.0.1:{port}", "-retentionPeriod=1d",
             f"-storageDataPath={root / 'data'}", f"-promscrape.config={scraping}",
             "-search.latencyOffset=0s", "-memory.allowedBytes=64MB"],
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        while not answers(port):
            assert server.poll() is None, (root / "log").read_text()
        yield Victoria(f"http://127.0.0.1:{port}", scraping)
    finally:
        server.kill()
        server.wait()


def answers(port: int) -> bool:
    try:
        return httpx2.get(f"http://127.0.0.1:{port}/health").status_code == 200
    except httpx2.TransportError:
        threading.Event().wait(0.02)
        return False


@pytest.fixture(scope="module")
def told(victoria: Victoria, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victoria]:
    """The same, once it has both scraped and been sent the metrics of a small workload."""
    folder = DataFolder(tmp_path_factory.mktemp("metrics") / "data")
    folder.prepare()
    flags = {
        "server.port": 0, "workers.slots": 2, "review.profile": "demo", "optimize.cron": "",
        "metrics.push_url": f"{victoria.url}/api/v1/write", "metrics.push_s": 0.5,
        "metrics.instance": "here",
    }  # fmt: skip
    settings, sources = load(folder, {}, flags)
    keys = Keys(folder.keys, wall)
    key = keys.make("author", ["author", "operator"])[1]
    approver = keys.make("approver", ["approver"])[1]
    viewer = keys.make("viewer", ["viewer"])[1]
    keys.close()
    with embedded(folder, settings, sources, record=True) as url, httpx2.Client(
        base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=240
    ) as http:  # fmt: skip
        victoria.scrape(url.removeprefix("http://"), viewer)
        # A rate needs a value from before: the first runs come after the first samples.
        until(lambda: jobs(victoria, "trimtab_info") == {"trimtab", "scraped"})
        post(http, "/api/playbooks", source=PLAYBOOK, files={"work.py": WORK})
        work(http)
        settled = lambda: jobs(victoria, "trimtab_runs_ended_total{status='failed'} >= 1")  # noqa: E731
        until(lambda: settled() == {"trimtab", "scraped"})
        work(http)
        again = lambda: jobs(victoria, "trimtab_runs_ended_total{status='failed'} >= 2")  # noqa: E731
        until(lambda: again() == {"trimtab", "scraped"})
        propose(http, approver)
        moved = "trimtab_proposals_moved_total{state='approved'}"
        until(lambda: jobs(victoria, moved) == {"trimtab", "scraped"})
        yield victoria


def jobs(victoria: Victoria, query: str) -> set[str]:
    return {series["metric"]["job"] for series in victoria.ask(query)}


def work(http: httpx2.Client) -> None:
    """A run that ends well, once it is signed, and one that fails."""
    run = post(http, "/api/runs", playbook="tests/mixed")["run"]
    bad = post(http, "/api/runs", playbook="tests/mixed", workload={"fail": True})["run"]
    sign = f"/api/runs/{run}/steps/sign/answer"
    until(lambda: http.post(sign, json={"approved": True}).status_code < 300)
    for each in (run, bad):
        until(lambda each=each: http.get(f"/api/runs/{each}").json()["state"] in ENDS)


def propose(http: httpx2.Client, approver: str) -> None:
    """A proposal that somebody else approves."""
    drafted = post(http, "/api/proposals", **CHANGE)
    signed = http.post(
        f"/api/proposals/{drafted['id']}/approve", json={},
        headers={"Authorization": f"Bearer {approver}"},
    )  # fmt: skip
    assert signed.status_code == 200, signed.text


ENDS = ("completed", "failed", "cancelled")


def post(http: httpx2.Client, path: str, **body: Any) -> Any:
    answer = http.post(path, json=body)
    assert answer.status_code < 300, answer.text
    return answer.json()


@pytest.mark.parametrize("job", ["trimtab", "scraped"])
def test_what_was_pushed_and_what_was_scraped_say_the_same(told: Victoria, job: str) -> None:
    def asked(metric: str, **labels: str) -> float:
        where = ", ".join(f'{name}="{value}"' for name, value in {"job": job, **labels}.items())
        (series,) = told.ask(f"sum({metric}{{{where}}})")
        return float(series["value"][1])

    book = {"playbook": "tests/mixed"}
    assert asked("trimtab_runs_started_total", **book) == 4
    assert asked("trimtab_runs_ended_total", **book, status="completed") == 2
    assert asked("trimtab_runs_ended_total", **book, status="failed") == 2
    assert asked("trimtab_attempts_total", **book, step="double", outcome="succeeded") == 8
    failed = {"step": "shaky", "outcome": "failed", "class": "transient"}
    assert asked("trimtab_attempts_total", **book, **failed) == 4
    assert asked("trimtab_retries_total", **book, step="shaky") == 2
    assert asked("trimtab_attempt_run_seconds_count", **book, step="double") == 8
    assert asked("trimtab_attempt_run_seconds_bucket", **book, step="double", le="+Inf") == 8
    assert asked("trimtab_rows_total", **book, step="double", direction="in") == 16
    assert asked("trimtab_cost_usd_total", **book) > 0
    assert asked("trimtab_approvals_total", kind="step", answer="yes") == 2
    assert asked("trimtab_proposals_moved_total", state="approved") >= 1


def test_every_metric_of_the_table_can_be_asked_for(told: Victoria) -> None:
    there = set(httpx2.get(f"{told.url}/api/v1/label/__name__/values").json()["data"])
    ends = {"counter": [""], "gauge": [""], "histogram": ["_bucket", "_count", "_sum"]}
    wanted = {metric.name + end for metric in METRICS for end in ends[metric.kind]}
    assert wanted <= there
    ours = {name for name in there if name.startswith(("trimtab_", "process_"))}
    assert ours == wanted, "nothing else is exposed"


def test_no_series_names_a_run_an_attempt_or_a_worker(told: Victoria) -> None:
    labels = set(httpx2.get(f"{told.url}/api/v1/labels").json()["data"])
    known = {label for metric in METRICS for label in metric.labels}
    assert labels <= known | {"__name__", "job", "instance", "le"}


def dashboards() -> Any:
    path = ROOT / "docs" / "grafana" / "write.py"
    spec = importlib.util.spec_from_file_location("grafana_writer", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def queries() -> list[str]:
    """Every query of the dashboard that is shipped, in its order."""
    panels = json.loads((ROOT / "docs" / "grafana" / "trimtab.json").read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", [])]


def test_the_dashboard_is_what_its_script_writes() -> None:
    written = (ROOT / "docs" / "grafana" / "trimtab.json").read_text(encoding="utf-8")
    assert written == dashboards().dashboard(), "stale: run `make grafana`"
    ids = [panel["id"] for panel in json.loads(written)["panels"]]
    assert len(set(ids)) == len(ids)


def test_every_query_of_the_dashboard_has_an_answer(told: Victoria) -> None:
    every, empty = queries(), []
    for query in every:
        asked = query.replace("$__rate_interval", "5m").replace("$__range", "5m")
        found = told.ask(re.sub(r"\$\w+", ".*", asked))
        if all(series["value"][1] == "NaN" for series in found):
            empty.append(query)
    assert len(every) > 30
    assert empty == []


def test_the_dashboards_variables_have_values(told: Victoria) -> None:
    for text in dashboards().VARIABLES.values():
        found = re.fullmatch(r"label_values\((.*), (\w+)\)", text)
        assert found is not None
        series = told.ask(re.sub(r"\$\w+", ".*", found[1]))
        assert {s["metric"].get(found[2]) for s in series} - {None}
