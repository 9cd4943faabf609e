"""The chaos run: mixed playbooks while everything that runs them is killed.

Runs are submitted over HTTP with idempotency keys while workers, their template, the
recorder and the server are killed with -9 at random moments, and the disk fills: once while
all that goes on, and once while no server that starts anew mends what that broke. The
server is started again by this harness, all else by itself. Then it is asked: did every
run end, is every result exact, did an effect that may happen once happen twice, is
anything gone that was acknowledged or read, is the record what the journal says, and is
anything left over? Prints one JSON object; ends with 1 when something is not as promised::

    python -m bench.chaos --save bench/results/chaos-1.json
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import random
import re
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx2

from bench.chaos_books import CODE, RESULTS, SIGNAL, STEPS, source
from bench.chaos_world import Disk, World, disk, leftovers, parent_of
from control_plane.auth import read_key
from runtime.data.folder import DataFolder, read_json
from runtime.journal.sqlite import SqliteReader
from runtime.record.verify import verify

Json = Any
LATE_S: Final = 30.0
"""How much longer than planned it may take until the disk was full."""
END_S: Final = 180.0
"""How long all runs may take to end once nothing is killed any more."""


@dataclass(frozen=True)
class Plan:
    """How long, how many, and how often what is killed: mean seconds between two kills."""

    seconds: float = 120.0
    runs: int = 360
    burst: int = 150
    slots: int = 4
    every: dict[str, float] = field(
        default_factory=lambda: {"worker": 1.5, "template": 15.0, "recorder": 7.0, "server": 6.0}
    )
    last_server_kill: float = 0.75
    fill_at: tuple[float, ...] = (0.3, 0.85)
    fill_s: float = 8.0
    mounted: bool = True
    seed: int = 1


# ---- those who ask ----------------------------------------------------------------------


class Gone(Exception):
    """Nobody answered in time."""


@dataclass
class Client:
    """Asks the server until it answers, and counts what went wrong on the way."""

    url: str
    key: str
    stop_at: float
    troubles: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        headers = {"Authorization": f"Bearer {self.key}"}
        self.http = httpx2.Client(base_url=self.url, headers=headers, timeout=20.0)

    def ask(self, method: str, path: str, body: Json = None, **more: Json) -> Json:
        """Ask again and again; a refusal (4xx) is an error of this harness."""
        while time.monotonic() < self.stop_at:
            found = self.once(method, path, body, **more)
            if found is not None:
                return found
            time.sleep(0.2)
        raise Gone(f"{method} {path}")

    def once(
        self, method: str, path: str, body: Json = None, again: int = 0, **more: Json
    ) -> Json:  # fmt: skip
        """Ask once; None when there was no answer. ``again`` says that it was done before."""
        try:
            answer = self.http.request(method, path, json=body, **more)
        except httpx2.TransportError as error:
            self.troubles[type(error).__name__] += 1
            return None
        if answer.status_code >= 500:
            self.troubles[f"{answer.status_code}: {_masked(answer.text)}"] += 1
            return None
        if not answer.is_success and answer.status_code != again:
            raise ValueError(f"{method} {path}: {answer.status_code} {answer.text[:500]}")
        return answer.json()


def _masked(text: str) -> str:
    return re.sub(r"[0-9a-f]{8,}|\d+", "#", text)[:300]


@dataclass
class Seen:
    """What the server has told somebody: it may never be otherwise."""

    acknowledged: dict[int, str] = field(default_factory=dict)
    signalled: set[str] = field(default_factory=set)
    events: dict[tuple[str, int], Json] = field(default_factory=dict)


def asked_for(number: int, file: Path) -> Json:
    """The body of submission ``number``."""
    name = list(STEPS)[number % len(STEPS)]
    return {"playbook": f"chaos/{name}", "workload": {"n": number, "file": str(file)}}


def submit_all(plan: Plan, client: Client, seen: Seen, file: Path) -> None:
    """A burst at once, the rest spread over the time; each until it is acknowledged."""
    began = time.monotonic()
    later = max(plan.runs - plan.burst, 1)
    for number in range(plan.runs):
        due = began + max(number - plan.burst, 0) / later * plan.seconds * 0.95
        time.sleep(max(due - time.monotonic(), 0.0))
        submit(number, client, seen, file)


def submit(number: int, client: Client, seen: Seen, file: Path) -> None:
    """Submit one run, and send the signal it will wait for; acknowledged is acknowledged."""
    body = asked_for(number, file)
    headers = {"Idempotency-Key": f"chaos-{number}"}
    run = client.ask("POST", "/api/runs", body, headers=headers)["run"]
    if seen.acknowledged.setdefault(number, run) != run:
        raise ValueError(f"key chaos-{number} is run {run} and {seen.acknowledged[number]}")
    if body["playbook"].endswith("/waits") and run not in seen.signalled:
        go = {"name": "go", "value": SIGNAL}
        client.ask("POST", f"/api/runs/{run}/signal", go, again=409)
        seen.signalled.add(run)


def read_on(client: Client, seen: Seen, rng: random.Random, stop: threading.Event) -> None:
    """Read the events of runs, the newer ones mostly, and keep what was read."""
    while not stop.wait(0.05):
        runs = list(seen.acknowledged.values())
        if not runs:
            continue
        run = rng.choice(runs[-30:])
        for event in client.once("GET", f"/api/runs/{run}/events") or ():
            seen.events[run, event["seq"]] = event


# ---- those who kill ---------------------------------------------------------------------


@dataclass
class Killer:
    """Kills at random moments, and fills the disk once."""

    plan: Plan
    world: World
    disk: Disk
    client: Client
    rng: random.Random
    kills: Counter[str] = field(default_factory=Counter)
    stalled: set[str] = field(default_factory=set)
    reached: Callable[[], object] = lambda: None

    def run(self) -> None:
        """Until the time is up and the disk was full; the server is up then, with room."""
        began = time.monotonic()
        until = began + self.plan.seconds
        due = {what: began + self._pause(what) for what in self.plan.every}
        fills = [began + self.plan.seconds * part for part in self.plan.fill_at]
        frees = math.inf
        while (now := time.monotonic()) < until or (
            (fills or frees < math.inf) and now < until + LATE_S
        ):
            if fills and now >= fills[0] and self.world.announced():
                fills.pop(0)
                self.kills["disk filled"] += 1
                frees = time.monotonic() + self.plan.fill_s
            if now >= frees:
                self.disk.free()
                frees = math.inf
            if now > began + self.plan.seconds * self.plan.last_server_kill:
                due.pop("server", None)
            for what in [what for what, at in due.items() if now >= at]:
                self._kill(what)
                due[what] = time.monotonic() + self._pause(what)
            if frees < math.inf:
                self.disk.fill(self.world.pid)
                self._look()
            if self.world.process is not None and self.world.process.poll() is not None:
                self.world.failed_starts += 1
                self.world.start()
            time.sleep(0.1)
        self.disk.free()
        self.world.until_up()

    def _pause(self, what: str) -> float:
        return self.rng.uniform(0.3, 1.7) * self.plan.every[what]

    def _look(self) -> None:
        """What the server says of its journal while nothing can be written."""
        told = self.client.once("GET", "/api/status")
        if told is not None and told["engine"]["stalled"]:
            self.stalled.add(told["engine"]["stalled"])

    def _kill(self, what: str) -> None:
        if what == "server":
            self.world.kill()
            self.kills["server"] += 1
            self.world.start()
            return
        pid = self._recorder() if what == "recorder" else self._worker(what)
        if pid:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                self.kills[what] += 1

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


# ---- the run ----------------------------------------------------------------------------


def play(plan: Plan, at: Path, say: Callable[[str], None] = lambda _: None) -> Json:
    """Play the plan in a folder, and return what was found; ``at`` is the caller's to remove."""
    with disk(at, mounted=plan.mounted) as place:
        world = World(DataFolder(place.root / "data"), at / "logs", plan.slots)
        try:
            return _story(plan, world, place, at / "once.txt", say)
        finally:
            place.free()
            world.kill()


