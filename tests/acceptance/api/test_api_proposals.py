"""A proposal is approved by somebody else, as it was read, and taken back at a word."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

EXPERIMENT = {
    "kind": "experiment", "playbook": "tests/double", "step": "double", "knob_class": "batch",
    "objective": "time", "base": {"each.batch": 2}, "evidence": {"support": 0.0}, "predicted": {},
}  # fmt: skip


def candidate(*values: int) -> dict[str, Any]:
    return {**EXPERIMENT, "diff": [{"knob": "each.batch", "from": 2, "values": list(values)}]}


@pytest.fixture
def proposal(api: Any) -> Iterator[dict[str, Any]]:
    """A proposal of the principal ``both``, withdrawn or taken back afterwards."""
    view = api.post("/api/proposals", candidate(4, 8), who="both")
    assert view["state"] == "proposed", view["checks"]
    yield view
    now = api.get(f"/api/proposals/{view['id']}")
    if now["state"] == "proposed":
        api.post(f"/api/proposals/{view['id']}/withdraw", who="both")
    elif "roll_back" in now["allowed"] or now["state"] in ("approved", "scheduled"):
        api.post(f"/api/proposals/{view['id']}/rollback", who="operator")


def approve(api: Any, proposal: dict[str, Any], who: str, **body: Any) -> Any:
    return api.ask("POST", f"/api/proposals/{proposal['id']}/approve", who, json=body)


def test_a_proposal_is_read_with_its_evidence_and_listed(api: Any, proposal: Any) -> None:
    view = api.get(f"/api/proposals/{proposal['id']}")
    assert view["author"] == "both"
    assert view["evidence"]["id"]
    assert view["bound_hash"]
    assert view["plan"]
    listed = api.get("/api/proposals", state="proposed")
    assert proposal["id"] in [p["id"] for p in listed]
    events = api.get(f"/api/proposals/{proposal['id']}/events")
    assert events[0]["type"] == "proposal.drafted"


def test_its_author_cannot_approve_it(api: Any, proposal: Any) -> None:
    before = api.written()
    answer = approve(api, proposal, "both", bound_hash=proposal["bound_hash"])
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, answer.json()["reason"]) == (403, "own_proposal")
    assert api.written() == before


@pytest.mark.parametrize("who", ["viewer", "author", "operator", "agent"])
def test_nobody_but_an_approver_approves(api: Any, proposal: Any, who: str) -> None:
    answer = approve(api, proposal, who)
    assert answer.status_code == 403
    assert api.get(f"/api/proposals/{proposal['id']}")["state"] == "proposed"


def test_an_approval_of_something_else_is_stale(api: Any, proposal: Any) -> None:
    before = api.written()
    answer = approve(api, proposal, "approver", bound_hash="0" * 32)
    assert (answer.status_code, answer.json()["reason"]) == (409, "stale_approval")
    assert proposal["bound_hash"] in answer.json()["hint"]
    assert api.written() == before


def test_what_was_read_is_approved_and_can_be_taken_back(api: Any, proposal: Any) -> None:
    answer = approve(api, proposal, "approver", bound_hash=proposal["bound_hash"])
    assert answer.status_code == 200, answer.text
    assert answer.json()["approver"] == "approver"
    again = approve(api, proposal, "approver")
    assert again.status_code == 409
    back = api.post(f"/api/proposals/{proposal['id']}/rollback", {"note": "no"}, who="operator")
    assert back["state"] in ("withdrawn", "rolling_back", "rolled_back")


def test_a_rejection_needs_a_known_reason_and_teaches(api: Any) -> None:
    view = api.post("/api/proposals", candidate(4, 8, 16), who="author")
    path = f"/api/proposals/{view['id']}/reject"
    unknown = api.ask("POST", path, "approver", json={"reason": "mood"})
    assert unknown.status_code == 422
    assert "risky" in unknown.json()["detail"]
    rejected = api.post(path, {"reason": "risky", "note": "not at night"}, who="approver")
    assert rejected["state"] == "rejected"
    assert "not at night" in rejected["lesson"]["text"]
    same = api.post("/api/proposals", candidate(4, 8, 16), who="author")
    assert same["state"] == "discarded"


def test_a_candidate_with_faults_names_them_all(api: Any) -> None:
    wrong = {**candidate(4), "diff": [{"knob": "each.bath", "from": 2}], "playbook": ""}
    assert api.ask("POST", "/api/proposals", json=wrong).status_code == 400
    wrong["playbook"] = "tests/double"
    problem = api.ask("POST", "/api/proposals", json=wrong).json()
    assert problem["status"] == 422
    assert problem["errors"]


def test_an_agent_may_propose_and_nothing_else(api: Any) -> None:
    view = api.post("/api/proposals", candidate(3), who="agent")
    path = f"/api/proposals/{view['id']}"
    for verb in ("approve", "reject", "rollback", "pause"):
        assert api.ask("POST", f"{path}/{verb}", "agent", json={}).status_code == 403, verb
    api.post(f"{path}/withdraw", who="agent")


def test_the_kill_switch_is_set_and_released_by_an_operator(api: Any) -> None:
    scope = "tests/double#double"
    assert api.post("/api/kill", {"scope": scope, "reason": "look"}, who="operator") == [scope]
    card = api.get("/api/playbooks/tests/double")["steps"][0]
    assert card["killed"]
    assert api.post("/api/kill", {"scope": scope, "on": False}, who="operator") == []


@pytest.mark.parametrize("verb", ["rollback", "pause", "resume"])
def test_an_approver_may_stop_what_an_operator_may_and_nobody_else(api: Any, verb: str) -> None:
    view = api.post("/api/proposals", candidate(3), who="author")
    path = f"/api/proposals/{view['id']}/{verb}"
    for who in ("operator", "approver"):
        answer = api.ask("POST", path, who, json={})
        assert (answer.status_code, answer.json()["reason"]) == (409, "state"), who
    for who in ("viewer", "author", "agent"):
        assert api.ask("POST", path, who, json={}).status_code == 403, who
