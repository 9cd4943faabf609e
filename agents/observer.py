"""The observer: which steps are worth looking at, and what their history is like.

It reads through a narrow window (named statements over the record) and returns values.
A step is worth a look by what it costs: slot seconds, dearest first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

import numpy as np

from optimizer.evidence import Batches, Table, batches
from optimizer.guard import Reason
from optimizer.scope import step_named
from optimizer.tries import Tries, tries

Json: TypeAlias = Any

MOST: Final = 1_000_000
"""Attempts of one step that are read for one cycle."""


class Reader(Protocol):
    """The record, as much of it as an agent may see."""

    def query(self, name: str, /, **params: Json) -> Table:
        """Return the rows of a named statement."""
        ...


@dataclass(frozen=True, slots=True)
class Observation:
    """One step's history, with what it took."""

    scope: Mapping[str, Json]
    history: Batches
    slot_s: float
    tries: Tries


def observe(
    reader: Reader, scopes: Sequence[Mapping[str, Json]]
) -> tuple[list[Observation], list[Reason]]:
    """Return the steps that have a history, dearest first, and why others are left out."""
    seen, reasons = [], []
    for scope in scopes:
        history, single = _history(reader, scope)
        if len(history):
            seen.append(Observation(scope, history, float(history.seconds.sum()), single))
        else:
            name = step_named(scope)
            reasons.append(Reason(name, "no_history", "the record holds no batch of this step"))
    return sorted(seen, key=lambda one: -one.slot_s), reasons


def _history(reader: Reader, scope: Mapping[str, Json]) -> tuple[Batches, Tries]:
    """Read one step's attempts; those of versions with other code of the step do not count.

    Of a step with more attempts than can be read at once, the newest runs are read.
    """
    asked = {"playbook": scope["playbook"], "step": scope["step"]}
    reach = reader.query("evidence_extent", most=MOST, **asked)
    since = float(reach.column("since").to_numpy()[0]) if reach.num_rows else 0.0
    table = reader.query("evidence_attempts", since=since, limit=MOST, **asked)
    found, single = batches(table), tries(table)
    versions = list(scope.get("versions") or ())
    if not versions:
        return found, single
    return (
        found.where(np.isin(found.version, versions)),
        single.where(np.isin(single.version, versions)),
    )