def _story(plan: Plan, world: World, place: Disk, file: Path, say: Callable[[str], None]) -> Json:
    world.until_up()
    stop_at = time.monotonic() + plan.seconds + END_S
    key = str(read_key(world.folder.admin_key))
    clients = [Client(world.url, key, stop_at) for _ in range(4)]
    for name in STEPS:
        body = {"source": source(name), "files": {"work.py": CODE}}
        clients[0].ask("POST", "/api/playbooks", body)
    seen, stop, rng = Seen(), threading.Event(), random.Random(plan.seed)
    _warm(plan, clients[0], seen, file)
    at_start = _held(world)
    say(f"up, with {at_start}")
    killer = Killer(plan, world, place, clients[1], rng)
    failures: list[BaseException] = []
    threads = [
        _thread(failures, submit_all, plan, clients[2], seen, file),
        _thread(failures, read_on, clients[3], seen, random.Random(plan.seed), stop),
    ]
    killer.run()
    say(f"killed {dict(killer.kills)}, {world.starts} starts")
    threads[0].join(END_S)
    rows, ended_s = _ended(clients[0], seen)
    say(f"all ended {ended_s} s later: {Counter(r['state'] for r in rows.values())}")
    stop.set()
    threads[1].join(30)
    if failures:
        raise failures[0]
    return _report(plan, world, place, killer, clients, seen, rows, file, at_start, ended_s)


