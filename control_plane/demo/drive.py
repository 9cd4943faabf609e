"""The demo from its first line to its last: set up, play, count, report, judge.

``stage`` says how far: 1 and 2 run the cohort and let the optimizer propose, 3 compares
record and journal too, 4 and up play the whole loop.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from control_plane.demo.judge import Check, checks
from control_plane.demo.play import FIRST_RUNS, LAST_RUNS, PLAYBOOK, DidNotClose, Play
from control_plane.demo.processes import DidNotStart
from control_plane.demo.report import Outside, report
from control_plane.demo.screen import Screen
from control_plane.demo.stage import Stage, fresh_folder, set_up
from control_plane.writable import unwritable
from runtime.journal.sqlite import SqliteReader

Json: TypeAlias = Any

RECORD_STAGE: Final = 3
LOOP_STAGE: Final = 4
REPORT: Final = "demo-report.json"


@dataclass(frozen=True, slots=True)
class Options:
    """How the demo was asked for. ``began`` is seconds since the epoch, before installing."""

    stage: int
    keep: bool
    service: str
    parent: Path
    report: Path
    began: float
    install_s: float
    harm: bool = True


def drive(options: Options, screen: Screen, clock: Callable[[], float] = time.time) -> int:
    """Play the demo and return the exit status: 0 when every promise was kept."""
    _must_be_writable(options)
    root = fresh_folder(options.parent)
    screen.say(f"data folder    {root}")
    with set_up(root, options.service, options.keep) as stage:
        screen.say(f"server         {stage.url}")
        screen.say(f"records        {stage.records_url}")
        play = Play(stage, screen)
        try:
            stopped = _play(play, options)
            closed = True
        except DidNotClose as failure:
            stopped, closed = str(failure), False
            screen.warn(stopped)
        told = _report(stage, screen, options, stopped, clock)
        held = _judge(screen, told)
        _farewell(stage, screen, options)
    return 0 if closed and held else 1


def _must_be_writable(options: Options) -> None:
    for flag, file in (("--data", options.parent / REPORT), ("--report", options.report)):
        if fault := unwritable(file):
            raise DidNotStart(f"{file} cannot be written: {fault}; {flag} names another place")


def _play(play: Play, options: Options) -> str:
    """Play the acts that the stage has; return why the loop stopped."""
    screen = play.screen
    screen.act("As its author left it", "the cohort, five times: the history everything rests on")
    play.register()
    for number in range(1, FIRST_RUNS + 1):
        play.run(f"run {number} of {FIRST_RUNS}")
    screen.act("The loop", "the optimizer reads that history, a person decides, a trial proves")
    if options.stage < LOOP_STAGE:
        for proposal in play.cycle():
            screen.proposal(play.stage.reviewer.get(f"/api/proposals/{proposal['id']}"))
        return f"stage {options.stage} ends before the first decision"
    stopped = play.improve()
    if options.harm:
        screen.act("A tempting mistake", "twice the batch size: cheaper so far, wasn't it?")
        ended = play.tempt()
        screen.say(f"  {ended['state'].replace('_', ' ')} by itself: {ended['reason_words']}")
    screen.act("As it is now")
    for number in range(1, LAST_RUNS + 1):
        play.run(f"run {number} of {LAST_RUNS}")
    return stopped


def _report(
    stage: Stage, screen: Screen, options: Options, stopped: str, clock: Callable[[], float]
) -> Json:
    screen.act("What was recorded")
    rows = None
    if options.stage >= RECORD_STAGE:
        with screen.work("journal, ClickHouse and Qdrant, counted and compared") as bar:
            rows = stage.verify()["rows"]
            bar.note = f"{rows['journal_events']} events"
    outside = Outside(
        clock() - options.began, options.install_s, stopped, options.service, stage.service(), rows
    )
    told = report(SqliteReader.open(stage.data.journal), PLAYBOOK, outside)
    text = json.dumps(told, indent=1) + "\n"
    for path in (options.report, stage.data.root / REPORT):
        path.write_text(text, encoding="utf-8")
    screen.table(told)
    return told


def _judge(screen: Screen, told: Json) -> bool:
    """Say which promises were kept; true when all were that must be."""
    screen.console.print()
    found: list[Check] = list(checks(told))
    for check in found:
        mark = "[green]✓" if check.kept else ("[yellow]–" if check.goal else "[red]✗")
        screen.console.print(f"  {mark}[/] {check.text}")
    return all(check.kept or check.goal for check in found)


def _farewell(stage: Stage, screen: Screen, options: Options) -> None:
    screen.act("Next")
    screen.say(f"report         {near(options.report)}")
    data, command = near(stage.data.root), near(Path(sys.prefix) / "bin" / "trimtab")
    if not options.keep:
        screen.say(f"the pages      {command} dev --data {data}")
        screen.say("               (make demo KEEP=1 leaves the server up)")
    else:
        pids = " ".join(str(pid) for pid in stage.processes.pids().values())
        screen.say(f"the pages      {stage.sign_in_link()}")
        screen.say(f"               good once, for a few minutes; it ends with: kill {pids}")
    for words in ("proposal list", "run list", "search 'service answered 503'"):
        screen.say(f"try            {command} --data {data} {words}")


def near(path: Path) -> Path:
    """Return a path as one would type it here."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
