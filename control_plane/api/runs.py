"""Runs over HTTP: submit, list, read, follow, end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Annotated, Any, Literal

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, HeaderParameter, JSONBody, QueryParameter
from litestar.response import ServerSentEvent, ServerSentEventMessage

from control_plane.api.guards import requires
from control_plane.api.problems import Anyone, Problem, Problematic, unavailable
from control_plane.api.schemas import Cancel, Reason, RunFork, RunSubmit, SignalSend, StepAnswer
from control_plane.auth import Principal
from control_plane.errors import Forbidden
from control_plane.run_views import EventView, ProgressView, RunLine, RunView, progress_of
from control_plane.runs import Runs
from control_plane.settings import Settings
from control_plane.streams import Streams, TooManyStreams, wait
from runtime.engine.engine import Engine, Submit
from runtime.run.events import Recorded
from runtime.run.state import ENDED

HEARTBEAT_S = 15.0
APPROVALS = "approval:"
CHUNK = 500
Key = Annotated[str | None, HeaderParameter(name="Idempotency-Key")]
LastSeen = Annotated[str | None, HeaderParameter(name="Last-Event-ID")]
InState = Annotated[str | None, QueryParameter(name="state")]
Limit = Annotated[int, QueryParameter(ge=1, le=10_000)]


class RunsController(Controller):
    """What there is to do with runs."""

    path = "/api/runs"
    tags = ("runs",)

    @post(guards=[requires("submitter")], operation_id="submitRun")
    async def submit(
        self, data: JSONBody[RunSubmit], request: Anyone, engine: NamedDependency[Engine],
        runs: NamedDependency[Runs], idempotency_key: Key = None,
    ) -> Response[RunLine | None]:  # fmt: skip
        """Start a run. The same idempotency key with the same body is the same run."""
        wanted = _submit_of(data, request.user, idempotency_key)
        known = wanted.key is not None and engine.journal.run_by_key(wanted.key) is not None
        run = await engine.submit(wanted)
        return Response(
            runs.line(run),
            status_code=200 if known else 201,
            headers={"Location": f"/api/runs/{run}"},
        )

    @get(guards=[requires("viewer")], operation_id="listRuns")
    async def page(
        self, runs: NamedDependency[Runs], settings: NamedDependency[Settings],
        in_state: InState = None, playbook: FromQuery[str | None] = None,
        system: FromQuery[Literal["no", "yes", "all"]] = "no", limit: Limit = 100,
        before: FromQuery[str | None] = None,
    ) -> list[RunLine]:  # fmt: skip
        """List runs, the newest first; ``state=live`` is all that has not ended.

        ``state=waiting`` are those that are running and wait for hours of the day, which
        ``waits`` tells of each.
        """
        wanted: dict[str, Any] = {
            "state": in_state, "playbook": playbook, "before": before,
            "system": {"no": False, "yes": True, "all": None}[system],
            "limit": min(limit, settings.limits.page),
        }  # fmt: skip
        return await asyncio.to_thread(_page_apart, runs, wanted)

    @get("/{run:str}", guards=[requires("viewer")], operation_id="getRun")
    async def read(
        self, run: FromPath[str], runs: NamedDependency[Runs], engine: NamedDependency[Engine]
    ) -> RunView:
        """Read a run with its steps, result and fault, and what runs in it says of progress."""
        view = await asyncio.to_thread(_read_apart, runs, run)
        return replace(view, progress=progress_of(engine, run))

    @get(
        "/{run:str}/line", guards=[requires("viewer")], operation_id="getRunLine",
        sync_to_thread=False,
    )  # fmt: skip
    def line(self, run: FromPath[str], runs: NamedDependency[Runs]) -> RunLine:
        """Read a run's line alone: quick, however long the run is."""
        return runs.line(run)

    @get(
        "/{run:str}/events", guards=[requires("viewer")], operation_id="listRunEvents",
        sync_to_thread=False,
    )  # fmt: skip
    def events(
        self, run: FromPath[str], runs: NamedDependency[Runs],
        settings: NamedDependency[Settings], after: FromQuery[int] = 0, limit: Limit = 1000,
    ) -> list[EventView]:  # fmt: skip
        """List the events of a run past a sequence, in order."""
        return runs.events(run, after, min(limit, settings.limits.page))

    @get("/{run:str}/stream", guards=[requires("viewer")], operation_id="followRun")
    async def follow(
        self, run: FromPath[str], runs: NamedDependency[Runs], streams: NamedDependency[Streams],
        engine: NamedDependency[Engine], last_event_id: LastSeen = None,
        after: FromQuery[int] = 0, progress: FromQuery[bool] = False,
    ) -> ServerSentEvent:  # fmt: skip
        """Follow a run as server-sent events until it ends. An event's id is its sequence.

        A client that comes back with ``Last-Event-ID`` misses nothing and sees nothing twice.
        With ``progress``, what running attempts say of progress comes between, as events
        ``progress`` without an id.
        """
        runs.row(run)
        if streams.full:
            raise unavailable("as many event streams are open as may be", "try again in a while")
        seen = int(last_event_id) if last_event_id and last_event_id.isdigit() else after
        said = (lambda: progress_of(engine, run)) if progress else list[ProgressView]
        return ServerSentEvent(follow_run(runs, streams, run, seen, said))

    @post("/{run:str}/cancel", status_code=202, operation_id="cancelRun")
    async def cancel(
        self, run: FromPath[str], data: JSONBody[Cancel], request: Anyone,
        engine: NamedDependency[Engine], runs: NamedDependency[Runs],
    ) -> RunLine:  # fmt: skip
        """Ask a run and those below it to end. Its submitter may, and any operator."""
        may_steer(runs, run, request.user)
        await engine.cancel(run, request.user.name, data.reason, now=data.now)
        return runs.line(run)

    @post("/{run:str}/pause", status_code=202, operation_id="pauseRun")
    async def pause(
        self, run: FromPath[str], data: JSONBody[Reason], request: Anyone,
        engine: NamedDependency[Engine], runs: NamedDependency[Runs],
    ) -> RunLine:  # fmt: skip
        """Let nothing new of a run fire until it is resumed."""
        may_steer(runs, run, request.user)
        await engine.pause(run, request.user.name, data.reason)
        return runs.line(run)

    @post("/{run:str}/resume", status_code=202, operation_id="resumeRun")
    async def resume(
        self, run: FromPath[str], request: Anyone, engine: NamedDependency[Engine],
        runs: NamedDependency[Runs], data: JSONBody[Reason | None] = None,
    ) -> RunLine:  # fmt: skip
        """Let a paused run go on."""
        may_steer(runs, run, request.user)
        await engine.resume(run, request.user.name, data.reason if data else "")
        return runs.line(run)

    @post("/{run:str}/fork", status_code=201, operation_id="forkRun")
    async def fork(
        self, run: FromPath[str], data: JSONBody[RunFork], request: Anyone,
        engine: NamedDependency[Engine], runs: NamedDependency[Runs],
    ) -> RunLine:  # fmt: skip
        """Go on from any event of a run as a new one; the old one stays as it is."""
        may_steer(runs, run, request.user)
        new = await engine.fork(
            run, data.at, request.user.name, workload=data.workload, version=data.version
        )
        return runs.line(new)

    @post("/{run:str}/signal", status_code=202, operation_id="signalRun")
    async def signal(
        self, run: FromPath[str], data: JSONBody[SignalSend], request: Anyone,
        engine: NamedDependency[Engine], runs: NamedDependency[Runs],
    ) -> RunLine:  # fmt: skip
        """Send a run a signal; a step that waits for it goes on, or the next that will."""
        may_signal(runs, run, data.name, request.user)
        await engine.signal(run, data.name, data.value, request.user.name, data.reason)
        return runs.line(run)

    @post("/{run:str}/steps/{step:str}/answer", status_code=202, operation_id="answerStep")
    async def answer(
        self, run: FromPath[str], step: FromPath[str], data: JSONBody[StepAnswer],
        request: Anyone, engine: NamedDependency[Engine], runs: NamedDependency[Runs],
    ) -> RunLine:  # fmt: skip
        """Answer an ``approval`` step. Approvers and operators may; an agent never."""
        who = request.user
        may_answer(who)
        await engine.approve(run, step, approved=data.approved, actor=who.name, note=data.note)
        return runs.line(run)


