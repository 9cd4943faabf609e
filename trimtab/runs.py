"""Runs: submit one, follow it, steer it, read what it made."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from trimtab.asking import Asking
from trimtab.faults import Json, TookTooLong, Unreachable, refusal
from trimtab.paths import part
from trimtab.streaming import messages

if TYPE_CHECKING:
    import pyarrow as pa

ENDED: Final = frozenset({"completed", "failed", "cancelled"})
_RETRY_S: Final = 0.5
_LOST_S: Final = 30.0


class Runs(Asking):
    """Runs of a server."""

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
        return self._dict("GET", f"/api/runs/{part(run)}")

    def values(self, run: str) -> dict[str, Json]:
        """Read the values of a run's steps, large ones as references."""
        return self._dict("GET", f"/api/runs/{part(run)}/values")

    def value(self, run: str, step: str) -> Json:
        """Read the value of one step, whole: rows where it is a table."""
        return self._ask("GET", f"/api/runs/{part(run)}/values/{part(step)}?form=json")

    def table(self, run: str, step: str) -> pa.Table:
        """Read the value of one step as an Arrow table; it needs pyarrow here."""
        import pyarrow as pa

        path = f"/api/runs/{part(run)}/values/{part(step)}?form=arrow"
        with pa.ipc.open_file(self._answer("GET", path).content) as file:
            return file.read_all()

    def events(self, run: str, after: int = 0) -> Iterator[dict[str, Json]]:
        """Yield the events of a run past a sequence, page by page."""
        while page := self._list(f"/api/runs/{part(run)}/events", after=after):
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
            row = self._dict("GET", f"/api/runs/{part(run)}/line")
            if row["state"] in ENDED:
                return self.run(run)
            if timeout_s is not None and time.monotonic() - began > timeout_s:
                raise TookTooLong(f"run {run} is still {row['state']} after {timeout_s:g} s")
            time.sleep(0.1)

    def cancel(self, run: str, reason: str = "", *, now: bool = False) -> dict[str, Json]:
        """Ask a run and those below it to end; ``now`` gives what runs no grace."""
        body = {"reason": reason, "now": now}
        return self._dict("POST", f"/api/runs/{part(run)}/cancel", json=body)

    def pause(self, run: str, reason: str = "") -> dict[str, Json]:
        """Let nothing new of a run fire."""
        return self._dict("POST", f"/api/runs/{part(run)}/pause", json={"reason": reason})

    def fork(
        self, run: str, at: int, workload: Mapping[str, Json] | None = None, *,
        version: str | None = None,
    ) -> dict[str, Json]:  # fmt: skip
        """Go on from event ``at`` of a run as a new one, and return its line."""
        body = {"at": at, "workload": dict(workload) if workload else None, "version": version}
        return self._dict("POST", f"/api/runs/{part(run)}/fork", json=body)

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
        return self._dict("POST", f"/api/runs/{part(run)}/retry", json=body)

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
        return self._dict("POST", f"/api/runs/{part(run)}/signal", json=body)

    def answer(self, run: str, step: str, approved: bool, note: str = "") -> dict[str, Json]:
        """Answer an ``approval`` step of a run."""
        path = f"/api/runs/{part(run)}/steps/{part(step)}/answer"
        return self._dict("POST", path, json={"approved": approved, "note": note})

    def resume(self, run: str, reason: str = "") -> dict[str, Json]:
        """Let a paused run go on."""
        return self._dict("POST", f"/api/runs/{part(run)}/resume", json={"reason": reason})

    def _stream(
        self, run: str, after: int, said: Callable[[dict[str, Json]], object] | None = None
    ) -> Iterator[dict[str, Json] | None]:
        """Yield events; None at the end of the run."""
        import httpx2

        headers = {"Last-Event-ID": str(after)}
        path = f"/api/runs/{part(run)}/stream{'' if said is None else '?progress=true'}"
        try:
            with self._http.stream("GET", path, headers=headers, timeout=60.0) as answer:
                if answer.is_error:
                    answer.read()
                    raise refusal(answer)
                for kind, data in messages(answer.iter_lines()):
                    if kind == "end":
                        yield None
                        return
                    if kind == "progress" and said is not None:
                        said(json.loads(data))
                    elif kind != "problem":
                        yield json.loads(data)
        except httpx2.TransportError as fault:
            raise Unreachable(f"{self.url} does not answer: {fault}") from fault
