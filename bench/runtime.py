"""`make bench-runtime`: the runtime's numbers, each beside the raw limits of its minute.

Prints one JSON object with every row of DESIGN §16 that concerns the runtime; what was
not measured is null. Rows can be named, and each then runs in seconds::

    python -m bench.runtime fanout chain
    python -m bench.runtime --save bench/results/runtime-x.json

With ``PEERS=1`` in the environment fan-out and chain also run beside other engines, in
turn: see bench/peers/README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from bench.machine import machine
from bench.runtime_limits import limits

PEERS: Final = "peers"
LONG: Final = ("million",)
"""Rows that take minutes: only when named, or with --all."""
SHORT: Final = (
    "fanout", "concurrent", "thousand", "chain", "recorded", "syncs", "rss", "cold", "replay",
    "recovery",
)  # fmt: skip
EMPTY: Final[dict[str, Any]] = {
    "fanout_steps_per_s": None, "fanout_over_bound": None, "fanout_over_restate": None,
    "concurrent_steps_per_s": None, "concurrent_1000x5_steps_per_s": None,
    "chain_p50_ms": None, "fdatasync_p50_ms": None,
    "cpu_ms_per_step": {"chain": None, "fanout": None},
    "fdatasyncs_per_step": {"chain": None, "fanout": None},
    "rss_mb": {"run": None, "server": None}, "cold_start_s": None,
    "replay_events_per_s": None, "recovery_s": {"worker": None, "server": None},
    "million_rss_mb": None,
}  # fmt: skip


_ENVIRONMENT: Final = {
    **{name: v for name, v in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
    "PYTHONPYCACHEPREFIX": str(Path(tempfile.gettempdir(), f"bench-modules-{os.getpid()}")),
}


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    asked.add_argument(
        "rows", nargs="*", choices=[*SHORT, *LONG, PEERS, []], help="only these rows"
    )
    asked.add_argument("--all", action="store_true", help="the long rows too")
    asked.add_argument("--repeat", type=int, default=5)
    asked.add_argument("--folder", type=Path, help="where the data goes: a disk that syncs")
    asked.add_argument("--save", type=Path, help="write the result there too")
    asked.add_argument("--row", help=argparse.SUPPRESS)
    args = asked.parse_args()
    if args.row:
        _be(args.row, args.folder, args.repeat)
        return
    asked_for = [PEERS] if os.environ.get("PEERS") else []
    rows = args.rows or [*SHORT, *(LONG if args.all else ()), *asked_for]
    result = measured(rows, args.repeat, args.folder)
    text = json.dumps(result, indent=1)
    print(text)
    shutil.rmtree(_ENVIRONMENT["PYTHONPYCACHEPREFIX"], ignore_errors=True)
    if args.save:
        args.save.write_text(text + "\n", encoding="utf-8")


def measured(rows: list[str], repeat: int, folder: Path | None) -> dict[str, Any]:
    """Measure rows, each in a process of its own, and put their figures together."""
    result: dict[str, Any] = json.loads(json.dumps(EMPTY)) | {"limits": {}, "runs": {}}
    result["machine"] = machine()
    for row in rows:
        place = Path(tempfile.mkdtemp(prefix="bench-", dir=folder))
        try:
            result["limits"][row] = limits(place)
            _join(result, _told(row, place, repeat))
        finally:
            shutil.rmtree(place)
        print(f"{row}: done", file=sys.stderr, flush=True)
    return result


def _told(row: str, place: Path, repeat: int) -> dict[str, Any]:
    """What a row says, in a process of its own, with compiled modules as an installation has."""
    command = [sys.executable, "-m", "bench.runtime", "--row", row, "--folder", str(place)]
    done = subprocess.run(
        [*command, "--repeat", str(repeat)], check=True, stdout=subprocess.PIPE, env=_ENVIRONMENT
    )
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _be(row: str, place: Path, repeat: int) -> None:
    from bench.peers.pairs import peers
    from bench.runtime_rows import ROWS

    work = place / "work"
    work.mkdir()
    print(json.dumps((ROWS | {PEERS: peers})[row](work, repeat)), flush=True)


def _join(whole: dict[str, Any], part: dict[str, Any]) -> None:
    for name, value in part.items():
        if isinstance(value, dict) and isinstance(whole.get(name), dict):
            _join(whole[name], value)
        else:
            whole[name] = value


if __name__ == "__main__":
    main()
