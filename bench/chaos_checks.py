"""What is promised in the chaos run: each check names what it found otherwise."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import chaos_journal
from bench.chaos_askers import Client, Seen, masked, submit
from bench.chaos_books import ENDS, RESULTS
from bench.chaos_killer import Killer, Plan
from bench.chaos_world import Disk, World, leftovers
from bench.machine import machine
from runtime.engine.local import open_local
from runtime.record.verify import verify

Json = Any


@dataclass
class Played:
    """A chaos run at the moment when all its runs have ended and the server is up."""

    plan: Plan
    world: World
    disk: Disk
    killer: Killer
    clients: list[Client]
    seen: Seen
    rows: dict[str, Json]
    file: Path
    at_start: Json
    ended_s: float


def report(played: Played) -> Json:
    """Check every promise, stop the server for the last of them, and say what was found."""
    world, seen, rows = played.world, played.seen, played.rows
    _ask_again(played)
    record = verify(world.folder, 120.0)
    lost = _lost(played.clients[0], seen)
    for client in played.clients:
        client.http.close()
    at_end, at_start = held(world), played.at_start
    aside = leftovers(world.folder)
    stopped = world.stop()
    after = _none_left(world)
    swept = _swept(world)
    in_folder, attempts = chaos_journal.read(world.folder, rows)
    checks = in_folder | {
        "every result is exact": _exact(seen, rows),
        "once is at most once": _at_most_once(rows, played.file),
        "nothing acknowledged is lost": lost,
        "journal and record are equal": record.differences(),
        "no process is left": [f"{pid}: {name}" for pid, name in after.items()],
        "no process too many": _more(at_start["processes"], at_end["processes"]),
        "no descriptor leaks": _more(at_start["descriptors"], at_end["descriptors"]),
        "no map leaks": _more({"objects": 8}, {"objects": at_end["maps"]["objects"]}),
        "no half written file is left": swept,
    }
    return {
        "ok": not any(checks.values()),
        "checks": {name: {"ok": not found, "found": found[:20]} for name, found in checks.items()},
        **_counts(played), "attempts": attempts, "stopped_with": stopped,
        "record": record.to_json()["rows"],
        "at_start": at_start, "at_end": at_end, "aside_at_end": aside, "said": _said(world),
        "plan": {**played.plan.__dict__}, "machine": machine(),
    }  # fmt: skip


def held(world: World) -> Json:
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


def _counts(played: Played) -> Json:
    rows, killer, world = played.rows, played.killer, played.world
    return {
        "runs": len(rows), "states": dict(Counter(row["state"] for row in rows.values())),
        "by_playbook": dict(Counter(row["playbook"] for row in rows.values())),
        "unsure": sum(row.get("result") == "unsure" for row in rows.values()),
        "kills": dict(killer.kills), "disk": played.disk.kind, "stalled": sorted(killer.stalled),
        "server_starts": world.starts, "failed_starts": world.failed_starts,
        "ended_s_after": played.ended_s, "events_read": len(played.seen.events),
        "troubles": dict(sum((c.troubles for c in played.clients), Counter())),
    }  # fmt: skip


# ---- the promises -----------------------------------------------------------------------


def _ask_again(played: Played) -> None:
    """Submit some once more: it raises where the key is another run now."""
    numbers = sorted(played.seen.acknowledged)
    for number in numbers[:: max(len(numbers) // 40, 1)]:
        submit(number, played.clients[0], played.seen, played.file)


def _exact(seen: Seen, rows: dict[str, Json]) -> list[str]:
    found = []
    for number, run in seen.acknowledged.items():
        row = rows[run]
        name = row["playbook"].partition("/")[2]
        allowed = [RESULTS[name](number), *(["unsure"] if name == "once" else [])]
        if row["state"] != ENDS.get(name, "completed") or row["result"] not in allowed:
            fault = (row.get("fault") or {}).get("message", "")
            told = f"{row['state']} {row['result']!r} {fault}"[:400]
            found.append(f"{name} {number} ({run}): {told}")
    return found


def _at_most_once(rows: dict[str, Json], file: Path) -> list[str]:
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
    """What the next owner of the folder does not clear away: the engine alone, which is quick."""

    async def open_and_close() -> None:
        async with open_local(world.folder, slots=1):
            pass

    asyncio.run(open_and_close())
    found = leftovers(world.folder)
    return [f"{name}: {left}" for name, left in found.items() if left]


# ---- beside them ------------------------------------------------------------------------


def _said(world: World) -> dict[str, Json]:
    """Errors in the logs of server and recorder, each with how often."""
    said = {}
    for path in (world.logs / "server.log", world.folder.logs / "recorder.log"):
        text = path.read_text("utf-8", "replace") if path.exists() else ""
        lines = re.findall(r"^(?:\w+\.)*\w*(?:Error|Exception|Exit)\b.*$", text, re.MULTILINE)
        said[path.stem] = dict(Counter(map(masked, lines)).most_common(12))
    return said
