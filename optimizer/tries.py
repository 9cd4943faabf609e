"""Tries: every attempt of a step's history by itself, where batches count all of theirs as one.

What a retry, a timeout or a hedge would do is asked of single tries: how one ended, how
long it took, and whether it took so long of itself or was cut off. Candidates of trials are
kept apart, and tries that were lost with a worker left out: they say nothing of the work.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.distinct import pieces, texts
from optimizer.evidence import Table

Array: TypeAlias = NDArray[Any]

_NEEDED: Final = ("attempt", "run", "batch", "number", "outcome", "run_s", "scheduled_at", "at")
_TEXTS: Final = ("run", "version", "error", "hardware", "trial")
_EXCLUDING: Final = ("system", "overridden", "post_decision")
_SIZES: Final = ("bytes_in", "rows_in", "items")
"""What says how much work a try had, the most telling first."""


@dataclass(frozen=True, slots=True)
class Tries:
    """One entry a try, in the order of units and of tries in each.

    ``unit`` numbers the pieces of work (a batch, or the step of one run). ``error`` is the
    class of error, "" for a success. ``whole`` says that a try came to its own end, and was
    neither timed out nor ended by another. ``work`` is how much it was given, 1 if unknown;
    ``size`` the batch size in force and ``memory`` its peak in bytes, 0 where unknown.
    ``over`` says that a retry budget refused another one. ``trial`` names the experiment and
    the arm of a candidate's try, "" for others: those of candidates are in ``tried`` alone.
    """

    unit: Array
    run: Array
    version: Array
    number: Array
    error: Array
    seconds: Array
    begin: Array
    end: Array
    whole: Array
    beside: Array
    work: Array
    size: Array
    memory: Array
    hardware: Array
    over: Array
    trial: Array
    tried: Tries | None = None

    def __len__(self) -> int:
        return len(self.unit)

    def where(self, keep: Array) -> Tries:
        """Return the tries where ``keep`` is true."""
        return replace(self, **{name: getattr(self, name)[keep] for name in _COLUMNS})

    def in_turn(self) -> Tries:
        """Return one try for each turn of a unit: of tries side by side the one that decided."""
        ended = self.where(self.error != "cancelled")
        order = np.lexsort((ended.error != "", ended.number, ended.unit))
        sorted_ = ended.where(order)
        same = (np.diff(sorted_.unit) == 0) & (np.diff(sorted_.number) == 0)
        return sorted_.where(np.r_[True, ~same][: len(sorted_)])


_COLUMNS: Final = tuple(one.name for one in fields(Tries) if one.name != "tried")


def tries(table: Table) -> Tries:
    """Return the tries in a table of attempts; empty where it lacks what is needed."""
    names = set(table.column_names)
    if not names.issuperset(_NEEDED) or not table.num_rows:
        return _nothing()
    outcome = _text(table, "outcome")
    keep = outcome != "lost"
    for name in names.intersection(_EXCLUDING):
        keep &= ~_number(table, name).astype(bool)
    arm = _text(table, "arm")
    trial = np.char.add(np.char.add(_text(table, "experiment"), "/"), arm)
    keep &= _number(table, "run_s") >= 0.0
    run, batch = _text(table, "run"), np.nan_to_num(_number(table, "batch"), nan=-1.0)
    unit = pieces(run, batch)
    error = np.where(outcome == "succeeded", "", _text(table, "error_class"))
    error = np.where((outcome != "succeeded") & (error == ""), outcome, error)
    error = np.where(outcome == "timed_out", "timeout", error)
    error = np.where(outcome == "cancelled", "cancelled", error)
    found = Tries(
        unit=unit, run=run, version=_text(table, "version"), number=_number(table, "number"),
        error=error, seconds=_number(table, "run_s"), begin=_number(table, "scheduled_at"),
        end=_number(table, "at"), whole=~np.isin(error, ("timeout", "cancelled")),
        beside=_beside(table.column("attempt").to_numpy()),
        work=_work(table), size=_known(table, "batch_size"), memory=_known(table, "rss_peak"),
        hardware=_text(table, "hardware"), over=_known(table, "over_budget") > 0,
        trial=np.where((arm == "") | (arm == "control"), "", trial),
    ).where(keep)  # fmt: skip
    found = found.where(np.lexsort((found.beside, found.number, found.unit)))
    return replace(found.where(found.trial == ""), tried=found.where(found.trial != ""))


def _beside(attempts: Array) -> Array:
    """Which tries ran beside another of their turn: their names end in ``number.number``."""
    return np.array(["." in str(name).rpartition("/")[2] for name in attempts.tolist()])


def _work(table: Table) -> Array:
    for name in _SIZES:
        if name in table.column_names:
            sizes = _number(table, name)
            if np.ptp(sizes) > 0.0 and (sizes > 0.0).mean() > 0.9:
                return np.maximum(sizes, 1.0)
    return np.ones(table.num_rows)


def _known(table: Table, name: str) -> Array:
    """A column of numbers; 0 where there is none."""
    if name not in table.column_names:
        return np.zeros(table.num_rows)
    return np.nan_to_num(_number(table, name))


def _text(table: Table, name: str) -> Array:
    if name not in table.column_names:
        return np.full(table.num_rows, "")
    return texts(table.column(name).to_numpy())


def _number(table: Table, name: str) -> Array:
    values = table.column(name).to_numpy()
    if values.dtype.kind == "M":
        return np.asarray(values.astype("datetime64[us]").astype(np.int64) / 1e6)
    if values.dtype.kind == "O":
        return np.array([np.nan if value is None else float(value) for value in values])
    return np.asarray(values, float)


def _nothing() -> Tries:
    empty = {name: np.empty(0) for name in _COLUMNS}
    flags = {name: np.empty(0, bool) for name in ("whole", "beside", "over")}
    texts = {name: np.empty(0, "U1") for name in _TEXTS}
    return Tries(**{**empty, **flags, **texts}, tried=None)
