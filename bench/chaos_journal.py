"""What the data folder says when all is over and nobody holds it: read apart from the server.

Each check returns what it found otherwise, so that an empty list is a promise kept.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from bench.chaos_books import ENDS
from runtime.data.folder import DataFolder
from runtime.data.objects import Objects
from runtime.journal.sqlite import SqliteReader
from runtime.net.compile import compile_net
from runtime.net.net import Net
from runtime.playbook.bundle import load_text
from runtime.retention.collect import Collector, Retention
from runtime.run.events import (
    AttemptFinished,
    AttemptScheduled,
    PlaybookRegistered,
    RunSubmitted,
)
from runtime.run.replay import replay

Json = Any
_REF: Final = re.compile(rb'"\$ref":"([0-9a-f]{64}\.[a-z]+)"')
_ALL: Final = 1_000_000


def read(folder: DataFolder, rows: dict[str, Json]) -> tuple[dict[str, list[str]], Json]:
    """The checks by their promise, and the counts for the report."""
    with closing(SqliteReader.open(folder.journal)) as reader:
        checks = {
            "every run ended": _ended(reader, rows),
            "a child is begun once, and ends with its parent": _children(reader),
            "every run folds to the markings it had": _folded(reader),
            "what is undone was undone": _undone(folder, rows),
            "objects are those that events name": _objects(folder, reader),
        }
        return checks, _attempts(reader)


def _ended(reader: SqliteReader, rows: dict[str, Json]) -> list[str]:
    runs = reader.runs(limit=_ALL, system=None)
    found = [f"{r.run} of {r.playbook} is {r.state}" for r in runs if r.ended_at is None]
    kept = {r.run for r in runs if r.key is not None}
    return [*found, *(f"{run} was acknowledged and is gone" for run in set(rows) - kept),
            *(f"{run} was never acknowledged" for run in kept - set(rows))]  # fmt: skip


def _children(reader: SqliteReader) -> list[str]:
    states = {r.run: r.state for r in reader.runs(limit=_ALL, system=None)}
    found, begun = [], Counter[str]()
    for recorded in reader.of_type(RunSubmitted.TYPE):
        event = recorded.event
        if not isinstance(event, RunSubmitted) or event.parent is None:
            continue
        run = recorded.stream.removeprefix("run/")
        begun[event.parent] += 1
        wanted = ENDS.get(event.playbook.partition("/")[2], "completed")
        if states.get(run) != wanted:
            found.append(f"{run} of {event.parent} is {states.get(run)}, not {wanted}")
    return found + [f"{parent} began {times}" for parent, times in begun.items() if times > 1]


def _folded(reader: SqliteReader) -> list[str]:
    nets = dict[str, Net]()
    for recorded in reader.of_type(PlaybookRegistered.TYPE):
        event = recorded.event
        if isinstance(event, PlaybookRegistered):
            nets[event.version] = compile_net(load_text(event.source, event.files).playbook)
    found = []
    for row in reader.runs(limit=_ALL, system=None):
        told = replay(row.run, nets[row.version], reader.read(f"run/{row.run}"))
        if told.equal is not True or told.events != row.length:
            found.append(f"{row.run}: {told.trace}, and {told.recorded} was recorded")
    return found


def _undone(folder: DataFolder, rows: dict[str, Json]) -> list[str]:
    return [
        f"{run} was not" for run, row in rows.items()
        if row["playbook"] == "chaos/undone" and not (folder.run(run) / "freed").exists()
    ]  # fmt: skip


def _objects(folder: DataFolder, reader: SqliteReader) -> list[str]:
    """Collect what killed attempts left, without grace; then named and there are the same."""
    store = Objects(folder.objects).store
    told = Collector(folder, store, reader, Retention(grace_s=0.0)).collect(time.time() + 1.0)
    there = {stored.name for stored in store.list()}
    named = _named(reader, folder.objects)
    return [
        *(f"{name} is missing" for name in {*named, *told.missing} - there),
        *(f"{name} is named by nothing" for name in there - named),
    ]


def _named(reader: SqliteReader, root: Path) -> set[str]:
    """Every object an event names, and what those name, found without the collector."""
    bodies = reader._db.execute("select body from event")  # what is written, not what is read
    found = {name for (body,) in bodies for name in _names(body)}
    new = found
    while new := {n for name in new for n in _inside(root / name[:2] / name)} - found:
        found |= new
    return found


def _names(body: str | bytes) -> set[str]:
    raw = body.encode() if isinstance(body, str) else body
    return {name.decode() for name in _REF.findall(raw)}


def _inside(path: Path) -> set[str]:
    return _names(path.read_bytes()) if path.suffix == ".json" and path.exists() else set()


def _attempts(reader: SqliteReader) -> Json:
    """How attempts ended, and how many were hedges."""
    ends = Counter(
        r.event.outcome for r in reader.of_type(AttemptFinished.TYPE)
        if isinstance(r.event, AttemptFinished)
    )  # fmt: skip
    hedges = sum(
        isinstance(r.event, AttemptScheduled) and r.event.hedges is not None
        for r in reader.of_type(AttemptScheduled.TYPE)
    )
    return {**ends, "of them hedges": hedges}
