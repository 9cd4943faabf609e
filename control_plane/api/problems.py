"""Every refusal as one problem (RFC 9457), chosen here and nowhere else.

A problem says what is wrong (``detail``), which of our reasons it is (``reason``), what
to do now (``hint``), and names every fault at once (``errors``). What nobody expected is
logged under an id that the answer carries, and tells nothing else.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, Final, TypeAlias

from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException

from control_plane.auth import KeyFault
from control_plane.cron import CronFault
from control_plane.errors import Conflict, ControlPlaneError, Forbidden, Invalid, NotFound
from runtime.engine.errors import (
    BadOverride,
    BadWorkload,
    Draining,
    EngineError,
    KeyConflict,
    UnknownHardware,
    UnknownLimit,
    UnknownPlaybook,
    UnknownRun,
)
from runtime.journal.port import StreamMoved
from runtime.playbook.faults import PlaybookError, PlaybookFault, PlaybookFaults
from runtime.record.access import RecordError

LOG: Final = logging.getLogger("trimtab.api")
MEDIA: Final = "application/problem+json"
Anyone: TypeAlias = Request[Any, Any, Any]


@dataclass(frozen=True, slots=True)
class Problem:
    """What is answered when something cannot be done."""

    status: int
    kind: str
    detail: str
    hint: str = ""
    reason: str = ""
    errors: list[Any] = field(default_factory=list)
    instance: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        """Return the members of the answer; empty ones are left out."""
        members = {
            "type": f"urn:trimtab:problem:{self.kind}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "reason": self.reason,
            "hint": self.hint,
            "errors": self.errors,
            "instance": self.instance,
        }
        return {name: value for name, value in members.items() if value}


Page: TypeAlias = Callable[[Anyone, Problem], Response[Any]]
"""Draws a problem for a browser."""

_HINTS: Final = {
    401: "send `Authorization: Bearer <key>`; `trimtab keys create` makes one",
    404: "GET /schema lists what there is",
    405: "GET /schema lists what there is",
    429: "wait a little, or raise limits.requests_per_minute",
}
_KINDS: Final = {
    400: "malformed", 401: "not-signed-in", 403: "forbidden", 404: "not-found",
    405: "method-not-allowed", 409: "conflict", 413: "too-large", 422: "invalid",
    429: "too-many-requests", 503: "unavailable",
}  # fmt: skip


def problem_of(error: Exception) -> Problem:
    """Return what to answer for an error; anything unforeseen is logged under an id."""
    match error:
        case Problematic():
            return error.problem
        case NotFound() | UnknownPlaybook() | UnknownRun():
            return Problem(404, "not-found", str(error), reason="not_found")
        case Forbidden():
            return Problem(403, "forbidden", str(error), reason=error.reason)
        case Conflict():
            return Problem(409, "conflict", str(error), error.hint, error.reason)
        case KeyConflict():
            hint = "send another idempotency key, or the body that it was first used with"
            return Problem(409, "conflict", str(error), hint, "key_conflict")
        case StreamMoved():
            hint = "read it again and decide again"
            return Problem(409, "conflict", str(error), hint, "moved")
        case PlaybookFaults():
            faults = [_fault(fault) for fault in error.faults]
            detail = f"the playbook has {len(faults)} fault{'s' if len(faults) > 1 else ''}"
            return Problem(422, "invalid", detail, reason="playbook", errors=faults)
        case Invalid():
            errors = [{"message": text} for text in error.errors]
            return Problem(422, "invalid", str(error), reason="invalid", errors=errors)
        case BadWorkload():
            errors = [{"path": f"workload.{name}", "message": why} for name, why in error.faults]
            return Problem(422, "invalid", str(error), reason="workload", errors=errors)
        case BadOverride() | PlaybookError() | CronFault() | KeyFault() | ControlPlaneError():
            return Problem(422, "invalid", str(error), reason="invalid")
        case UnknownHardware() | UnknownLimit():
            hint = "declare it in the data folder, or ask for one that is there"
            return Problem(422, "invalid", str(error), hint, "installation")
        case Draining():
            hint = "submit it again when the server is back, with an idempotency key to be sure"
            return Problem(503, "unavailable", str(error), hint, "draining")
        case EngineError():  # it says itself what would be possible
            return Problem(409, "conflict", str(error), reason="state")
        case RecordError():
            hint = "`trimtab doctor` says more; it is started again by itself"
            return Problem(503, "unavailable", str(error), hint, "record")
        case HTTPException():
            return _of_http(error)
    number = secrets.token_hex(6)
    LOG.error("problem %s", number, exc_info=error)
    return Problem(
        500, "internal", "something went wrong here, not with the request",
        hint="the server's log tells more under this id", instance=f"urn:trimtab:{number}",
    )  # fmt: skip


class Problematic(Exception):
    """Carries a problem that was already chosen."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def unavailable(detail: str, hint: str) -> Problematic:
    """Return the error for a part that is not there at the moment."""
    return Problematic(Problem(503, "unavailable", detail, hint, "unavailable"))


def answer(problem: Problem) -> Response[dict[str, Any]]:
    """Return a problem as an HTTP response."""
    return Response(
        problem.body(), status_code=problem.status, media_type=MEDIA, headers=problem.headers
    )


def handler(page: Page | None) -> Callable[[Anyone, Exception], Response[Any]]:
    """Return the application's one exception handler. Browsers get ``page``, if there is one."""

    def handle(request: Anyone, error: Exception) -> Response[Any]:
        problem = problem_of(error)
        if page is not None and _wants_html(request):
            return page(request, problem)
        return answer(problem)

    return handle


def _of_http(error: HTTPException) -> Problem:
    status = error.status_code
    problem = Problem(
        status, _KINDS.get(status, "error"), error.detail, _HINTS.get(status, ""),
        headers=dict(error.headers or {}),
    )  # fmt: skip
    if status == 401:
        problem = replace(problem, headers={**problem.headers, "WWW-Authenticate": "Bearer"})
    if isinstance(error, ValidationException) and error.extra:
        errors = error.extra if isinstance(error.extra, list) else [error.extra]
        return replace(problem, errors=[_plain(one) for one in errors])
    return problem


def _plain(error: Any) -> Any:
    """Return a fault of the framework's; a body that was not sent at all is said in words."""
    if isinstance(error, dict) and error.get("message") == "'data'":
        return {**error, "message": "a JSON body is needed, and none was sent"}
    return error


def _fault(fault: PlaybookFault) -> dict[str, Any]:
    return {
        "message": fault.message, "line": fault.line, "column": fault.column,
        "path": fault.path, "hint": fault.hint,
    }  # fmt: skip


def _wants_html(request: Anyone) -> bool:
    if request.url.path.startswith(("/api", "/health", "/schema")):
        return False
    return "text/html" in request.headers.get("accept", "") or "hx-request" in request.headers
