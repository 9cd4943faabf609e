"""A play: a server of its own, an author who runs playbooks, a reviewer who approves.

What the parts of `bench.planted` share: runs and cycles over HTTP, as users make them.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from bench.planted_books import HARDWARE, WORK, Book
from bench.planted_service import served
from control_plane.demo.stage import Stage, set_up
from control_plane.review.lifecycle import SETTLED

Json: TypeAlias = Any

POLL_S: Final = 0.1
DRAFTED_S: Final = 30.0
ENDED: Final = frozenset(state.value for state in SETTLED)


def say(text: str) -> None:
    """Tell how far it is."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


@dataclass(slots=True)
class Play:
    """The stage, the service that the books ask, and when the time is up.

    ``versions`` says of each run whether it was of the book's earlier form.
    """

    stage: Stage
    service: str
    until: float
    cycles: int = 0
    runs: int = 0
    versions: dict[str, bool] = field(default_factory=dict)

    @property
    def late(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() > self.until

    # ---- runs -------------------------------------------------------------------------

    def register(self, book: Book, *, earlier: bool = False) -> None:
        """Enter a playbook, as it is or as it was."""
        files = {"planted_work.py": WORK}
        body = {"source": book.source(earlier), "files": files}
        self.stage.author.post("/api/playbooks", body)

    def submit(self, book: Book, *, earlier: bool = False, **more: Json) -> str:
        """Start a run."""
        workload = {**book.workload, **(book.earlier if earlier else {}), **more}
        if book.path:
            workload["url"] = self.service + book.path
        body = {"playbook": f"planted/{book.name}", "workload": workload}
        run = str(self.stage.author.post("/api/runs", body)["run"])
        self.runs += 1
        self.versions[run] = earlier
        return run

    def wait(self, run: str) -> Json:
        """Wait until a run has completed.

        Raises:
            RuntimeError: it failed.
        """
        while (view := self.stage.author.get(f"/api/runs/{run}"))["ended_at"] is None:
            time.sleep(POLL_S)
        if view["state"] != "completed":
            raise RuntimeError(f"run {run} is {view['state']}: {view.get('fault')}")
        return view

    def once(self, books: Sequence[Book], *, earlier: bool = False) -> None:
        """Run each once: side by side where it does not matter, else one after the other."""
        beside = [self.submit(book, earlier=earlier) for book in books if not book.alone]
        for run in beside:
            self.wait(run)
        for book in books:
            if book.alone:
                self.wait(self.submit(book, earlier=earlier))

    # ---- the loop ---------------------------------------------------------------------

    def proposed(self) -> tuple[Json, list[Json]]:
        """Run the optimizer; return the cycle's run, and those of its proposals to decide."""
        self.cycles += 1
        view = self.wait(self.stage.reviewer.post("/api/optimize")["run"])
        expected, until = len(view["result"]["candidates"]), time.monotonic() + DRAFTED_S
        while True:
            mine = [p for p in self.proposals() if p.get("cycle") == view["run"]]
            ready = [p for p in mine if p["state"] not in ("draft", "gated")]
            if len(ready) >= expected or time.monotonic() > until:
                return view, [p for p in ready if p["state"] == "proposed"]
            time.sleep(POLL_S)

    def proposals(self) -> list[Json]:
        """Return all proposals as they are now."""
        found: list[Json] = self.stage.reviewer.get("/api/proposals")
        return found

    def approve(self, proposal: str) -> None:
        """Approve a proposal as it was read."""
        full = self.stage.reviewer.get(f"/api/proposals/{proposal}")
        body = {"bound_hash": full["bound_hash"]}
        self.stage.reviewer.post(f"/api/proposals/{proposal}/approve", body)


@contextmanager
def play(minutes: float) -> Iterator[Play]:
    """Start a server and the books' service in a folder that goes with them."""
    root = Path(tempfile.mkdtemp(prefix="planted-"))
    (root / "hardware.yaml").write_text(HARDWARE, encoding="utf-8")
    try:
        with served() as url, set_up(root, "", keep=False) as stage:
            yield Play(stage, url, time.monotonic() + 60.0 * minutes)
    finally:
        shutil.rmtree(root, ignore_errors=True)