def _page_apart(runs: Runs, wanted: dict[str, Any]) -> list[RunLine]:
    with runs.apart() as reading:
        return reading.page(**wanted)


def _read_apart(runs: Runs, run: str) -> RunView:
    with runs.apart() as reading:
        return reading.get(run)


async def follow_run(
    runs: Runs, streams: Streams, run: str, seen: int, said: Callable[[], list[ProgressView]]
) -> AsyncIterator[ServerSentEventMessage]:
    """Yield a run's events past ``seen``, wait for more, end when it ended or we close.

    What is ``said`` of progress is yielded between the events, each thing once.
    """

    def wanted(recorded: Recorded) -> bool:
        return recorded.stream == f"run/{run}"

    told: list[ProgressView] = []
    try:
        with streams.open(wanted) as news:
            while True:
                while views := runs.stream(f"run/{run}", seen, CHUNK):
                    for view in views:
                        yield message(view)
                    seen = views[-1].seq
                row = runs.row(run)
                if row.state in ENDED and seen >= row.length:
                    yield ServerSentEventMessage(event="end", data=row.state)
                    return
                if streams.closing:
                    return
                now = said()
                for one in (one for one in now if one not in told):
                    data = msgspec.json.encode(one).decode()
                    yield ServerSentEventMessage(event="progress", data=data)
                told = now
                if not await wait(news, HEARTBEAT_S, said):
                    yield ServerSentEventMessage(comment="still here", data=None)
    except TooManyStreams as fault:
        yield ServerSentEventMessage(event="problem", data=str(fault), retry=10_000)


