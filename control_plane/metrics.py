"""Metrics and traces: the engine's news counted, the process looked at, both told or sent.

Counting happens on the loop in short turns (`Hearing`); what costs more, writing it out
and sending it, happens in threads over a copy. Nothing here is waited for by a run.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import socket
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from control_plane.clock import Clock
from control_plane.settings import Settings
from runtime.data.folder import DataFolder
from runtime.engine.engine import Engine
from runtime.record.access import RecordError
from runtime.record.supervise import RecorderProcess
from runtime.telemetry.families import Sample, families, found_in, text_of
from runtime.telemetry.hearing import Hearing
from runtime.telemetry.outbox import Outbox
from runtime.telemetry.process import looked_at
from runtime.telemetry.remote_write import HEADERS, body_of
from runtime.telemetry.tally import Tally
from runtime.telemetry.traces import Traces, Where

LOG: Final = logging.getLogger("trimtab.metrics")
RECORDER_S: Final = 1.0
"""How long a scrape waits for the recorder's word."""
CLOSE_S: Final = 2.0
"""How long what waits may still be sent when the server ends."""

Samples = dict[str, list[Sample]]


class Metrics:
    """Counts, tells and sends. Use it on the engine's loop.

    Raises:
        NoOtel: traces are wanted in a form that needs a library which is not installed.
    """

    def __init__(
        self, engine: Engine, recorder: RecorderProcess | None, settings: Settings, clock: Clock
    ) -> None:
        self._engine, self._recorder, self._clock = engine, recorder, clock
        self._settings = settings.metrics
        self._tally = Tally(self._playbook, settings.metrics.series)
        self._traces = _open_traces(engine.folder, settings)
        self._outbox = _open_outbox(settings)
        takes = [self._tally.take] if self._traces is None else [
            self._tally.take, self._traces.take
        ]  # fmt: skip
        self._hearing = Hearing(*takes)
        self._labels = {
            "job": "trimtab", "instance": settings.metrics.instance or socket.gethostname(),
        }  # fmt: skip
        self._asking: asyncio.Task[dict[str, Any]] | None = None
        self._pushing: asyncio.Task[None] | None = None
        self._stop = engine.subscribe(self._hearing.heard)
        self._catch_up(int(engine.status["writer"]))

    def _catch_up(self, writer: int) -> None:
        """Hear what runs that went on have done while the rest of the server was loaded."""
        heads = self._engine.journal.heads()
        missed = self._engine.journal.follow(heads | {writer: 0}, heads.get(writer, 0))
        if missed:
            self._hearing.heard(missed)

    def start(self) -> None:
        """Send from now on, where the settings say so."""
        if self._outbox is not None:
            self._pushing = asyncio.create_task(self._push_on(self._outbox), name="metrics")

    async def close(self) -> None:
        """Count no more, and send what there is once more."""
        self._stop()
        self._hearing.close()
        tasks, self._pushing, self._asking = (self._pushing, self._asking), None, None
        for task in tasks:
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError, RecordError):
                    await task
        if self._outbox is not None:
            await self._push(self._outbox)
        await asyncio.gather(*(
            asyncio.to_thread(sender.close, CLOSE_S)
            for sender in (self._outbox, self._traces) if sender is not None
        ))  # fmt: skip

    async def text(self, accept: str) -> tuple[bytes, str]:
        """Return the exposition in a form that is accepted, and its content type."""
        tally, known = await self._seen()
        return await asyncio.to_thread(
            lambda: text_of(families(found_in(tally) | self._looked(known)), accept)
        )

    async def _push_on(self, outbox: Outbox) -> None:
        while True:
            await asyncio.sleep(self._settings.push_s)
            try:
                await self._push(outbox)
            except Exception:
                LOG.exception("metrics were not sent; the next time is in %g s",
                              self._settings.push_s)  # fmt: skip

    async def _push(self, outbox: Outbox) -> None:
        at = self._clock()
        tally, known = await self._seen()

        def put() -> None:
            told = families(found_in(tally) | self._looked(known))
            outbox.put(*body_of(told, at, self._labels))

        await asyncio.to_thread(put)

    async def _seen(self) -> tuple[Tally, Samples]:
        """What the loop's thread alone may look at."""
        record = await self._record()
        self._hearing.flush()
        return self._tally.copy(), _of_engine(self._engine) | record | self._of_senders()

    def _looked(self, known: Samples) -> Samples:
        """What any thread may look at, beside what is known already."""
        recorder = self._recorder.pid if self._recorder is not None else None
        return known | _of_disk(self._engine.folder) | looked_at(recorder)

    def _playbook(self, run: str) -> str | None:
        row = self._engine.journal.run(run)
        return row.playbook if row is not None else None

    async def _record(self) -> Samples:
        """What the recorder says of its sinks; a short time is enough for it."""
        if self._recorder is None:
            return {}
        asking = self._asking
        if asking is None or asking.done():  # a scrape and a sending may share one
            asking = self._asking = asyncio.create_task(self._recorder.status())
        done, _ = await asyncio.wait([asking], timeout=RECORDER_S)
        said: Mapping[str, Any] = {}
        if done:
            with suppress(RecordError, OSError):
                said = asking.result()
        return _of_record(said, int(self._engine.status["writer"]), self._recorder.restarts)

    def _of_senders(self) -> Samples:
        found: Samples = {"trimtab_traces_dropped_total": [
            ((), self._traces.dropped if self._traces is not None else 0)
        ]}  # fmt: skip
        traces = self._traces.outbox if self._traces is not None else None
        for signal, outbox in (("metrics", self._outbox), ("traces", traces)):
            if outbox is not None:
                counts = outbox.counts
                for name, value in (
                    ("trimtab_sent_total", counts.sent),
                    ("trimtab_send_dropped_total", counts.dropped),
                    ("trimtab_send_failures_total", counts.failures),
                    ("trimtab_send_waiting", outbox.waiting),
                ):
                    found.setdefault(name, []).append(((signal,), value))
        return found


