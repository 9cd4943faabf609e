"""Steering runs over HTTP: signals and answers, retries, and many at once by filter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from typing import Any

import httpx2
import pytest

from control_plane.auth import csrf_of

ASKS = """
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: tests/asks}
workload:
  fail: {type: boolean, default: false}
workflow:
  - step: paid
    tool: {kind: signal, name: paid}
    next: release
  - step: release
    tool: {kind: approval, prompt: "Release {{ paid }}?"}
    next: work
  - step: work
    tool: {kind: python, call: "asks:work"}
    with: {fail: "{{ workload.fail }}", paid: "{{ paid }}"}
"""
CODE = """
from pathlib import Path

def work(fail, paid, run_folder):
    if fail and not (Path(run_folder) / "mended").exists():
        (Path(run_folder) / "mended").touch()
        raise ValueError("no luck")
    return paid
"""


@pytest.fixture(scope="module")
def asks(api: Any) -> Any:
    api.post("/api/playbooks", {"source": ASKS, "files": {"asks.py": CODE}})
    return api


def submit(api: Any, batch: str, **workload: Any) -> str:
    body = {"playbook": "tests/asks", "workload": workload, "labels": {"batch": batch}}
    run: str = api.post("/api/runs", body)["run"]
    return run


def act(api: Any, action: str, batch: str, **more: Any) -> list[dict[str, Any]]:
    body = {"action": action, "filter": {"labels": {"batch": batch}}, **more}
    done: list[dict[str, Any]] = api.post("/api/runs/actions", body, who="operator")
    return done


def last_of(api: Any, run: str, kind: str) -> dict[str, Any]:
    events = api.get(f"/api/runs/{run}/events")
    body: dict[str, Any] = [e["body"] for e in events if e["type"] == kind][-1]
    return body


def test_a_signal_and_an_answer_let_a_run_go_on_and_say_who_sent_them(asks: Any) -> None:
    run = submit(asks, "one")
    asks.post(f"/api/runs/{run}/signal", {"name": "paid", "value": 7, "reason": "the bank"})
    assert last_of(asks, run, "signal.received") == {
        "name": "paid", "value": 7, "actor": "author", "reason": "the bank",
    }  # fmt: skip
    refused = asks.ask("POST", f"/api/runs/{run}/steps/release/answer", json={"approved": True})
    assert refused.status_code == 403
    answer = {"approved": True, "note": "looks right"}
    asks.post(f"/api/runs/{run}/steps/release/answer", answer, who="approver")
    assert asks.ended(run)["result"] == 7
    assert last_of(asks, run, "signal.received")["value"]["by"] == "approver"


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("signal", {"name": "approval:release"}, "approvals are answered"),
        ("steps/release/answer", {"approved": True}, "release of run"),
        ("steps/nope/answer", {"approved": False}, "it asks nothing"),
    ],
)
def test_what_a_run_does_not_wait_for_is_refused(
    asks: Any, path: str, body: dict[str, Any], said: str
) -> None:
    run = submit(asks, "refused")
    answer = asks.ask("POST", f"/api/runs/{run}/{path}", who="operator", json=body)
    assert answer.status_code in (403, 409)
    assert said in answer.json()["detail"]
    act(asks, "cancel", "refused")


def test_two_submits_with_one_key_at_the_same_time_are_one_run(api: Any) -> None:
    body = {"playbook": "tests/double", "key": "at-once", "workload": {"numbers": [1]}}
    answers: list[Any] = []
    both = [
        threading.Thread(target=lambda: answers.append(api.ask("POST", "/api/runs", json=body)))
        for _ in range(8)
    ]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert {a.status_code for a in answers} <= {200, 201}
    assert len({a.json()["run"] for a in answers}) == 1
    other = {**body, "workload": {"numbers": [2]}}
    refused = api.ask("POST", "/api/runs", json=other)
    assert (refused.status_code, refused.json()["reason"]) == (409, "key_conflict")


def test_a_failed_run_is_retried_and_both_know_of_each_other(asks: Any) -> None:
    run = submit(asks, "retry", fail=True)
    asks.post(f"/api/runs/{run}/signal", {"name": "paid", "value": 3})
    asks.post(f"/api/runs/{run}/steps/release/answer", {"approved": True}, who="operator")
    assert asks.ended(run)["state"] == "failed"

    made = asks.post(f"/api/runs/{run}/retry", {"reason": "mended"})
    assert (made["of"], made["steps"]) == (run, ["work"])
    after = asks.ended(made["run"])
    assert (after["state"], after["result"]) == ("completed", 3)
    assert after["forked"]["run"] == run
    assert after["retried"]["reason"] == "mended"
    events = asks.get(f"/api/runs/{made['run']}/events")
    for event in events:
        if event["type"] == "attempt.finished":
            began = events[event["body"]["scheduled"] - 1]["body"]
            assert began["attempt"] == event["body"]["attempt"]
    copied = [e["body"]["step"] for e in events if e["body"].get("copied")]
    assert copied == ["paid", "release"]
    assert asks.get(f"/api/runs/{run}")["forks"] == [made["run"]]
    assert asks.get(f"/api/runs/{run}")["state"] == "failed"

    live = submit(asks, "retry-live")
    refused = asks.ask("POST", f"/api/runs/{live}/retry", json={})
    assert refused.status_code == 409
    assert "cancel it first" in refused.json()["detail"]
    assert asks.ask("POST", f"/api/runs/{run}/retry", who="other", json={}).status_code == 403
    act(asks, "cancel", "retry-live")


def test_a_filter_reaches_all_that_meet_it_and_no_other(asks: Any) -> None:
    mine = [submit(asks, "many") for _ in range(3)]
    other = submit(asks, "other")
    before = asks.written()
    would = act(asks, "signal", "many", name="paid", dry_run=True)
    assert [(d["run"], d["outcome"]) for d in would] == [(run, "would") for run in mine]
    assert asks.written() == before

    assert {d["outcome"] for d in act(asks, "pause", "many", reason="why not")} == {"done"}
    assert last_of(asks, mine[0], "run.paused") == {"actor": "operator", "reason": "why not"}
    assert {d["state"] for d in act(asks, "resume", "many")} == {"running"}
    assert {d["outcome"] for d in act(asks, "signal", "many", name="paid", value=1)} == {"done"}
    answered = act(asks, "answer", "many", step="release", approved=True)
    assert {d["outcome"] for d in answered} == {"done"}
    assert all(asks.ended(run)["state"] == "completed" for run in mine)
    assert act(asks, "cancel", "many") == []
    assert asks.get(f"/api/runs/{other}/line")["state"] == "running"
    asks.post(f"/api/runs/{other}/cancel", who="operator")
    assert asks.ended(other)["state"] == "cancelled"
    assert asks.post(f"/api/runs/{other}/cancel", who="operator")["state"] == "cancelled"


def test_what_cannot_be_done_to_one_run_is_done_to_the_others(asks: Any) -> None:
    broken = submit(asks, "mixed", fail=True)
    waits = submit(asks, "mixed")
    asks.post(f"/api/runs/{broken}/signal", {"name": "paid", "value": 3})
    act(asks, "answer", "mixed", step="release", approved=True)
    assert asks.ended(broken)["state"] == "failed"
    filter_ = {"labels": {"batch": "mixed"}, "error_class": "permanent", "step": "work"}
    body = {"action": "retry", "filter": filter_}
    [made] = asks.post("/api/runs/actions", body, who="operator")
    assert (made["run"], made["outcome"]) == (broken, "done")
    assert asks.ended(made["into"])["state"] == "completed"
    step = {"labels": {"batch": "mixed"}, "step": "paid"}
    told = asks.post("/api/runs/actions", {"action": "cancel", "filter": step}, who="operator")
    assert [d["run"] for d in told] == [waits]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"action": "cancel"}, 422, "the filter has no condition"),
        ({"action": "cancel", "filter": {"status": "gone"}}, 422, "no run is ever 'gone'"),
        ({"action": "cancel", "filter": {"error_class": "x"}}, 422, "no class of errors"),
        ({"action": "signal", "filter": {"playbook": "p"}}, 422, "a signal needs a name"),
        ({"action": "answer", "filter": {"playbook": "p"}}, 422, "needs the step"),
        ({"action": "burn", "filter": {"playbook": "p"}}, 400, ""),
    ],
)
def test_an_order_that_says_too_little_is_refused(
    api: Any, body: dict[str, Any], status: int, said: str
) -> None:
    answer = api.ask("POST", "/api/runs/actions", who="operator", json=body)
    assert (answer.status_code, said in answer.text) == (status, True)


def test_only_an_operator_acts_on_many(api: Any) -> None:
    body = {"action": "cancel", "all": True, "dry_run": True}
    for who, status in (("author", 403), ("agent", 403), ("operator", 200)):
        assert api.ask("POST", "/api/runs/actions", who=who, json=body).status_code == status


def test_the_page_of_a_run_has_the_buttons_that_its_state_allows(asks: Any) -> None:
    run = submit(asks, "page")
    with httpx2.Client(base_url=asks.url, headers={"accept": "text/html"}) as browser:
        browser.get(asks.post("/api/sign-in", who="operator")["path"])
        token = csrf_of(browser.cookies["trimtab_session"])

        def press(verb: str, _csrf: str = token) -> Any:
            form = f"_csrf={_csrf}&reason=by+hand"
            kind = {"content-type": "application/x-www-form-urlencoded"}
            return browser.post(f"/runs/{run}/{verb}", content=form, headers=kind)

        def page() -> str:
            text: str = browser.get(f"/runs/{run}").text
            return text

        assert "Pause the run" in page()
        assert press("pause", "wrong").status_code == 403
        assert press("pause").headers["location"] == f"/runs/{run}"
        assert last_of(asks, run, "run.paused") == {"actor": "operator", "reason": "by hand"}
        assert "Resume the run" in page()
        assert press("retry").status_code == 409
        assert press("burn").status_code in (400, 404)
        assert press("cancel").status_code == 303
        assert asks.ended(run)["state"] == "cancelled"
        assert "Retry from where it stopped" in page()
        made = press("retry").headers["location"].removeprefix("/runs/")
        assert asks.get(f"/api/runs/{made}")["forked"]["run"] == run
        browser.get(asks.post("/api/sign-in", who="viewer")["path"])
        assert "Retry from" not in page()
    asks.post(f"/api/runs/{made}/cancel", who="operator")


def trimtab(api: Any, *words: str, code: int = 0) -> Any:
    """Run the command line as an operator does, and return what it wrote."""
    command = [sys.executable, "-m", "control_plane.cli.main", "--data", str(api.folder.root)]
    environ = os.environ | {
        "TRIMTAB_KEY": api.keys["operator"], "TRIMTAB_URL": api.url, "PYTHONPATH": os.getcwd(),
    }  # fmt: skip
    done = subprocess.run(
        [*command, "run", *words], capture_output=True, text=True, env=environ, timeout=120,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout) if "json" in words else done.stdout + done.stderr


def test_the_command_line_asks_before_it_acts_on_many(asks: Any) -> None:
    runs = [submit(asks, "typed", fail=True) for _ in range(2)]
    which = ("--label", "batch=typed", "-o", "json")
    would = trimtab(asks, "signal", "-", "paid", "3", "--dry-run", *which)
    assert [(d["run"], d["outcome"]) for d in would] == [(run, "would") for run in runs]
    assert "would reach 2 runs" in trimtab(asks, "signal", "-", "paid", *which[:2], code=2)
    assert "which runs?" in trimtab(asks, "cancel", code=2)
    assert "do not go together" in trimtab(asks, "cancel", runs[0], "--all", code=2)
    assert "is no time" in trimtab(asks, "cancel", "--since", "soon", code=2)

    done = trimtab(asks, "signal", "-", "paid", "3", "--yes", *which)
    assert {d["outcome"] for d in done} == {"done"}
    answered = trimtab(asks, "answer", "-", "release", "--yes", "--sure", *which)
    assert {d["outcome"] for d in answered} == {"done"}
    assert {asks.ended(run)["state"] for run in runs} == {"failed"}

    made = trimtab(asks, "retry", runs[0], "--reason", "mended", "-o", "json")
    assert asks.ended(made["run"])["state"] == "completed"
    shown = trimtab(asks, "show", runs[0])
    assert f"gone on    in run {made['run']}" in shown
    assert f"next: trimtab run retry {runs[0]}" in shown
    again = trimtab(asks, "show", made["run"])
    assert f"goes on    again from work of run {runs[0]}" in again