def _warm(plan: Plan, client: Client, seen: Seen, file: Path) -> None:
    """One run of each playbook, so that what is held is what work takes."""
    for number in range(plan.runs, plan.runs + len(STEPS)):
        submit(number, client, seen, file)
    _ended(client, seen)


def _thread(
    failures: list[BaseException], work: Callable[..., object], *args: Json
) -> threading.Thread:
    def do() -> None:
        try:
            work(*args)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=do, daemon=True)
    thread.start()
    return thread


def _ended(client: Client, seen: Seen) -> tuple[dict[str, Json], float]:
    """Wait until no run is live; every run's line by its id."""
    began = time.monotonic()
    while time.monotonic() < client.stop_at:
        if not client.ask("GET", "/api/runs", params={"state": "live", "limit": 1}):
            break
        time.sleep(0.2)
    rows = {run: client.ask("GET", f"/api/runs/{run}") for run in list(seen.acknowledged.values())}
    return rows, round(time.monotonic() - began, 1)


def _held(world: World) -> Json:
    """What the tree holds when nothing runs and nobody asks."""
    _quiet(world)
    return {
        "processes": world.counted(), "descriptors": world.descriptors(), "maps": world.maps(),
    }  # fmt: skip


def _quiet(world: World) -> None:
    """Wait until every worker is there again, and the recorder."""
    wanted = {"recorder": 1, "server": 1, "template or worker": world.slots + 1}
    deadline = time.monotonic() + 30
    while world.counted() != wanted and time.monotonic() < deadline:
        time.sleep(0.1)


# ---- what is promised -------------------------------------------------------------------


