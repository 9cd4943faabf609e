"""The long proof, `make acceptance`: other services, kill trials, many simulated loops.

Each part writes its figures into one JSON under ``bench/results/`` and says what it
expected. Parts can be named: ``python -m bench.acceptance services kill-server``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from control_plane.demo.play import PLAYBOOK, Play
from control_plane.demo.report import cohort_runs
from control_plane.demo.screen import Screen
from control_plane.demo.stage import Stage, restart_server, set_up
from runtime.data.folder import read_json
from runtime.journal.sqlite import SqliteReader

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench" / "results" / "acceptance.json"
TRIALS = 10
Json = Any


def finding(name: str, ok: bool, **facts: Json) -> dict[str, Json]:
    """Return one line of the result, and say it."""
    print(f"  {'ok  ' if ok else 'FAIL'} {name}  {json.dumps(facts)[:300]}", flush=True)
    return {"name": name, "ok": ok, **facts}


# ---- other services ---------------------------------------------------------------------


def kept(report: Json, knob: str) -> list[Json]:
    """Return the values of a knob that were kept."""
    lines = [line for p in report["proposals"] if p["state"] == "kept" for line in p["diff"]]
    return [line["to"] for line in lines if line["knob"] == knob]


def low_limit(report: Json) -> bool:
    """With an id limit of 120 it ends at a batch between 60 and 120."""
    return (
        report["config"]["after"] is not None and 60 <= report["config"]["after"]["batch"] <= 120
    )


def dear_ids(report: Json) -> bool:
    """Where only ids cost, no batch change is kept."""
    return not kept(report, "each.batch")


def two_at_once(report: Json) -> bool:
    """Where only two are served at once, no in_flight above 2 is kept."""
    return all(value <= 2 for value in kept(report, "each.in_flight"))


SERVICES: dict[str, tuple[Callable[[Json], bool], list[str]]] = {
    "max_ids=120": (low_limit, []),
    "base=1ms per_id=6ms": (dear_ids, ["--no-harm"]),
    "concurrent=2": (two_at_once, []),
}


def services() -> Iterator[dict[str, Json]]:
    """Play the demo against other services: it must end where that service is best."""
    for params, (expected, flags) in SERVICES.items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "report.json"
            command = [sys.executable, "-m", "control_plane.demo", "--service", params,
                       "--data", folder, "--report", str(path), *flags]  # fmt: skip
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
            report = json.loads(path.read_text()) if path.exists() else None
            if report is None:
                yield finding(params, ok=False, status=done.returncode, said=done.stdout[-800:])
                continue
            yield finding(
                params, ok=done.returncode == 0 and expected(report), status=done.returncode,
                promise=expected.__doc__, config=report["config"],
                stopped_because=report["stopped_because"], seconds=report["seconds_total"],
                kept={knob: kept(report, knob) for knob in ("each.batch", "each.in_flight")},
                before=report["before"], after=report["after"], service=report["service"],
            )  # fmt: skip


# ---- kill trials ------------------------------------------------------------------------


def kill_worker(stage: Stage, rng: random.Random) -> None:
    """Kill one of the workers."""
    workers = stage.reviewer.get("/api/workers")
    busy = [w for w in workers if w.get("attempt")] or workers
    os.kill(int(rng.choice(busy)["pid"]), signal.SIGKILL)


def kill_recorder(stage: Stage, rng: random.Random) -> None:
    """Kill the recorder."""
    os.kill(int(read_json(stage.data.recorder_json)["pid"]), signal.SIGKILL)


def kill_server(stage: Stage, rng: random.Random) -> None:
    """Kill the server and start it again on the same folder."""
    os.kill(int(read_json(stage.data.server_json)["pid"]), signal.SIGKILL)
    restart_server(stage)


KILLS = {"worker": kill_worker, "recorder": kill_recorder, "server": kill_server}


def kills(what: str, rng: random.Random) -> Iterator[dict[str, Json]]:
    """Kill one kind of process at random moments of a run; nothing may be lost or doubled."""
    with tempfile.TemporaryDirectory() as folder, set_up(Path(folder), "", keep=False) as stage:
        play = Play(stage, Screen())
        play.register()
        whole_s = float(play.run("undisturbed")["wall_s"])
        for number in range(1, TRIALS + 1):
            yield _trial(play, KILLS[what], number, rng.uniform(0.02, 0.95) * whole_s, rng)
        runs = cohort_runs(SqliteReader.open(stage.data.journal), PLAYBOOK)
        hashes = {run.features_sha256 for run in runs}
        yield finding("features of all runs", ok=len(hashes) == 1, runs=len(runs))


def _trial(
    play: Play, kill: Callable[[Stage, random.Random], None], number: int, at_s: float,
    rng: random.Random,
) -> dict[str, Json]:  # fmt: skip
    run = play.submit()
    time.sleep(at_s)
    killed_at = time.monotonic()
    kill(play.stage, rng)
    back_s = _progress_after(play, run, killed_at)
    view = play.wait(run)
    verified = play.stage.verify()
    return finding(
        f"{kill.__name__} {number}", ok=view["state"] == "completed" and verified["ok"],
        at_s=round(at_s, 2), progress_again_s=back_s, state=view["state"],
        differences=verified["differences"],
    )  # fmt: skip


def _progress_after(play: Play, run: str, since: float) -> float | None:
    """Return how long it took until the run moved on; None when it had ended before."""
    before = play.stage.author.get(f"/api/runs/{run}")
    while (view := play.stage.author.get(f"/api/runs/{run}"))["ended_at"] is None:
        if view["events"] > before["events"]:
            return round(time.monotonic() - since, 3)
        time.sleep(0.02)
    return None


# ---- simulated loops --------------------------------------------------------------------


def loops() -> Iterator[dict[str, Json]]:
    """Run the figures of 200 simulated loops: coverage, false keeps, false rollbacks."""
    command = [sys.executable, "-m", "bench.loop_simulation", "--loops", "200"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    figures = json.loads(done.stdout) if done.stdout else {"said": done.stderr[-800:]}
    yield finding("200 simulated loops", ok=done.returncode == 0, figures=figures)


def main() -> int:
    """Run the parts asked for; write what was found; 0 when all of it is as promised."""
    parts: dict[str, Callable[[], Iterator[dict[str, Json]]]] = {
        "services": services, "loops": loops,
        **{f"kill-{what}": partial(kills, what, random.Random(os.urandom(8))) for what in KILLS},
    }  # fmt: skip
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "parts", nargs="*", choices=[[], *parts], help="all of them when none is named"
    )
    asked = parser.parse_args().parts or list(parts)
    told = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in asked:
        print(name, flush=True)
        began = time.monotonic()
        lines = list(parts[name]())
        told[name] = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),  # noqa: TID251
            "seconds": round(time.monotonic() - began), "cores": os.cpu_count(),
            "python": platform.python_version(), "ok": all(line["ok"] for line in lines),
            "findings": lines,
        }  # fmt: skip
        RESULTS.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return 0 if all(told[name]["ok"] for name in asked) else 1


if __name__ == "__main__":
    sys.exit(main())
