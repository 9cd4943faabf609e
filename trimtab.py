"""Trimtab from Python: submit runs, follow them, read proposals and decide on them.

::

    from trimtab import Client

    with Client() as trimtab:  # the server of the data folder here
        run = trimtab.submit("healthcare/patient_cohort", {"min_age": 65})
        print(trimtab.wait(run["run"])["state"])

Answers are the API's JSON. A refusal raises `ApiError` with the server's problem; no
server raises `Unreachable`. Playbook authors import ``trimtab.errors`` from here to say
of which class a failure is, `progress` to say how far they are, `spend` what they paid.
"""

from __future__ import annotations

import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias
from urllib.parse import quote, urlsplit

from runtime import errors
from runtime.tools.progress import progress
from runtime.tools.spending import spend

if TYPE_CHECKING:
    import httpx2
    import pandas as pd
    import polars as pl
    import pyarrow as pa

Json: TypeAlias = Any
History: TypeAlias = Literal["attempts", "transitions", "trends"]

ENDED: Final = frozenset({"completed", "failed", "cancelled"})
_RETRY_S: Final = 0.5
_LOST_S: Final = 30.0
_PASS_S: Final = 3600.0

sys.modules[f"{__name__}.errors"] = errors


class ClientError(Exception):
    """Something asked of the server did not work.

    ::

        ClientError
        ├── ApiError      the server refused: ``problem`` is its answer
        ├── BadName       an id or a name that nothing can have
        ├── Unreachable   no server answers
        └── TookTooLong   what was waited for did not happen in time
    """


class ApiError(ClientError):
    """The server refused. ``problem`` is its RFC 9457 answer."""

    def __init__(self, status: int, problem: Mapping[str, Json]) -> None:
        super().__init__(str(problem.get("detail") or problem.get("title") or status))
        self.status, self.problem = status, dict(problem)

    @property
    def hint(self) -> str:
        """What the server says to do now."""
        return str(self.problem.get("hint", ""))

    @property
    def reason(self) -> str:
        """The code of the refusal."""
        return str(self.problem.get("reason", ""))


class BadName(ClientError):
    """An id or a name that nothing can have; the server was not asked."""


class Unreachable(ClientError):
    """No server answers."""


class TookTooLong(ClientError):
    """What was waited for did not happen in time."""


