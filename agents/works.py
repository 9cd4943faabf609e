"""The latest runs of a step as work that can be replayed, read from the record.

Few runs are read, and whole ones alone: they are for the joint look at a step's knobs, whose
price is bounded. A step that has fewer than two simulated knobs is not read at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

from agents.observer import Observation, Reader
from optimizer.simulate import rows
from optimizer.simulate.question import SIMULATED
from optimizer.simulate.work import Work

Json: TypeAlias = Any
Works: TypeAlias = Mapping[tuple[str, str], Sequence[Work]]

MOST: Final = 10_000
"""Attempts of one step that are read to be replayed."""


def read_works(reader: Reader, seen: Sequence[Observation]) -> Works:
    """Return the works of each step whose knobs may be looked at together, oldest first."""
    return {
        (str(one.scope["playbook"]), str(one.scope["step"])): _works(reader, one.scope)
        for one in seen
        if sum(tune["name"] in SIMULATED for tune in one.scope.get("tune") or ()) > 1
    }


def _works(reader: Reader, scope: Mapping[str, Json]) -> list[Work]:
    asked = {"playbook": scope["playbook"], "step": scope["step"]}
    reach = reader.query("evidence_extent", most=MOST, **asked)
    if not reach.num_rows or not reach.column("runs").to_numpy()[0]:
        return []  # one run alone is more than is read
    since = float(reach.column("since").to_numpy()[0])
    table = reader.query("evidence_attempts", since=since, limit=MOST, **asked)
    versions = set(scope.get("versions") or ())
    works = rows.from_rows(
        cast("rows.Table", table), playbook=str(scope["playbook"]), step=str(scope["step"])
    )
    return [work for work in works if not versions or work.version in versions]
