"""The chaos run: mixed playbooks while everything that runs them is killed.

Runs are submitted over HTTP with idempotency keys, signalled, paused and cancelled, while
workers, their template, the recorder and the server are killed with -9 at random moments,
and the disk fills: once while all that goes on, and once while no server that starts anew
mends what that broke. The server is started again by this harness, all else by itself. Then
`chaos_checks` asks whether all is as promised. Prints one JSON object; ends with 1 when
something is not::

    python -m bench.chaos --save bench/results/chaos-2.json
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from bench.chaos_askers import Client, Seen, read_on, submit, submit_all
from bench.chaos_books import CODE, HELPERS, STEPS, source
from bench.chaos_checks import Played, held, report
from bench.chaos_killer import Killer, Plan
from bench.chaos_world import Disk, World, disk
from control_plane.auth import read_key
from runtime.data.folder import DataFolder

Json = Any
Say = Callable[[str], None]
END_S: Final = 180.0
"""How long all runs may take to end once nothing is killed any more."""


def play(plan: Plan, at: Path, say: Say = lambda _: None) -> Json:
    """Play the plan in a folder, and return what was found; ``at`` is the caller's to remove."""
    with disk(at, mounted=plan.mounted) as place:
        world = World(DataFolder(place.root / "data"), at / "logs", plan.slots)
        try:
            return report(_story(plan, world, place, at / "once.txt", say))
        finally:
            place.free()
            world.kill()


def _story(plan: Plan, world: World, place: Disk, file: Path, say: Say) -> Played:
    world.until_up()
    stop_at = time.monotonic() + plan.seconds + END_S
    key = str(read_key(world.folder.admin_key))
    clients = [Client(world.url, key, stop_at) for _ in range(4)]
    _register(clients[0])
    seen, stop, rng = Seen(), threading.Event(), random.Random(plan.seed)
    _warm(plan, clients[0], seen, file)
    at_start = held(world)
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
    return Played(
        plan, world, place, killer, clients, seen, rows, file, at_start, ended_s
    )  # fmt: skip


def _register(client: Client) -> None:
    """Register every playbook, those that others begin first."""
    for name in [*HELPERS, *reversed(STEPS)]:
        body = {"source": source(name), "files": {"work.py": CODE}}
        client.ask("POST", "/api/playbooks", body)


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
