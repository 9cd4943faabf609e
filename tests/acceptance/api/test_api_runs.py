"""Runs are submitted once, read as they are, and followed without loss or repeat."""

from __future__ import annotations

from itertools import islice
from typing import Any


def test_a_run_is_submitted_runs_and_tells_its_steps(api: Any) -> None:
    answer = api.ask("POST", "/api/runs", json={"playbook": "tests/double", "labels": {"a": "b"}})
    assert answer.status_code == 201
    line = answer.json()
    assert answer.headers["location"] == f"/api/runs/{line['run']}"
    view = api.ended(line["run"])
    assert (view["state"], view["result"]) == ("completed", {"total": 30})
    assert view["labels"] == {"a": "b"}
    assert view["actor"] == "author"
    double, total = view["steps"]
    assert (double["items"], double["items_done"], double["batches"]) == (5, 5, 3)
    assert double["knobs"]["each.batch"] == 2
    assert total["state"] == "completed"
    assert api.get(f"/api/runs/{line['run']}/values")["total"] == {"total": 30}


def test_the_same_key_with_the_same_body_is_the_same_run(api: Any) -> None:
    body = {"playbook": "tests/double", "workload": {"numbers": [7]}}
    headers = {"Idempotency-Key": "once"}
    first = api.ask("POST", "/api/runs", json=body, headers=headers)
    again = api.ask("POST", "/api/runs", json={**body, "key": "once"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["run"] == again.json()["run"]
    before = api.written()
    other = api.ask("POST", "/api/runs", headers=headers, json={"playbook": "tests/double"})
    assert other.status_code == 409
    assert other.json()["reason"] == "key_conflict"
    assert api.ended(first.json()["run"])["state"] == "completed"
    assert len(api.get("/api/runs", limit=1)) == 1
    assert api.written().keys() == before.keys()


def test_a_version_is_named_by_number_or_hash(api: Any) -> None:
    view = api.get("/api/playbooks/tests/double")
    for version in ("1", view["version"], view["version"][:8]):
        line = api.post("/api/runs", {"playbook": "tests/double", "version": version})
        assert line["version"] == view["version"]
        api.ended(line["run"])


def test_an_override_holds_for_its_run_alone(api: Any) -> None:
    body = {"playbook": "tests/double", "overrides": {"double": {"each.batch": 5}}}
    view = api.ended(api.post("/api/runs", body)["run"])
    assert view["steps"][0]["batches"] == 1
    assert api.run()["steps"][0]["batches"] == 3


def test_runs_are_listed_newest_first_page_by_page(api: Any) -> None:
    for _ in range(3):
        api.run()
    first = api.get("/api/runs", limit=2)
    more = api.get("/api/runs", limit=2, before=first[-1]["run"])
    ids = [row["run"] for row in first + more]
    assert ids == sorted(ids, reverse=True)
    assert len(set(ids)) == len(ids)
    completed = api.get("/api/runs", state="completed", playbook="tests/double")
    assert {row["state"] for row in completed} == {"completed"}
    assert api.get("/api/runs", playbook="tests/nothing") == []


def test_events_are_listed_in_order_past_a_sequence(api: Any) -> None:
    run = api.run()["run"]
    events = api.get(f"/api/runs/{run}/events")
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[0]["type"] == "run.submitted"
    assert events[-1]["type"] == "run.completed"
    assert api.get(f"/api/runs/{run}/events", after=3, limit=2) == events[3:5]


def test_a_stream_tells_every_event_once_and_ends_with_the_run(api: Any) -> None:
    run = api.post("/api/runs", {"playbook": "tests/double", "workload": {"wait": 0.1}})["run"]
    told = list(api.events(run))
    assert told[-1][1:] == ("end", "completed")
    listed = api.get(f"/api/runs/{run}/events")
    assert [data for _, _, data in told[:-1]] == listed
    assert [int(id_) for id_, _, _ in told[:-1]] == [event["seq"] for event in listed]
    assert [kind for _, kind, _ in told[:-1]] == [event["type"] for event in listed]


def test_a_stream_goes_on_where_the_client_was(api: Any) -> None:
    run = api.post("/api/runs", {"playbook": "tests/double", "workload": {"wait": 0.2}})["run"]
    first = list(islice(api.events(run), 4))
    rest = list(api.events(run, after=int(first[-1][0])))
    seen = [int(id_) for id_, kind, _ in first + rest if kind != "end"]
    assert seen == list(range(1, len(seen) + 1))
    assert rest[-1][1] == "end"


def test_its_submitter_or_an_operator_ends_a_run(api: Any) -> None:
    body = {"playbook": "tests/double", "workload": {"wait": 30}}
    for who in ("submitter", "operator"):
        run = api.post("/api/runs", body, who="submitter")["run"]
        refused = api.ask("POST", f"/api/runs/{run}/cancel", "other", json={})
        assert refused.status_code == 403
        api.post(f"/api/runs/{run}/cancel", {"reason": "enough"}, who=who)
        assert api.ended(run)["state"] == "cancelled"


def test_a_paused_run_waits_until_it_is_resumed(api: Any) -> None:
    run = api.post("/api/runs", {"playbook": "tests/double", "workload": {"wait": 0.2}})["run"]
    api.post(f"/api/runs/{run}/pause", {"reason": "look"})
    assert api.get(f"/api/runs/{run}")["state"] == "paused"
    api.post(f"/api/runs/{run}/resume")
    assert api.ended(run)["state"] == "completed"


def test_a_failed_run_points_into_the_code(api: Any) -> None:
    view = api.run(numbers=[1, None])
    assert view["state"] == "failed"
    assert view["fault_step"] == "double"
    assert view["fault"]["cls"] == "permanent"
    assert view["fault"]["where"].startswith("work.py:")
    assert view["steps"][0]["failed_attempts"] == 1