def _of_engine(engine: Engine) -> Samples:
    """What the engine says of itself."""
    status = engine.status
    workers = Counter(str(line["state"]) for line in status["workers"])
    return _alone({
        "trimtab_runs_live": status["runs"], "trimtab_steps_held": status["held"],
        "trimtab_attempts_ready": status["ready"],
        "trimtab_attempts_in_flight": status["in_flight"],
        "trimtab_experiments_live": len(engine.layers.experiments),
        "trimtab_poison_steps": len(status["poison"]),
        "trimtab_draining": bool(status["draining"]),
        "trimtab_worker_restarts_total": sum(line["restarts"] for line in status["workers"]),
        "trimtab_pool_paused": status["pool"]["state"] == "paused",
        "trimtab_journal_commits_total": status["commits"],
        "trimtab_journal_stalled": bool(status["stalled"]),
    }) | {
        "trimtab_workers": [((state,), count) for state, count in workers.items()],
        "trimtab_info": [((_version(),), 1)],
    }  # fmt: skip


def _of_record(said: Mapping[str, Any], writer: int, restarts: int) -> Samples:
    sinks = said.get("sinks", {})
    found: Samples = _alone(
        {"trimtab_record_up": bool(sinks), "trimtab_record_restarts_total": restarts}
    )
    for name, sink in sinks.items():
        for metric, value in (
            ("trimtab_record_lag_events", sink["behind_events"]),
            ("trimtab_record_lag_seconds", sink["behind_s"]),
            ("trimtab_record_position", sink["cursor"].get(str(writer), 0)),
            ("trimtab_record_events_total", sink["events"]),
            ("trimtab_record_failing", sink["error"] is not None),
        ):
            found.setdefault(metric, []).append(((name,), value))
    return found


def _of_disk(folder: DataFolder) -> Samples:
    journal = folder.journal
    files = (journal, journal.with_name(journal.name + "-wal"))
    size = sum(file.stat().st_size for file in files if file.exists())
    free = shutil.disk_usage(folder.root).free
    return _alone({"trimtab_journal_bytes": size, "trimtab_disk_free_bytes": free})


def _alone(values: Mapping[str, float]) -> Samples:
    """Samples of metrics without a label."""
    return {name: [((), value)] for name, value in values.items()}


def _open_outbox(settings: Settings) -> Outbox | None:
    wanted = settings.metrics
    if not wanted.push_url:
        return None
    return Outbox(wanted.push_url, HEADERS, holds=wanted.push_holds, token=wanted.push_token)


def _open_traces(folder: DataFolder, settings: Settings) -> Traces | None:
    wanted = settings.traces
    if not wanted.url:
        return None
    where = Where(
        wanted.url, wanted.token, "protobuf" if wanted.form == "protobuf" else "json",
        wanted.share, wanted.spans, wanted.holds,
    )  # fmt: skip
    instance = settings.metrics.instance or socket.gethostname()
    resource = {"service.name": "trimtab", "service.version": _version(),
                "service.instance.id": instance}  # fmt: skip
    return Traces(where, folder.journal, folder.root / "traces.json", resource)


def _version() -> str:
    from importlib.metadata import version

    return version("trimtab")
