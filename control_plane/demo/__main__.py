"""``python -m control_plane.demo``: what `make demo` runs once everything is installed."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from control_plane.demo.drive import REPORT, Options, drive
from control_plane.demo.interrupts import listen
from control_plane.demo.person import Refused
from control_plane.demo.processes import DidNotStart
from control_plane.demo.screen import Screen

WHAT: Final = "Play the whole loop on real work: runs, proposals, trials, before and after."


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line, play the demo, return the exit status."""
    listen()
    options = read_options(arguments)
    screen = Screen()
    try:
        return drive(options, screen)
    except KeyboardInterrupt:
        screen.warn("interrupted: every process was ended")
        return 130
    except (DidNotStart, Refused) as failure:
        screen.warn(str(failure))
        return 1


def read_options(arguments: Sequence[str] | None) -> Options:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(prog="trimtab demo", description=WHAT)
    parser.add_argument("--stage", type=int, default=6, choices=range(1, 7), help="how far")
    parser.add_argument("--keep", action="store_true", help="leave the server up at the end")
    parser.add_argument("--service", default="", help="manners of the records service")
    parser.add_argument(
        "--data", type=Path, default=Path("demo-data"), help="parent of its folder"
    )
    parser.add_argument("--report", type=Path, default=Path(REPORT), help="where to write it")
    parser.add_argument("--began", type=float, default=None, help="when, before installing")
    parser.add_argument("--no-harm", action="store_true", help="leave the harmful candidate out")
    asked = parser.parse_args(arguments)
    began = time.time() if asked.began is None else asked.began
    return Options(
        asked.stage, asked.keep, asked.service, asked.data.resolve(), asked.report.resolve(),
        began, installed_s(began), not asked.no_harm,
    )  # fmt: skip


def installed_s(began: float) -> float:
    """Return how long installing took, when that was part of this demo; else 0."""
    stamp = Path(sys.prefix) / "installed-core.json"
    if not stamp.is_file() or stamp.stat().st_mtime < began:
        return 0.0
    return float(json.loads(stamp.read_text(encoding="utf-8"))["install_s"])


if __name__ == "__main__":
    sys.exit(main())
