"""A run that waits for hours of the day says so over HTTP and on the pages, and is found by it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from patience import until

BOOK = """
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: tests/tonight}
workflow:
  - step: dear
    tool: {kind: python, code: "result = 1"}
    start: {hours: HOURS, at_most: 24h}
"""


@pytest.fixture(scope="module")
def waiting(api: Any) -> str:
    """A run whose step waits for hours that are far from now."""
    first = (time.gmtime().tm_hour + 11) % 24
    api.post(
        "/api/playbooks", {"source": BOOK.replace("HOURS", f"{first}-{(first + 1) % 24 or 24}")}
    )
    run: str = api.post("/api/runs", {"playbook": "tests/tonight"})["run"]
    until(lambda: api.get(f"/api/runs/{run}/line")["waits"], "it waits for its hours")
    return run


def test_it_is_listed_as_waiting_and_says_for_what_and_until_when(api: Any, waiting: str) -> None:
    (line,) = api.get("/api/runs", state="waiting")
    view = api.get(f"/api/runs/{waiting}")
    (step,) = view["steps"]
    assert (line["run"], line["state"]) == (waiting, "running")
    assert line["waits"] == view["waits"]
    assert (line["waits"]["step"], line["waits"]["zone"]) == ("dear", "UTC")
    assert line["waits"]["due"] == step["waits"]["due"] > time.time()


def test_the_pages_say_that_it_waits_and_not_that_it_runs(api: Any, waiting: str) -> None:
    listed = api.ask("GET", "/?state=waiting", "viewer").text
    shown = api.ask("GET", f"/runs/{waiting}", "viewer").text
    assert "waiting until" in listed
    assert waiting in listed
    assert "waiting until" in shown
    assert "waiting until" in api.ask("GET", "/playbooks/tests/tonight", "viewer").text
    assert "waiting for hours" in api.ask("GET", "/playbooks", "viewer").text
    assert "waiting for hours" in shown


def test_all_that_wait_are_cancelled_at_once(api: Any, waiting: str) -> None:
    body = {"action": "cancel", "filter": {"status": "waiting", "playbook": "tests/tonight"}}
    assert [done["run"] for done in api.post("/api/runs/actions", body, who="operator")] == [
        waiting
    ]
    assert api.ended(waiting)["waits"] is None
    assert api.get("/api/runs", state="waiting") == []
