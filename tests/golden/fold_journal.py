"""Folds the rows of a golden journal into what a person would check of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from runtime.journal.wire import decode
from runtime.net.compile import compile_net
from runtime.playbook.bundle import load_text
from runtime.run.events import PlaybookRegistered, ProposalMoved, RunSubmitted
from runtime.run.evolve import evolve
from runtime.run.layers import Layers
from runtime.run.state import RunState, new_run

LAYERS = ("overlay/", "experiment/", "kill")


def fold(rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """Return what runs, layers and proposals come to; ``rows`` as they stand in the journal."""
    streams, layers = _streams(rows), Layers()
    for row in sorted(rows, key=_place):
        if row[2].startswith(LAYERS):
            layers.evolve(_event(row))
    runs = runs_of(rows)
    return {
        "events": len(rows),
        "runs": {run: _told(state) for run, state in runs.items()},
        "overlays": {
            "#".join(scope): {knob: entry.value for knob, entry in entries.items()}
            for scope, entries in layers.overlays.items()
        },
        "experiments_live": len(layers.experiments),
        "proposals": {
            s: [e.target for _, e in events if isinstance(e, ProposalMoved)]
            for s, events in streams.items()
            if s.startswith("proposal/")
        },
    }


def runs_of(rows: Sequence[Sequence[Any]]) -> dict[str, RunState]:
    """Return the state of every run of a journal."""
    streams = _streams(rows)
    nets = {
        event.version: compile_net(load_text(event.source, event.files).playbook)
        for s in streams
        if s.startswith("playbook/")
        for _, event in streams[s]
        if isinstance(event, PlaybookRegistered)
    }
    return {s[4:]: _run(s[4:], events, nets) for s, events in streams.items() if s[:4] == "run/"}


def _streams(rows: Sequence[Sequence[Any]]) -> dict[str, list[tuple[float, Any]]]:
    streams: dict[str, list[tuple[float, Any]]] = defaultdict(list)
    for row in sorted(rows, key=_place):
        assert _place(row) > (0, 0)
        streams[row[2]].append((row[6], _event(row)))
    return streams


def _place(row: Sequence[Any]) -> tuple[int, int]:
    return row[0], row[1]


def _event(row: Sequence[Any]) -> Any:
    return decode(row[4], row[5], row[7].encode())


def _run(run: str, events: list[tuple[float, Any]], nets: dict[str, Any]) -> RunState:
    first = events[0][1]
    assert isinstance(first, RunSubmitted)
    state = new_run(run, nets[first.version])
    for at, event in events:
        evolve(state, event, at)
    return state


def _told(state: RunState) -> dict[str, Any]:
    steps = {name: [s.status, _short(s.value)] for name, s in state.steps.items()}
    return {
        "status": state.status, "events": state.seq, "marking": state.marking.tokens(),
        "steps": steps, "in_flight": sorted(state.attempts), "result": _short(state.result),
    }  # fmt: skip


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: v for k, v in value.items() if k not in ("results", "schema")}
    return value
