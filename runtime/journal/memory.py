"""The journal in memory: a real implementation with the same promises, for tests and trials."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from runtime.journal.index import updated
from runtime.journal.port import Append, RunRow, StreamMoved
from runtime.run.events import Recorded, RunSubmitted, StepHeld


class MemoryJournal:
    """Keeps everything in lists; nothing outlives the process."""

    def __init__(self, writer: int = 1) -> None:
        self.writer = writer
        self._all: list[Recorded] = []
        self._streams: defaultdict[str, list[Recorded]] = defaultdict(list)
        self._runs: dict[str, RunRow] = {}

    def append(self, appends: Sequence[Append]) -> list[Recorded]:
        placed: list[Recorded] = []
        heads = {a.stream: self.length(a.stream) for a in appends}
        for a in appends:
            if heads[a.stream] != a.expected:
                raise StreamMoved(a.stream, a.expected, heads[a.stream])
            for event in a.events:
                heads[a.stream] += 1
                pos = len(self._all) + len(placed) + 1
                placed.append(Recorded(self.writer, pos, a.stream, heads[a.stream], a.at, event))
        for r in placed:
            self._all.append(r)
            self._streams[r.stream].append(r)
            if r.stream.startswith("run/"):
                row = updated(self._runs.get(r.stream[4:]), r)
                if row is not None:
                    self._runs[row.run] = row
        return placed

    def read(self, stream: str, after: int = 0) -> Iterator[Recorded]:
        return iter(self._streams[stream][after:] if stream in self._streams else ())

    def follow(self, cursor: dict[int, int], limit: int = 1000) -> list[Recorded]:
        start = cursor.get(self.writer, 0)
        return self._all[start : start + limit]

    def event(self, stream: str, seq: int) -> Recorded | None:
        events = self._streams.get(stream, [])
        return events[seq - 1] if 1 <= seq <= len(events) else None

    def length(self, stream: str) -> int:
        return len(self._streams[stream]) if stream in self._streams else 0

    def streams(self, prefix: str) -> list[str]:
        return sorted(s for s in self._streams if s.startswith(prefix))

    def heads(self) -> dict[int, int]:
        return {self.writer: len(self._all)} if self._all else {}

    def runs(
        self, *, state: str | None = None, playbook: str | None = None,
        system: bool | None = False, limit: int = 100, before: str | None = None,
    ) -> list[RunRow]:  # fmt: skip
        rows = [
            r
            for r in self._runs.values()
            if (state is None or (r.ended_at is None if state == "live" else r.state == state))
            and (playbook is None or r.playbook == playbook)
            and (system is None or r.system == system)
            and (before is None or r.run < before)
        ]
        return sorted(rows, key=lambda r: r.run, reverse=True)[:limit]

    def run(self, run: str) -> RunRow | None:
        return self._runs.get(run)

    def run_by_key(self, key: str) -> RunRow | None:
        return next((r for r in self._runs.values() if r.key == key), None)

    def was_held(self, run: str) -> bool:
        return any(isinstance(r.event, StepHeld) for r in self.read(f"run/{run}"))

    def forks(self, run: str) -> list[str]:
        firsts = ((r.run, self._streams[f"run/{r.run}"][0].event) for r in self._runs.values())
        return sorted(
            name for name, event in firsts
            if isinstance(event, RunSubmitted) and (event.forked or {}).get("run") == run
        )  # fmt: skip

    def close(self) -> None:
        """Nothing to close."""