def _report(
    plan: Plan, world: World, place: Disk, killer: Killer, clients: list[Client], seen: Seen,
    rows: dict[str, Json], file: Path, at_start: Json, ended_s: float,
) -> Json:  # fmt: skip
    for number in sorted(seen.acknowledged)[:: max(len(rows) // 40, 1)]:
        submit(number, clients[0], seen, file)  # raises where the key is another run now
    record = verify(world.folder, 120.0)
    lost = _lost(clients[0], seen)
    for client in clients:
        client.http.close()
    at_end = _held(world)
    aside = leftovers(world.folder)
    stopped = world.stop()
    after = _none_left(world)
    checks = {
        "every run ended": _every_run_ended(plan, world, rows),
        "every result is exact": _exact(seen, rows),
        "once is at most once": _at_most_once(seen, rows, file),
        "nothing acknowledged is lost": lost,
        "journal and record are equal": record.differences(),
        "no process is left": [f"{pid}: {name}" for pid, name in after.items()],
        "no process too many": _more(at_start["processes"], at_end["processes"]),
        "no descriptor leaks": _more(at_start["descriptors"], at_end["descriptors"]),
        "no map leaks": _more({"objects": 8}, {"objects": at_end["maps"]["objects"]}),
        "no half written file is left": _swept(world),
    }
    states = Counter(row["state"] for row in rows.values())
    return {
        "ok": not any(checks.values()),
        "checks": {name: {"ok": not found, "found": found[:20]} for name, found in checks.items()},
        "runs": len(rows), "states": dict(states),
        "by_playbook": dict(Counter(row["playbook"] for row in rows.values())),
        "unsure": sum(row.get("result") == "unsure" for row in rows.values()),
        "kills": dict(killer.kills), "disk": place.kind, "stalled": sorted(killer.stalled),
        "server_starts": world.starts, "failed_starts": world.failed_starts,
        "stopped_with": stopped, "ended_s_after": ended_s,
        "attempts": _attempts(world), "events_read": len(seen.events),
        "record": record.to_json()["rows"],
        "at_start": at_start, "at_end": at_end, "aside_at_end": aside,
        "troubles": dict(sum((c.troubles for c in clients), Counter())),
        "said": _said(world),
        "plan": {**plan.__dict__}, "machine": _machine(),
    }  # fmt: skip


def _every_run_ended(plan: Plan, world: World, rows: dict[str, Json]) -> list[str]:
    found = [f"{run} is {r['state']}" for run, r in rows.items() if r["ended_at"] is None]
    reader = SqliteReader.open(world.folder.journal)
    kept = [r for r in reader.runs(limit=1_000_000) if r.key is not None]
    found += [f"{r.run} is {r.state}" for r in reader.runs(state="live", system=None)]
    reader.close()
    if len(kept) != len(rows) or len(rows) != plan.runs + len(STEPS):
        found.append(f"{plan.runs} were submitted, {len(rows)} acknowledged, {len(kept)} kept")
    return found


def _exact(seen: Seen, rows: dict[str, Json]) -> list[str]:
    found = []
    for number, run in seen.acknowledged.items():
        row = rows[run]
        name = row["playbook"].partition("/")[2]
        allowed = [RESULTS[name](number), *(["unsure"] if name == "once" else [])]
        if row["state"] != "completed" or row["result"] not in allowed:
            fault = (row.get("fault") or {}).get("message", "")
            told = f"{row['state']} {row['result']!r} {fault}"[:400]
            found.append(f"{name} {number} ({run}): {told}")
    return found


def _at_most_once(seen: Seen, rows: dict[str, Json], file: Path) -> list[str]:
    lines = Counter(file.read_text().split())
    found = [f"{run}: {times} times" for run, times in lines.items() if times > 1]
    for run, row in rows.items():
        if row["playbook"] == "chaos/once" and row["result"] == "sure" and lines[run] != 1:
            found.append(f"{run} says it did, and did not")
    return found


def _lost(client: Client, seen: Seen) -> list[str]:
    """Every event that was read must be there still, as it was."""
    found = []
    for run in sorted({run for run, _ in seen.events}):
        now = {e["seq"]: e for e in client.ask("GET", f"/api/runs/{run}/events")}
        read = {seq: event for (of, seq), event in seen.events.items() if of == run}
        found += [f"{run} {seq}" for seq, event in read.items() if now.get(seq) != event]
    return found


def _more(before: dict[str, int], after: dict[str, int]) -> list[str]:
    return [
        f"{name}: {before.get(name, 0)} at the start, {n} at the end"
        for name, n in after.items() if n > before.get(name, 0)
    ]  # fmt: skip


def _none_left(world: World) -> dict[int, str]:
    deadline = time.monotonic() + 15
    while (left := world.processes()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def _swept(world: World) -> list[str]:
    """What the next start does not clear away."""
    world.until_up()
    found = leftovers(world.folder)
    world.kill()
    return [f"{name}: {left}" for name, left in found.items() if left]


def _attempts(world: World) -> dict[str, int]:
    reader = SqliteReader.open(world.folder.journal)
    outcomes = Counter(r.event.outcome for r in reader.of_type("attempt.finished"))  # type: ignore[union-attr]
    reader.close()
    return dict(outcomes)


def _said(world: World) -> dict[str, Json]:
    """Errors in the logs of server and recorder, each with how often."""
    said = {}
    for path in (world.logs / "server.log", world.folder.logs / "recorder.log"):
        text = path.read_text("utf-8", "replace") if path.exists() else ""
        lines = re.findall(r"^(?:\w+\.)*\w*(?:Error|Exception|Exit)\b.*$", text, re.MULTILINE)
        said[path.stem] = dict(Counter(map(_masked, lines)).most_common(12))
    return said


def _machine() -> Json:
    return {
        "cores": os.cpu_count(), "kernel": platform.release(),
        "python": platform.python_version(), "load": [round(n, 2) for n in os.getloadavg()],
        "at": datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds"),
    }  # fmt: skip


def main() -> int:
    """Play, print, and say by the exit code whether all was as promised."""
    asked = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    asked.add_argument("--seconds", type=float, default=Plan.seconds)
    asked.add_argument("--runs", type=int, default=Plan.runs)
    asked.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3)))
    asked.add_argument("--no-mount", action="store_true", help="fill by RLIMIT_FSIZE")
    asked.add_argument("--save", type=Path, help="write the result there too")
    asked.add_argument("--keep", type=Path, help="a folder for logs and data, to look at")
    args = asked.parse_args()
    plan = Plan(args.seconds, args.runs, seed=args.seed, mounted=not args.no_mount)
    with tempfile.TemporaryDirectory(prefix="chaos-") as made:
        at = args.keep or Path(made)
        at.mkdir(parents=True, exist_ok=True)
        found = play(plan, at, lambda text: print(text, file=sys.stderr, flush=True))
    text = json.dumps(found, indent=1)
    print(text)
    if args.save:
        args.save.write_text(text + "\n", encoding="utf-8")
    return 0 if found["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
