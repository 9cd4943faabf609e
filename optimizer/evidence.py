"""Evidence: the batches of one step's history, and the record a proposal carries.

Attempts come in as an Arrow table (any table with the record's columns) and leave as
arrays, one entry a batch: all its tries together. What cannot be believed (a negative
duration, an attempt told twice, an arm without a share) is put aside and counted.
The record is JSON whose ``id`` is the hash of the rest, so that an approval can be bound
to it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.distinct import distinct, pieces, texts
from runtime.run.layers import digest

Json: TypeAlias = Any
Array: TypeAlias = NDArray[Any]

EVIDENCE_VERSION: Final = 1
MOST_DOUBTFUL: Final = 0.10
"""Above this share of attempts that are doubtful in one way, all of them are."""


class Column(Protocol):
    """A column of an Arrow table."""

    def to_numpy(self) -> Array: ...


class Table(Protocol):
    """As much of ``pyarrow.Table`` as is needed here."""

    @property
    def column_names(self) -> list[str]: ...

    @property
    def num_rows(self) -> int: ...

    def column(self, i: str) -> Column: ...


class MissingColumns(ValueError):
    """The table of attempts lacks columns the evidence is made from."""


@dataclass(frozen=True, slots=True)
class Quality:
    """What was put aside, and how complete the rest is."""

    attempts: int
    duplicates: int
    impossible: int
    excluded: int
    unfinished: int
    cost_coverage: float
    arm_coverage: float
    regime_since: int | None = None
    """Since when the current regime holds; None where history knows but one."""
    regime_factor: float = 1.0
    before_regime: int = 0

    def faults(self) -> list[str]:
        """Return why the history cannot be believed as a whole; none means that it can."""
        told = max(self.attempts, 1)
        shares = {
            "have times that cannot be": self.impossible / told,
            "lack the arm of their trial": 1.0 - self.arm_coverage,
        }
        return [
            f"{share:.0%} of the attempts {what}; at most {MOST_DOUBTFUL:.0%} may"
            for what, share in shares.items()
            if share > MOST_DOUBTFUL
        ]

    def to_json(self) -> dict[str, Json]:
        """Return it for the record."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Batches:
    """One entry per finished batch. ``block`` is -1 outside experiments, ``arm`` then "".

    ``seconds`` and ``cost`` sum over all tries; ``start`` and ``end`` are the first
    scheduling and the last finish (seconds since the epoch). ``share`` is the chance with
    which a batch's block was drawn to its arm, NaN outside experiments. ``whole`` is false
    for the last, short batch of a run or block. ``alternative`` and ``runs_on`` are what it
    was done by, "" where the record does not say.
    """

    run: Array
    version: Array
    size: Array
    in_flight: Array
    items: Array
    seconds: Array
    cost: Array
    retried: Array
    failed: Array
    start: Array
    end: Array
    experiment: Array
    arm: Array
    block: Array
    share: Array
    whole: Array
    alternative: Array
    runs_on: Array
    quality: Quality

    def __len__(self) -> int:
        return len(self.run)

    def where(self, keep: Array) -> Batches:
        """Return the batches where ``keep`` is true."""
        if keep.all():
            return self
        kept = {f.name: getattr(self, f.name)[keep] for f in fields(self) if f.name != "quality"}
        return replace(self, **kept)

    def about(self, column: str) -> Batches:
        """Return the batches that may speak of one knob: no candidate of another knob's trial."""
        keep = np.ones(len(self), dtype=bool)
        values: Array = getattr(self, column)
        candidate = (self.experiment != "") & (self.arm != "control")
        for name in np.unique(self.experiment[candidate]):
            mine = self.experiment == name
            if len(np.unique(values[mine])) == 1:
                keep &= ~(mine & candidate)
        return self.where(keep)

    def run_items(self) -> int:
        """Return the median number of items that a run has."""
        _, codes = distinct(self.run)
        return int(np.median(np.bincount(codes, weights=self.items))) if len(self) else 0

    def run_batches(self) -> int:
        """Return the median number of batches that a run has."""
        _, codes = distinct(self.run)
        return int(np.median(np.bincount(codes))) if len(self) else 0


