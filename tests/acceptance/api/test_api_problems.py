"""Whatever is asked wrongly gets the right problem, and writes nothing."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

MANY = "x" * (17 * 1024 * 1024)
FAULTY = """
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: tests/faulty}
workflow:
  - step: one
    tool: {kind: pyton, call: "work:one"}
    next: nowhere
"""


class Bad(NamedTuple):
    """A request that cannot be, and what it is answered."""

    who: str | None
    method: str
    path: str
    body: Any
    status: int
    kind: str
    says: str


def submit(**more: Any) -> dict[str, Any]:
    return {"playbook": "tests/double", **more}


BAD = [
    Bad(None, "GET", "/api/runs", None, 401, "not-signed-in", "nobody is signed in"),
    Bad("tt_00000000_ff", "GET", "/api/runs", None, 401, "not-signed-in", "not known"),
    Bad("tt_00000000_ff", "GET", "/health/live", None, 401, "not-signed-in", "not known"),
    Bad("viewer", "GET", "/api/runs/" + "0" * 32, None, 404, "not-found", "there is no run"),
    Bad("viewer", "GET", "/api/runs/x/events", None, 404, "not-found", "there is no run"),
    Bad("viewer", "GET", "/api/runs/x/stream", None, 404, "not-found", "there is no run"),
    Bad("viewer", "GET", "/api/playbooks/no/such", None, 404, "not-found", "no/such"),
    Bad("viewer", "GET", "/api/proposals/p-0", None, 404, "not-found", "no proposal"),
    Bad("viewer", "GET", "/api/schedules/no", None, 404, "not-found", "no schedule"),
    Bad("viewer", "GET", "/api/nothing", None, 404, "not-found", "Not Found"),
    Bad("viewer", "DELETE", "/api/runs", None, 405, "method-not-allowed", "Method"),
    Bad("viewer", "GET", "/api/runs?limit=0", None, 400, "malformed", "Validation"),
    Bad("viewer", "GET", "/api/runs?state=happy", None, 422, "invalid", "completed"),
    Bad("viewer", "GET", "/api/trends?since=nan", None, 422, "invalid", "since and until"),
    Bad("viewer", "GET", "/api/trends?since=-inf", None, 422, "invalid", "since and until"),
    Bad("viewer", "GET", "/api/trends?until=1e300", None, 422, "invalid", "since and until"),
    Bad("viewer", "GET", "/api/trends?since=9&until=1", None, 422, "invalid", "in this order"),
    Bad("viewer", "GET", "/api/search", None, 400, "malformed", "q"),
    Bad("viewer", "GET", "/api/proposals?state=happy", None, 422, "invalid", "happy"),
    Bad("viewer", "POST", "/api/runs", submit(), 403, "forbidden", "viewer is not submitter"),
    Bad("submitter", "POST", "/api/playbooks", {"source": ""}, 403, "forbidden", "not author"),
    Bad("author", "PUT", "/api/schedules/x", {}, 403, "forbidden", "not operator"),
    Bad("author", "POST", "/api/kill", {}, 403, "forbidden", "not operator"),
    Bad("agent", "POST", "/api/runs", submit(), 403, "forbidden", "never decides"),
    Bad("author", "POST", "/api/runs", b"{", 400, "malformed", ""),
    Bad("author", "POST", "/api/runs", b"\xff\xfe", 400, "malformed", ""),
    Bad("author", "POST", "/api/runs", None, 400, "malformed", "a JSON body is needed"),
    Bad("author", "POST", "/api/runs", [], 400, "malformed", "Validation"),
    Bad("author", "POST", "/api/runs", {}, 400, "malformed", "Validation"),
    Bad("author", "POST", "/api/runs", submit(plybook=1), 400, "malformed", "Validation"),
    Bad("author", "POST", "/api/runs", submit(workload=3), 400, "malformed", "Validation"),
    Bad("author", "POST", "/api/runs", {"playbook": "no/such"}, 404, "not-found", "no/such"),
    Bad("author", "POST", "/api/runs", submit(version="9"), 404, "not-found", "version 9"),
    Bad("author", "POST", "/api/runs", submit(workload={"wait": -1}), 422, "invalid", "wait"),
    Bad("author", "POST", "/api/runs", submit(workload={"no": 1}), 422, "invalid", "no such"),
    Bad("author", "POST", "/api/runs", submit(overrides={"no": {}}), 422, "invalid", "no"),
    Bad("author", "POST", "/api/runs", {"playbook": "system/optimize"}, 403, "forbidden",
        "system"),
    Bad("author", "POST", "/api/playbooks", {"source": FAULTY}, 422, "invalid", "2 faults"),
    Bad("author", "POST", "/api/playbooks", {"source": MANY}, 413, "too-large", ""),
    Bad("operator", "PUT", "/api/schedules/x", {"cron": "61 * * * *", "playbook": "tests/double"},
        422, "invalid", "61"),
    Bad("operator", "PUT", "/api/schedules/x", {"cron": "* * * * *", "playbook": "no/such"},
        422, "invalid", "no/such"),
    Bad("operator", "PUT", "/api/schedules/a%0ab", {"cron": "* * * * *",
        "playbook": "tests/double"}, 422, "invalid", "letters, digits"),
    Bad("operator", "POST", "/api/kill", {"scope": "tests/duble"}, 404, "not-found", "duble"),
    Bad("operator", "POST", "/api/kill", {"scope": "tests/double#no"}, 404, "not-found", "no"),
    Bad("author", "POST", "/api/playbooks", {"source": "", "files": {"../x.py": ""}}, 422,
        "invalid", "within the bundle"),
    Bad("operator", "POST", "/api/schedules/x/fire", None, 404, "not-found", "no schedule"),
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD, ids=lambda b: f"{b.method} {b.path} {b.status} {b.says}"[:60])
def test_what_cannot_be_is_a_problem_and_writes_nothing(api: Any, bad: Bad) -> None:
    before = api.written()
    raw = {"content": bad.body} if isinstance(bad.body, bytes) else {}
    json = {} if raw or bad.body is None else {"json": bad.body}
    answer = api.ask(bad.method, bad.path, bad.who, **raw, **json)
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, problem["status"]) == (bad.status, bad.status)
    assert problem["type"] == f"urn:trimtab:problem:{bad.kind}"
    assert bad.says in problem["detail"] + str(problem.get("errors"))
    assert api.written() == before


def test_every_fault_of_a_playbook_is_named_with_its_place(api: Any) -> None:
    problem = api.ask("POST", "/api/playbooks", json={"source": FAULTY}).json()
    places = [(fault["line"], fault["message"]) for fault in problem["errors"]]
    assert [line for line, _ in places] == [7, 8]
    checked = api.post("/api/playbooks/validate", {"source": FAULTY}, who="viewer")
    assert not checked["valid"]
    assert checked["faults"] == problem["errors"]


def test_a_missing_key_says_how_to_send_one(api: Any) -> None:
    answer = api.ask("GET", "/api/me", None)
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "trimtab keys create" in answer.json()["hint"]


def test_two_different_idempotency_keys_are_refused(api: Any) -> None:
    answer = api.ask("POST", "/api/runs", json=submit(key="a"), headers={"Idempotency-Key": "b"})
    assert answer.status_code == 400


def test_a_run_that_has_ended_cannot_be_cancelled(api: Any) -> None:
    run = api.run()["run"]
    answer = api.ask("POST", f"/api/runs/{run}/cancel", json={})
    assert answer.status_code == 409
    assert "completed" in answer.json()["detail"]