class Client:
    """Talks to a server. Without arguments: the one that owns the data folder here."""

    def __init__(
        self, url: str | None = None, key: str | None = None, *,
        data: str | Path | None = None, timeout_s: float = 60.0,
    ) -> None:  # fmt: skip
        import httpx2

        found = None if url else _server(data)
        self.url = (url or found or "").rstrip("/")
        if not self.url:
            raise Unreachable("no server owns this data folder; `trimtab dev` starts one")
        key = key or os.environ.get("TRIMTAB_KEY") or _admin_key(data)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx2.Client(
            base_url=self.url, headers=headers, timeout=timeout_s,
            trust_env=not _is_here(self.url),
        )  # fmt: skip

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    # ---- runs ---------------------------------------------------------------------------

    def submit(
        self, playbook: str, workload: Mapping[str, Json] | None = None, *,
        version: str | None = None, key: str | None = None,
        overrides: Mapping[str, Mapping[str, Json]] | None = None,
        labels: Mapping[str, str] | None = None, priority: int = 0,
    ) -> dict[str, Json]:  # fmt: skip
        """Start a run of a registered playbook and return its line."""
        body = {
            "playbook": playbook, "workload": dict(workload or {}), "version": version,
            "key": key, "overrides": dict(overrides or {}), "labels": dict(labels or {}),
            "priority": priority,
        }  # fmt: skip
        return self._dict("POST", "/api/runs", json=body)

    def runs(self, **filters: Json) -> list[dict[str, Json]]:
        """List runs, the newest first: ``state, playbook, system, limit, before``."""
        return self._list("/api/runs", **filters)

    def run(self, run: str) -> dict[str, Json]:
        """Read a run with its steps."""
        return self._dict("GET", f"/api/runs/{_part(run)}")

    def values(self, run: str) -> dict[str, Json]:
        """Read the values of a run's steps, large ones as references."""
        return self._dict("GET", f"/api/runs/{_part(run)}/values")

    def value(self, run: str, step: str) -> Json:
        """Read the value of one step, whole: rows where it is a table."""
        return self._ask("GET", f"/api/runs/{_part(run)}/values/{_part(step)}?form=json")

    def table(self, run: str, step: str) -> pa.Table:
        """Read the value of one step as an Arrow table; it needs pyarrow here."""
        import pyarrow as pa

        path = f"/api/runs/{_part(run)}/values/{_part(step)}?form=arrow"
        with pa.ipc.open_file(self._answer("GET", path).content) as file:
            return file.read_all()

    def events(self, run: str, after: int = 0) -> Iterator[dict[str, Json]]:
        """Yield the events of a run past a sequence, page by page."""
        while page := self._list(f"/api/runs/{_part(run)}/events", after=after):
            yield from page
            after = page[-1]["seq"]

    def watch(
        self, run: str, after: int = 0, said: Callable[[dict[str, Json]], object] | None = None
    ) -> Iterator[dict[str, Json]]:
        """Yield the events of a run as they happen, until it ends.

        A connection that breaks is opened again where it was, so each event comes once.
        ``said`` is called with what running attempts say of their progress.
        """
        lost_at: float | None = None
        while True:
            try:
                for event in self._stream(run, after, said):
                    if event is None:
                        return
                    after, lost_at = event["seq"], None
                    yield event
            except Unreachable:
                lost_at = lost_at or time.monotonic()
                if time.monotonic() - lost_at > _LOST_S:
                    raise
            time.sleep(_RETRY_S)

    def wait(self, run: str, timeout_s: float | None = None) -> dict[str, Json]:
        """Wait until a run has ended and return it.

        Raises:
            TookTooLong: it did not within ``timeout_s``.
        """
        began = time.monotonic()
        while True:
            row = self._dict("GET", f"/api/runs/{_part(run)}/line")
            if row["state"] in ENDED:
                return self.run(run)
            if timeout_s is not None and time.monotonic() - began > timeout_s:
                raise TookTooLong(f"run {run} is still {row['state']} after {timeout_s:g} s")
            time.sleep(0.1)

    def cancel(self, run: str, reason: str = "", *, now: bool = False) -> dict[str, Json]:
        """Ask a run and those below it to end; ``now`` gives what runs no grace."""
        body = {"reason": reason, "now": now}
        return self._dict("POST", f"/api/runs/{_part(run)}/cancel", json=body)

    def pause(self, run: str, reason: str = "") -> dict[str, Json]:
        """Let nothing new of a run fire."""
        return self._dict("POST", f"/api/runs/{_part(run)}/pause", json={"reason": reason})

    def fork(
        self, run: str, at: int, workload: Mapping[str, Json] | None = None, *,
        version: str | None = None,
    ) -> dict[str, Json]:  # fmt: skip
        """Go on from event ``at`` of a run as a new one, and return its line."""
        body = {"at": at, "workload": dict(workload) if workload else None, "version": version}
        return self._dict("POST", f"/api/runs/{_part(run)}/fork", json=body)

    def retry(
        self, run: str, step: str | None = None, *, round: int | None = None,
        failed_only: bool = False, once: bool = False, version: str | None = None,
        reason: str = "",
    ) -> dict[str, Json]:  # fmt: skip
        """Go on with an ended run from a step, else where it stopped, as a new run.

        The answer names it (``run``) and the steps that begin again (``steps``).
        """
        body = {
            "step": step, "round": round, "failed_only": failed_only, "once": once,
            "version": version, "reason": reason,
        }  # fmt: skip
        return self._dict("POST", f"/api/runs/{_part(run)}/retry", json=body)

    def act(
        self, action: str, filter: Mapping[str, Json], *, dry_run: bool = False,
        all: bool = False, **more: Json,
    ) -> list[dict[str, Json]]:  # fmt: skip
        """Do ``pause, resume, cancel, signal, answer`` or ``retry`` to all runs of a filter.

        Conditions: ``playbook, status, labels, since, until, step, error_class``. Says of
        each run what happened; with ``dry_run``, what would.
        """
        body = {
            "action": action, "filter": dict(filter), "dry_run": dry_run, "all": all, **more,
        }  # fmt: skip
        done: list[dict[str, Json]] = self._ask("POST", "/api/runs/actions", json=body)
        return done

    def signal(
        self, run: str, name: str, value: Json = None, *, reason: str = ""
    ) -> dict[str, Json]:
        """Send a run a signal."""
        body = {"name": name, "value": value, "reason": reason}
        return self._dict("POST", f"/api/runs/{_part(run)}/signal", json=body)

    def answer(self, run: str, step: str, approved: bool, note: str = "") -> dict[str, Json]:
        """Answer an ``approval`` step of a run."""
        path = f"/api/runs/{_part(run)}/steps/{_part(step)}/answer"
        return self._dict("POST", path, json={"approved": approved, "note": note})

    def resume(self, run: str, reason: str = "") -> dict[str, Json]:
        """Let a paused run go on."""
        return self._dict("POST", f"/api/runs/{_part(run)}/resume", json={"reason": reason})

    # ---- playbooks ----------------------------------------------------------------------

    def playbooks(self) -> list[dict[str, Json]]:
        """List the newest version of each playbook."""
        return self._list("/api/playbooks")

    def playbook(self, path: str, version: str | None = None) -> dict[str, Json]:
        """Read a playbook with its steps and knobs."""
        return self._dict(
            "GET", f"/api/playbooks/{_part(path, '/')}", params=_given(version=version)
        )

    def register(self, file: str | Path) -> dict[str, Json]:
        """Register the playbook in a file, with the files beside it."""
        from runtime.playbook.bundle import load

        bundle = load(Path(file))
        body = {"source": bundle.source, "files": dict(bundle.files)}
        return self._dict("POST", "/api/playbooks", json=body)

    def clear(self, playbook: str, step: str, reason: str = "") -> int:
        """Let a step run again whose attempts killed their workers; says how many versions did."""
        body = {"playbook": playbook, "step": step, "reason": reason}
        return int(self._dict("POST", "/api/playbooks/clear", json=body)["cleared"])

    # ---- the loop -----------------------------------------------------------------------

    def proposals(self, state: str | None = None) -> list[dict[str, Json]]:
        """List proposals, the newest first."""
        return self._list("/api/proposals", **_given(state=state))

    def proposal(self, proposal: str) -> dict[str, Json]:
        """Read a proposal with its evidence and history."""
        return self._dict("GET", f"/api/proposals/{_part(proposal)}")

    def propose(self, candidate: Mapping[str, Json]) -> dict[str, Json]:
        """Propose a change or an experiment."""
        return self._dict("POST", "/api/proposals", json=dict(candidate))

    def approve(self, proposal: str, bound_hash: str | None = None) -> dict[str, Json]:
        """Approve a proposal; with ``bound_hash``, only as it was read."""
        return self._dict(
            "POST", f"/api/proposals/{_part(proposal)}/approve", json={"bound_hash": bound_hash}
        )

    def reject(self, proposal: str, reason: str = "rejected", note: str = "") -> dict[str, Json]:
        """Reject a proposal, with a reason code and words."""
        body = {"reason": reason, "note": note}
        return self._dict("POST", f"/api/proposals/{_part(proposal)}/reject", json=body)

    def roll_back(self, proposal: str, note: str = "") -> dict[str, Json]:
        """Take a live or kept change back."""
        return self._dict(
            "POST", f"/api/proposals/{_part(proposal)}/rollback", json={"note": note}
        )

    def withdraw(self, proposal: str, note: str = "") -> dict[str, Json]:
        """Withdraw a proposal that has not started."""
        return self._dict(
            "POST", f"/api/proposals/{_part(proposal)}/withdraw", json={"note": note}
        )

    def optimize(self) -> dict[str, Json]:
        """Start one cycle of the optimizer and return its run."""
        return self._dict("POST", "/api/optimize")

    def calibrate(self) -> dict[str, Json]:
        """Replay the record to see how far stated chances can be trusted; return the run."""
        return self._dict("POST", "/api/calibrate")

    def calibration(self) -> dict[str, Json]:
        """Return what the latest calibration said; empty when there is none."""
        return self._dict("GET", "/api/calibration")

    def optimizer_inputs(self) -> dict[str, Json]:
        """Read what a cycle that starts now would be given: steps that may be tuned, policy."""
        return self._dict("GET", "/api/optimize")

    def drafted(self, run: str, count: int, timeout_s: float = 10.0) -> list[dict[str, Json]]:
        """Return the proposals that a cycle led to, waiting until ``count`` were drafted."""
        began = time.monotonic()
        while True:
            found = [view for view in self.proposals() if view["cycle"] == run]
            if len(found) >= count or time.monotonic() - began > timeout_s:
                return found
            time.sleep(0.1)

    def kill(self, scope: str = "*", on: bool = True, reason: str = "") -> list[str]:
        """Set or release the kill switch; returns the scopes on which it is set."""
        body = {"scope": scope, "on": on, "reason": reason}
        scopes: list[str] = self._ask("POST", "/api/kill", json=body)
        return scopes

    # ---- record -------------------------------------------------------------------------

    def search(self, text: str, **filters: Json) -> list[dict[str, Json]]:
        """Find by meaning and words.

        ``kind, playbook, step, state, hardware, since, until, limit`` narrow it; ``by`` is
        ``both``, ``words`` or ``meaning``.
        """
        return self._list("/api/search", q=text, **filters)

    def facets(self, text: str, **filters: Json) -> dict[str, dict[str, int]]:
        """Count what a search finds by kind, playbook, step, state and hardware."""
        told: dict[str, dict[str, int]] = self._ask(
            "GET", "/api/search/facets", params=_given(q=text, **filters)
        )
        return told

    def causes(self, **filters: Json) -> list[dict[str, Json]]:
        """Return failures grouped by cause: ``playbook, step, state, hardware, since, until``."""
        return self._list("/api/causes", **filters)

    def similar(self, run: str, **filters: Json) -> list[dict[str, Json]]:
        """Return what is like a run that ended; narrowed as `search` is."""
        return self._list(f"/api/runs/{_part(run)}/similar", **filters)

    def reindex(self) -> dict[str, Json]:
        """Have all search points made anew from the journal, while the old ones serve."""
        return self._dict("POST", "/api/search/reindex")

    def trends(self, **filters: Json) -> list[dict[str, Json]]:
        """Return percentiles, cost and failures: ``playbook, step, bucket_s, since, until``."""
        return self._list("/api/trends", **filters)

    def history(self, of: History = "attempts", **filters: Json) -> pa.Table:
        """Read the record as an Arrow table: ``attempts``, ``transitions`` or ``trends``.

        All take ``playbook, step, since, until``; attempts also ``run, outcome, error_class,
        system, limit``, transitions ``run, transition, limit``, trends ``bucket_s, system``.
        Times are seconds since the epoch. It needs pyarrow here.
        """
        with self._arrow(of, filters) as stream:
            return stream.read_all()

    def history_batches(
        self, of: History = "attempts", **filters: Json
    ) -> Iterator[pa.RecordBatch]:
        """Yield what `history` reads batch by batch, for more than memory holds."""
        with self._arrow(of, filters) as stream:
            yield from stream

    def history_pandas(self, of: History = "attempts", **filters: Json) -> pd.DataFrame:
        """Read what `history` reads as a pandas frame; it needs pandas here."""
        return self.history(of, **filters).to_pandas()

    def history_polars(self, of: History = "attempts", **filters: Json) -> pl.DataFrame:
        """Read what `history` reads as a polars frame; it needs polars here."""
        import polars as pl

        frame = pl.from_arrow(self.history(of, **filters))
        assert isinstance(frame, pl.DataFrame)  # noqa: S101 - a table is never a series
        return frame

    def measures(self, by: str = "step", **filters: Json) -> list[dict[str, Json]]:
        """Return percentiles of queue, run and total time, cost, failures and throughput.

        ``by`` is playbook, step, hardware, configuration, arm, version or label (with
        ``label``, its name); ``playbook, step, since, until`` narrow it, ``grain`` is minute,
        hour or day, ``bucket_s`` any other length.
        """
        return self._list("/api/trends/measures", by=by, **filters)

    def changes(self, measure: str = "total_p50_s", **filters: Json) -> list[dict[str, Json]]:
        """Return where a measure went over to another level, and what came just before.

        ``by, label, playbook, step, grain, bucket_s, since, until`` narrow it; ``cause_page``
        of each leads to the version or proposal that came before.
        """
        return self._list("/api/trends/changes", measure=measure, **filters)

    # ---- money --------------------------------------------------------------------------

    def costs(
        self, month: str | None = None, playbook: str | None = None
    ) -> list[dict[str, Json]]:
        """Return what a month (``2026-11``) cost by playbook and step, and how much is known."""
        return self._list("/api/costs", **_given(month=month, playbook=playbook))

    def cost_days(
        self, month: str | None = None, playbook: str | None = None
    ) -> list[dict[str, Json]]:
        """Return what each day of a month cost, and what slots cost that stood idle."""
        return self._list("/api/costs/days", **_given(month=month, playbook=playbook))

    def run_cost(self, run: str) -> dict[str, Json]:
        """Return what a run cost, with its share of slots that stood idle on its days."""
        return self._dict("GET", f"/api/runs/{_part(run)}/cost")

    def cost_export(self, month: str | None = None, form: str = "csv") -> bytes:
        """Return the costs of a month in FOCUS columns, as ``csv`` or ``parquet``."""
        params = _given(month=month, form=form)
        return bytes(self._answer("GET", "/api/costs/export", params=params).content)

    def budgets(self) -> list[dict[str, Json]]:
        """Return every budget and what is used of it this month."""
        return self._list("/api/budgets")

    def alerts(self, limit: int = 50) -> list[dict[str, Json]]:
        """Return what was said of budgets and trends, the latest first."""
        return self._list("/api/alerts", limit=limit)

    # ---- schedules and the server -------------------------------------------------------

    def schedules(self) -> list[dict[str, Json]]:
        """List schedules with their next times."""
        return self._list("/api/schedules")

    def set_schedule(
        self, name: str, cron: str, playbook: str, *, zone: str = "UTC",
        workload: Mapping[str, Json] | None = None, enabled: bool = True,
        catch_up: str = "latest",
    ) -> dict[str, Json]:  # fmt: skip
        """Make or change a schedule."""
        body = {
            "cron": cron, "playbook": playbook, "zone": zone, "workload": dict(workload or {}),
            "enabled": enabled, "catch_up": catch_up,
        }  # fmt: skip
        return self._dict("PUT", f"/api/schedules/{_part(name)}", json=body)

    def schedule(self, name: str, verb: str) -> dict[str, Json]:
        """Do ``pause``, ``resume`` or ``fire`` with a schedule."""
        return self._dict("POST", f"/api/schedules/{_part(name)}/{verb}")

    def remove_schedule(self, name: str) -> None:
        """Remove a schedule."""
        self._ask("DELETE", f"/api/schedules/{_part(name)}")

    def next_times(self, cron: str, zone: str = "UTC", count: int = 5) -> dict[str, Json]:
        """Say when cron text would fire."""
        params = {"cron": cron, "zone": zone, "count": count}
        return self._dict("GET", "/api/schedules/next", params=params)

    def jobs(self) -> list[dict[str, Json]]:
        """List what schedules fired, each with its run."""
        return self._list("/api/jobs")

    def workers(self) -> list[dict[str, Json]]:
        """List the worker processes."""
        return self._list("/api/workers")

    def status(self) -> dict[str, Json]:
        """Return what engine and recorder say of themselves."""
        return self._dict("GET", "/api/status")

    def collect(self, *, dry_run: bool = False) -> dict[str, Json]:
        """Collect what retention no longer holds, or with ``dry_run`` say what that would be."""
        return self._dict(
            "POST", "/api/retention/collect", params={"dry_run": dry_run}, timeout=_PASS_S
        )

    def me(self) -> dict[str, Json]:
        """Return whose key this is."""
        return self._dict("GET", "/api/me")

    def sign_in_link(self) -> str:
        """Return a link that signs a browser in, once."""
        return self.url + str(self._dict("POST", "/api/sign-in")["path"])

    # ---- asking -------------------------------------------------------------------------

    def _dict(self, method: str, path: str, **more: Any) -> dict[str, Json]:
        answer: dict[str, Json] = self._ask(method, path, **more)
        return answer

    def _list(self, path: str, **params: Json) -> list[dict[str, Json]]:
        answer: list[dict[str, Json]] = self._ask("GET", path, params=_given(**params))
        return answer

    def _ask(self, method: str, path: str, **more: Any) -> Any:
        answer = self._answer(method, path, **more)
        return answer.json() if answer.content else None

    def _answer(self, method: str, path: str, **more: Any) -> httpx2.Response:
        import httpx2

        try:
            answer = self._http.request(method, path, **more)
        except httpx2.TransportError as fault:
            raise Unreachable(f"{self.url} does not answer: {fault}") from fault
        if answer.is_error:
            raise _refusal(answer)
        return answer

    @contextmanager
    def _arrow(
        self, of: History, filters: Mapping[str, Json]
    ) -> Iterator[pa.RecordBatchStreamReader]:
        """Open an answer as an Arrow stream that is read as it arrives."""
        import httpx2
        import pyarrow as pa

        path = f"/api/history/{_part(of)}"
        try:
            with self._http.stream("GET", path, params=_given(**filters)) as answer:
                if answer.is_error:
                    answer.read()
                    raise _refusal(answer)
                body = pa.PythonFile(io.BufferedReader(_Body(answer.iter_bytes())), mode="r")
                with pa.ipc.open_stream(body) as stream:
                    yield stream
        except httpx2.TransportError as fault:
            raise Unreachable(f"{self.url} broke off its answer: {fault}") from fault

    def _stream(
        self, run: str, after: int, said: Callable[[dict[str, Json]], object] | None = None
    ) -> Iterator[dict[str, Json] | None]:
        """Yield events; None at the end of the run."""
        import httpx2

        headers = {"Last-Event-ID": str(after)}
        path = f"/api/runs/{_part(run)}/stream{'' if said is None else '?progress=true'}"
        try:
            with self._http.stream("GET", path, headers=headers, timeout=60.0) as answer:
                if answer.is_error:
                    answer.read()
                    raise _refusal(answer)
                for kind, data in _messages(answer.iter_lines()):
                    if kind == "end":
                        yield None
                        return
                    if kind == "progress" and said is not None:
                        said(json.loads(data))
                    elif kind != "problem":
                        yield json.loads(data)
        except httpx2.TransportError as fault:
            raise Unreachable(f"{self.url} does not answer: {fault}") from fault