_NEEDED: Final = (
    "attempt", "run", "version", "batch", "block", "number", "outcome", "retried", "run_s",
    "items", "cost_usd", "scheduled_at", "at", "batch_size", "in_flight", "experiment", "arm",
    "share",
)  # fmt: skip
_RAN: Final = ("alternative", "runs_on")
"""What a batch was done by; a table may leave it out."""
_TEXTS: Final = frozenset(
    {"attempt", "run", "version", "outcome", "experiment", "arm", *_RAN}
)  # fmt: skip
_FLAGS: Final = ("system", "overridden", "post_decision")
"""A statement may have left these out already; where they come, they exclude."""


def batches(table: Table) -> Batches:
    """Return the batches in a table of attempts.

    Raises:
        MissingColumns: naming them.
    """
    missing = [name for name in _NEEDED if name not in table.column_names]
    if missing:
        raise MissingColumns(f"the attempts lack {', '.join(missing)}")
    wanted = [name for name in (*_NEEDED, *_FLAGS, *_RAN) if name in table.column_names]
    columns: dict[str, Array] = {n: _plain(n, table.column(n).to_numpy()) for n in wanted}
    columns |= {n: np.full(table.num_rows, "") for n in _RAN if n not in columns}
    kept, counted = _sift(columns)
    return _group(kept, counted)


def _plain(name: str, values: Array) -> Array:
    """Texts as texts, all else as numbers; what is null becomes "" or NaN."""
    if values.dtype.kind == "M":
        return values.astype("datetime64[us]").astype(np.int64) / 1e6
    if values.dtype.kind != "O" or name == "attempt":
        return values
    if name in _TEXTS:
        return texts(values)
    null = np.array([value is None for value in values], dtype=bool)
    return np.where(null, np.nan, values).astype(float)


def _sift(columns: dict[str, Array]) -> tuple[dict[str, Array], dict[str, int]]:
    """Put aside what must not count; say how much for which reason."""
    n = len(columns["attempt"])
    aside = np.zeros(n, dtype=bool)
    for name in _FLAGS:
        if name in columns:
            aside |= columns[name].astype(bool)
    impossible = ~(columns["run_s"] >= 0.0)
    impossible |= columns["at"] < columns["scheduled_at"] - 1.0
    names = columns.pop("attempt").tolist()
    twice = np.ones(n, dtype=bool)
    twice[list(dict(zip(reversed(names), range(n - 1, -1, -1), strict=True)).values())] = False
    keep = ~(aside | impossible | twice)
    counted = {
        "attempts": n,
        "excluded": int(aside.sum()),
        "impossible": int((impossible & ~aside).sum()),
        "duplicates": int((twice & ~aside & ~impossible).sum()),
    }
    if keep.all():
        return columns, counted
    return {name: values[keep] for name, values in columns.items()}, counted


def _group(columns: dict[str, Array], counted: dict[str, int]) -> Batches:
    """Bring the tries of each batch together."""
    keys = pieces(columns["run"].astype(str), _whole(columns["batch"]))
    again = columns["retried"].astype(bool)  # of tries side by side the last one decides
    order = np.lexsort((~again, columns["number"], keys))
    c = {name: values[order] for name, values in columns.items()}
    fresh = np.r_[True, keys[order][1:] != keys[order][:-1]][: len(keys)]
    begin = np.flatnonzero(fresh)
    last = np.r_[begin[1:], len(keys)].astype(int) - 1 if len(begin) else begin
    cost = c["cost_usd"].astype(float)
    in_trial = c["experiment"][begin] != ""
    quality = Quality(
        unfinished=int((c["retried"][last].astype(bool)).sum()),
        cost_coverage=_share(cost > 0.0),  # what costs nothing cannot be made cheaper
        arm_coverage=float((c["arm"][begin][in_trial] != "").mean()) if in_trial.any() else 1.0,
        **counted,
    )
    grouped = Batches(
        run=c["run"][begin],
        version=c["version"][begin],
        size=_whole(c["batch_size"][begin]),
        in_flight=_whole(c["in_flight"][begin]),
        items=_whole(c["items"][begin]),
        seconds=_sums(c["run_s"].astype(float), begin),
        cost=_sums(cost, begin),
        retried=~np.isin(c["outcome"][begin], ("succeeded", "cancelled")),
        failed=c["outcome"][last] != "succeeded",
        start=np.minimum.reduceat(c["scheduled_at"], begin) if len(begin) else c["scheduled_at"],
        end=c["at"][last],
        experiment=c["experiment"][begin],
        arm=c["arm"][begin],
        block=_whole(c["block"][begin]),
        share=c["share"][begin].astype(float),
        whole=c["items"][begin] == c["batch_size"][begin],
        alternative=c["alternative"][begin],
        runs_on=c["runs_on"][begin],
        quality=quality,
    )
    finished = ~c["retried"][last].astype(bool) & (grouped.seconds > 0.0)
    return grouped.where(finished)


