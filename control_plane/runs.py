"""Runs as they are read: one line each, one run with its steps, its events.

Each view is a fold over the run's stream and needs the journal alone, so the API, the
pages and a command line without a server tell the same story. Following a live run is
reading again after each commit: a client that comes back says the last sequence it saw.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path

from control_plane import waits
from control_plane.errors import Invalid, NotFound
from control_plane.run_fold import fold
from control_plane.run_views import EventView, RunLine, RunView, line, shown
from control_plane.waits import WAITING
from runtime.journal.port import JournalReader, RunRow
from runtime.journal.sqlite import SqliteReader
from runtime.run.events import ConfigStored, Json
from runtime.run.state import ENDED

STATES = ("live", "running", WAITING, "paused", "failing", "cancelling", *sorted(ENDED))
"""What runs may be asked for by; ``live`` is every state that is not the end.

``waiting`` are those that are running and wait for hours of the day.
"""


class Runs:
    """Reads runs out of a journal. ``file`` is where it stands, when it is a file."""

    def __init__(self, journal: JournalReader, file: Path | None = None) -> None:
        self._journal, self._file = journal, file

    @contextmanager
    def apart(self) -> Iterator[Runs]:
        """Read over a connection of one's own, so that a long fold may use another thread."""
        if self._file is None:
            yield self
            return
        reader = SqliteReader.open(self._file)
        try:
            yield Runs(reader)
        finally:
            reader.close()

    def page(
        self, *, state: str | None = None, playbook: str | None = None,
        system: bool | None = False, limit: int = 100, before: str | None = None,
    ) -> list[RunLine]:  # fmt: skip
        """Return runs, the newest first. ``before`` is a run id.

        Raises:
            Invalid: a run is never in such a state.
        """
        if state is not None and state not in STATES:
            raise Invalid([f"no run is ever {state!r}: a state is {', '.join(STATES)}"])
        if state == WAITING:
            found = waits.rows(self._journal, playbook=playbook, system=system, before=before)
            return [line(row, why) for row, why in islice(found, limit)]
        rows = self._journal.runs(
            state=state, playbook=playbook, system=system, limit=limit, before=before
        )
        return [line(row, waits.of_row(self._journal, row)) for row in rows]

    def row(self, run: str) -> RunRow:
        """Return a run's line of the index.

        Raises:
            NotFound: there is no such run.
        """
        row = self._journal.run(run)
        if row is None:
            raise NotFound("run", run)
        return row

    def line(self, run: str) -> RunLine:
        """Return a run as it stands in a list.

        Raises:
            NotFound: there is no such run.
        """
        row = self.row(run)
        return line(row, waits.of_row(self._journal, row))

    def get(self, run: str) -> RunView:
        """Return a run with its steps.

        Raises:
            NotFound: there is no such run.
        """
        row = self.row(run)
        view = fold(row, self._journal.read(f"run/{run}"))
        for step in view.steps:
            step.knobs = self.knobs(step.config)
        why = waits.of_row(self._journal, row)
        return replace(view, forks=self._journal.forks(run), waits=why)

    def knobs(self, config: str) -> dict[str, Json]:
        """Return the effective values that a configuration's hash stands for."""
        stored = self._journal.event(f"config/{config}", 1) if config else None
        if stored is None or not isinstance(stored.event, ConfigStored):
            return {}
        return stored.event.effective

    def events(self, run: str, after: int = 0, limit: int | None = None) -> list[EventView]:
        """Return the events of a run past a sequence, in order.

        Raises:
            NotFound: there is no such run.
        """
        self.row(run)
        return self.stream(f"run/{run}", after, limit)

    def stream(self, stream: str, after: int = 0, limit: int | None = None) -> list[EventView]:
        """Return the events of any stream past a sequence, in order."""
        return [shown(r) for r in islice(self._journal.read(stream, after), limit)]
