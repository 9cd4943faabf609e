"""The one who kills in the chaos run, by a plan: at random moments, and fills the disk."""

from __future__ import annotations

import math
import os
import random
import signal
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from bench.chaos_world import Disk, World, parent_of
from runtime.data.folder import read_json

LATE_S: Final = 30.0
"""How much longer than planned it may take until the disk was full."""
HASTY: Final = 0.25
"""How many of the server's ends are timed from its start; the others from when it is up."""


@dataclass(frozen=True)
class Plan:
    """How long, how many, and how often what is killed: mean seconds between two kills."""

    seconds: float = 120.0
    runs: int = 360
    burst: int = 120
    slots: int = 6
    every: dict[str, float] = field(
        default_factory=lambda: {"worker": 1.5, "template": 15.0, "recorder": 7.0, "server": 6.0}
    )
    last_server_kill: float = 0.75
    fill_at: tuple[float, ...] = (0.3, 0.85)
    fill_s: float = 8.0
    mounted: bool = True
    seed: int = 1


class Asks(Protocol):
    """Asks the server once; None when there was no answer."""

    def once(self, method: str, path: str) -> Any: ...


@dataclass
class Killer:
    """Kills at random moments, and fills the disk once."""

    plan: Plan
    world: World
    disk: Disk
    client: Asks
    rng: random.Random
    kills: Counter[str] = field(default_factory=Counter)
    stalled: set[str] = field(default_factory=set)
    hasty: bool = False
    """Whether the server's next end may come while it still starts."""

    def run(self) -> None:
        """Until the time is up and the disk was full; the server is up then, with room."""
        began = time.monotonic()
        until = began + self.plan.seconds
        due = {what: began + self._pause(what) for what in self.plan.every}
        fills = [began + self.plan.seconds * part for part in self.plan.fill_at]
        frees, last = math.inf, began
        while (now := time.monotonic()) < until or (
            (fills or frees < math.inf) and now < until + LATE_S
        ):
            if "server" in due and not (self.hasty or self.world.announced()):
                due["server"] += now - last
            last = now
            if fills and now >= fills[0] and self.world.announced():
                fills.pop(0)
                self.kills["disk filled"] += 1
                frees = time.monotonic() + self.plan.fill_s
            if now >= frees:
                self.disk.free(self.world)
                frees = math.inf
            if now > began + self.plan.seconds * self.plan.last_server_kill:
                due.pop("server", None)
            for what in [what for what, at in due.items() if now >= at]:
                if self._kill(what):  # else it is not there now, and is hit as soon as it is
                    due[what] = time.monotonic() + self._pause(what)
            if frees < math.inf:
                self.disk.fill(self.world)
                self._look()
            if self.world.process is not None and self.world.process.poll() is not None:
                self.world.failed_starts += 1
                self.world.start()
            time.sleep(0.1)
        self.disk.free(self.world)
        self.world.until_up()

    def _pause(self, what: str) -> float:
        return self.rng.uniform(0.3, 1.7) * self.plan.every[what]

    def _look(self) -> None:
        """What the server says of its journal while nothing can be written."""
        told = self.client.once("GET", "/api/status")
        if told is not None and told["engine"]["stalled"]:
            self.stalled.add(told["engine"]["stalled"])

    def _kill(self, what: str) -> bool:
        """Kill one of that kind; false when there is none."""
        if what == "server":
            self.world.kill()
            self.kills["server"] += 1
            self.world.start()
            self.hasty = self.rng.random() < HASTY
            return True
        pid = self._recorder() if what == "recorder" else self._worker(what)
        with suppress(ProcessLookupError):
            if pid:
                os.kill(pid, signal.SIGKILL)
                self.kills[what] += 1
                return True
        return False

    def _recorder(self) -> int:
        mine = self.world.processes()
        pid = int((read_json(self.world.folder.recorder_json) or {}).get("pid", 0))
        return pid if mine.get(pid) == "recorder" else 0

    def _worker(self, what: str) -> int:
        """A busy worker rather than an idle one, or the template they are forked from."""
        workers = [w for w in self.client.once("GET", "/api/workers") or () if w["pid"]]
        mine = self.world.processes()
        workers = [w for w in workers if w["pid"] in mine]
        if not workers:
            return 0
        pid = int(self.rng.choice([w for w in workers if w["attempt"]] or workers)["pid"])
        with suppress(FileNotFoundError):
            above = parent_of(pid)
            return pid if what == "worker" else above if above in mine else 0
        return 0