def message(view: EventView) -> ServerSentEventMessage:
    """Return an event as a server-sent one."""
    return ServerSentEventMessage(
        id=view.seq, event=view.type, data=msgspec.json.encode(view).decode()
    )


def _submit_of(data: RunSubmit, who: Principal, header: str | None) -> Submit:
    if header is not None and data.key is not None and header != data.key:
        raise Problematic(Problem(
            400, "malformed", "the Idempotency-Key header and `key` differ", "send one of them"
        ))  # fmt: skip
    system = data.playbook.startswith("system/")
    if system and not who.may("operator"):
        raise Forbidden("role", f"{who.name} is not operator: system playbooks are theirs")
    return Submit(
        playbook=data.playbook, version=data.version, workload=data.workload, actor=who.name,
        key=header or data.key, overrides=data.overrides, labels=data.labels, system=system,
        priority=data.priority,
    )  # fmt: skip


def may_steer(runs: Runs, run: str, who: Principal) -> None:
    """Refuse whoever neither submitted a run nor is operator."""
    row = runs.row(run)
    if who.may("operator") or (who.may("submitter") and row.actor == who.name):
        return
    raise Forbidden("role", f"{who.name} neither submitted this run nor is operator")


def may_signal(runs: Runs, run: str, name: str, who: Principal) -> None:
    """Refuse whoever may not steer a run, and what would answer an approval on the sly."""
    may_steer(runs, run, who)
    if name.startswith(APPROVALS):
        raise Forbidden("role", f"approvals are answered at /api/runs/{run}/steps/…/answer")


def may_answer(who: Principal) -> None:
    """Refuse whoever may not answer an ``approval`` step."""
    if not (who.may("approver") or who.may("operator")):
        raise Forbidden("role", f"{who.name} is neither approver nor operator")
