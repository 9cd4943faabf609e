"""Traces: ended runs, read from the journal again and sent as spans, by a thread of its own.

Of a commit only the ids of runs that ended are kept, so many and no more; everything else
is done later and beside the loop. A small file says up to when all was sent, so that the
next server goes on from there. What it sends a second time makes the same spans, and the
receiver holds them once.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from runtime.data.folder import read_json, write_json
from runtime.ids import run_stream
from runtime.journal.sqlite import SqliteReader
from runtime.run.events import Recorded, RunCompleted
from runtime.telemetry.otlp import HEADERS, Form, body_of, need
from runtime.telemetry.outbox import Outbox
from runtime.telemetry.spans import ENDS, Scalar, spans_of

_LOG: Final = logging.getLogger("trimtab.telemetry")
BODY_SPANS: Final = 500
_LOOK_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Where:
    """Where traces go, and how many of them. ``share`` is of the runs that completed."""

    url: str
    token: str = ""
    form: Form = "json"
    share: float = 1.0
    spans: int = 5_000
    runs: int = 1_000
    bodies: int = 64


class Traces:
    """Sends the trace of every run that ends. ``take`` belongs to the loop's thread.

    Raises:
        NoOtel: the form needs a library that is not installed.
    """

    def __init__(
        self, where: Where, journal: Path, kept: Path, resource: Mapping[str, Scalar]
    ) -> None:
        need(where.form)
        self._where, self._journal, self._kept = where, journal, kept
        self._resource = resource
        self.outbox = Outbox(where.url, HEADERS[where.form], holds=where.bodies, token=where.token)
        self.dropped = 0
        self._ended: deque[str] = deque()
        self._heard_at = self._saved_at = 0.0
        self._news, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
        self._thread.start()

    def take(self, news: Sequence[Recorded]) -> None:
        """Remember the runs that ended; past the bound the oldest is given up."""
        for recorded in news:
            if type(recorded.event) in ENDS:
                run = recorded.stream.removeprefix("run/")
                self._put(run, isinstance(recorded.event, RunCompleted))
                self._heard_at = recorded.at

    def close(self, grace_s: float) -> None:
        """Send what waits within the grace; the rest is the next server's."""
        self._closing.set()
        self._news.set()
        self._thread.join(grace_s)
        before = self.outbox.counts.dropped
        self.outbox.close(grace_s)
        if not self._thread.is_alive() and self.outbox.counts.dropped == before:
            self._save()

    def _put(self, run: str, completed: bool) -> None:
        """Let a run wait for its turn: if it went wrong, or falls into the share of the rest."""
        last = run[-8:]
        if completed and _is_hex(last) and int(last, 16) >= self._where.share * 16**8:
            return
        if len(self._ended) >= self._where.runs:
            self._ended.popleft()
            self.dropped += 1
        self._ended.append(run)
        self._news.set()

    def _run(self) -> None:
        self._go_on()
        while True:
            self._news.wait(_LOOK_S if self._heard_at > self._saved_at else None)
            self._news.clear()
            while (run := self._next()) is not None:
                self._send(run)
            if self._closing.is_set():
                return
            self._save()

    def _go_on(self) -> None:
        """Let what the server before had not sent wait; at the very first start, nothing."""
        try:
            said = read_json(self._kept)
            with closing(SqliteReader.open(self._journal)) as reader:
                if said is None:
                    newest = reader.ended_since(0.0, 1)
                    write_json(self._kept, {"up_to": newest[0][2] if newest else 0.0})
                    return
                self._saved_at = float(said["up_to"])
                for run, state, _ in reader.ended_since(self._saved_at, self._where.runs):
                    self._put(run, state == "completed")
        except Exception:
            _LOG.exception("what the server before had not traced is not known: %s", self._kept)

    def _save(self) -> None:
        """Write down up to when all is sent, when it is."""
        at = self._heard_at
        if at > self._saved_at and not self._ended and not self.outbox.waiting:
            write_json(self._kept, {"up_to": at})
            self._saved_at = at

    def _next(self) -> str | None:
        try:
            return self._ended.popleft()
        except IndexError:  # also when the last one was given up just now
            return None

    def _send(self, run: str) -> None:
        try:
            with closing(SqliteReader.open(self._journal)) as reader:
                spans = spans_of(run, reader.read(run_stream(run)), self._where.spans)
        except Exception:
            _LOG.exception("run %s was not traced", run)
            self.dropped += 1
            return
        for start in range(0, len(spans), BODY_SPANS):
            part = spans[start : start + BODY_SPANS]
            while not self.outbox.room(_LOOK_S) and not self._closing.is_set():
                pass  # runs wait meanwhile, and the oldest of them are given up
            self.outbox.put(body_of(part, self._resource, self._where.form), len(part))


def _is_hex(text: str) -> bool:
    return all(c in "0123456789abcdef" for c in text)