class _Body(io.RawIOBase):
    """The pieces of an answer as a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, b""

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        if not self._rest:
            self._rest = next(self._pieces, b"")
        taken = min(len(into), len(self._rest))
        into[:taken], self._rest = self._rest[:taken], self._rest[taken:]
        return taken


def _messages(lines: Iterator[str]) -> Iterator[tuple[str, str]]:
    """Yield the kind and data of each server-sent event."""
    kind, data = "", []
    for line in lines:
        if line.startswith("event: "):
            kind = line[7:]
        elif line.startswith("data: "):
            data.append(line[6:])
        elif not line and data:
            yield kind, "\n".join(data)
            kind, data = "", []


def _refusal(answer: httpx2.Response) -> ApiError:
    try:
        problem = answer.json()
    except ValueError:
        problem = {"detail": answer.text[:500]}
    return ApiError(answer.status_code, problem)


def _part(name: str, slash: str = "") -> str:
    """Return a name as part of a path."""
    if not name.strip("/. "):
        raise BadName(f"{name!r} is no id or name")
    return quote(name, safe=slash)


def _is_here(url: str) -> bool:
    """Whether a server is on this machine: no proxy stands between, and none gets the key."""
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")


def _given(**params: Json) -> dict[str, Json]:
    return {name: value for name, value in params.items() if value is not None}


def _folder(data: str | Path | None) -> Path:
    from control_plane.settings import find_folder

    return find_folder(Path(data) if data else None, os.environ, Path.cwd()).root


def _server(data: str | Path | None) -> str | None:
    from runtime.data.folder import read_json

    said = os.environ.get("TRIMTAB_URL") or (read_json(_folder(data) / "server.json") or {}).get(
        "url"
    )
    return str(said) if said else None


def _admin_key(data: str | Path | None) -> str | None:
    try:
        return (_folder(data) / "admin.key").read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None


__all__ = [
    "ApiError", "BadName", "Client", "ClientError", "TookTooLong", "Unreachable", "errors",
    "progress",
    "spend",
]  # fmt: skip
