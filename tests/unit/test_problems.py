"""What went wrong is answered as one problem; what nobody foresaw tells only its number."""

from __future__ import annotations

import logging

import pytest

from control_plane.api.problems import problem_of, unavailable
from control_plane.errors import Conflict, ControlPlaneError, Forbidden, Invalid, NotFound
from runtime.engine.errors import BadWorkload, EngineError, KeyConflict, UnknownRun
from runtime.journal.port import StreamMoved
from runtime.playbook.faults import PlaybookFault, PlaybookFaults
from runtime.record.access import RecordError


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (NotFound("run", "x"), 404, "not_found"),
        (UnknownRun("no run x"), 404, "not_found"),
        (Forbidden("own_proposal", "yours"), 403, "own_proposal"),
        (Conflict("stale", "moved on", "read it again"), 409, "stale"),
        (KeyConflict("used"), 409, "key_conflict"),
        (StreamMoved("s", 1, 2), 409, "moved"),
        (EngineError("it has ended"), 409, "state"),
        (Invalid(["a", "b"]), 422, "invalid"),
        (BadWorkload([("n", "too small")]), 422, "workload"),
        (ControlPlaneError("no"), 422, "invalid"),
        (unavailable("away", "start it"), 503, "unavailable"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_each_refusal_has_its_status_and_reason(
    error: Exception, status: int, reason: str
) -> None:
    problem = problem_of(error)
    assert (problem.status, problem.reason) == (status, reason)
    assert problem.detail


def test_every_fault_is_named_at_once() -> None:
    faults = [PlaybookFault(3, 1, "a", "no"), PlaybookFault(9, 4, "b", "nor that", "try c")]
    body = problem_of(PlaybookFaults(faults)).body()
    assert body["detail"] == "the playbook has 2 faults"
    assert [(f["line"], f["column"], f["hint"]) for f in body["errors"]] == [
        (3, 1, ""), (9, 4, "try c"),
    ]  # fmt: skip


def test_a_record_that_is_away_is_said_to_be(caplog: pytest.LogCaptureFixture) -> None:
    problem = problem_of(RecordError("nobody answers"))
    assert (problem.status, problem.kind) == (503, "unavailable")
    assert not caplog.records


def test_what_nobody_foresaw_is_logged_under_the_number_that_is_answered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR):
        body = problem_of(ZeroDivisionError("the secret is 42")).body()
    assert body["status"] == 500
    assert "secret" not in str(body)
    number = body["instance"].rsplit(":", 1)[1]
    assert number in caplog.text
    assert "the secret is 42" in caplog.text


def test_empty_members_are_left_out() -> None:
    assert set(problem_of(NotFound("run", "x")).body()) == {
        "type", "title", "status", "detail", "reason",
    }  # fmt: skip