def _share(holds: Array) -> float:
    return float(holds.mean()) if len(holds) else 0.0


def _whole(values: Array) -> Array:
    """Whole numbers; -1 where there is none, as for a step that is no ``each``."""
    whole: Array = np.nan_to_num(values.astype(float), nan=-1.0).astype(int)
    return whole


def _sums(values: Array, begin: Array) -> Array:
    return np.add.reduceat(values, begin) if len(begin) else values


@dataclass(frozen=True, slots=True)
class Value:
    """What history holds of one value of a knob, for a reader and for the rules."""

    value: int
    batches: int
    retried: int
    failed: int
    seconds_per_item: float
    tried_in_experiment: bool

    def to_json(self) -> dict[str, Json]:
        """Return it for the record."""
        return {
            "value": self.value,
            "batches": self.batches,
            "retried_share": self.retried / self.batches,
            "failed": self.failed,
            "seconds_per_item": self.seconds_per_item,
            "tried_in_experiment": self.tried_in_experiment,
        }


def by_value(history: Batches, column: str) -> dict[int, Value]:
    """Return what history holds of each value of a knob's column."""
    values: Array = getattr(history, column)
    found = {}
    for value in np.unique(values):
        mine = history.where(values == value)
        candidate = (mine.experiment != "") & (mine.arm != "control")
        found[int(value)] = Value(
            int(value), len(mine), int(mine.retried.sum()), int(mine.failed.sum()),
            float(mine.seconds.sum() / mine.items.sum()), bool(candidate.any()),
        )  # fmt: skip
    return found


def record(
    scope: Mapping[str, Json],
    diff: Sequence[Mapping[str, Json]],
    history: Batches,
    sections: Mapping[str, Json],
) -> dict[str, Json]:
    """Return the evidence record: plain JSON, its ``id`` the hash of everything else."""
    body: dict[str, Json] = {
        "evidence_version": EVIDENCE_VERSION,
        "scope": {name: scope.get(name) for name in ("playbook", "version", "step", "bound")},
        "diff": [dict(line) for line in diff],
        "window": {
            "runs": len(distinct(history.run)[0]),
            "batches": len(history),
            "from": int(history.start.min()) if len(history) else None,
            "to": math.ceil(history.end.max()) if len(history) else None,
        },
        "data_quality": history.quality.to_json(),
        "regime": history.quality.regime_since,
        "model": {"name": "service time, failures, concurrency", "llm": False},
        **sections,
    }
    return sealed(body)


def sealed(evidence: Mapping[str, Json]) -> dict[str, Json]:
    """Return a record with the ``id`` of all else that is in it now."""
    rounded = {k: _rounded(value) for k, value in evidence.items() if k != "id"}
    return {**rounded, "id": digest(rounded)}


def is_intact(evidence: Mapping[str, Json]) -> bool:
    """Whether a record still hashes to its id."""
    rest = {name: value for name, value in evidence.items() if name != "id"}
    return evidence.get("id") == digest(rest)


def _rounded(value: Json) -> Json:
    """Nine significant digits: the same evidence has the same hash on every machine."""
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, Mapping):
        return {str(name): _rounded(inner) for name, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, list | tuple) else value
