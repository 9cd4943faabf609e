"""Rows: work from a table of attempts, for those who have the record but not the journal.

A row a try, with the record's columns. The arcs taken are not in them, so a step is held
to have waited for whichever ended last before it began; a table of one step's attempts is
that step alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any, Final, Protocol, TypeAlias

from optimizer.simulate.work import Cut, Firing, Piece, Try, Work

Json: TypeAlias = Any
Row: TypeAlias = Mapping[str, Json]

NEEDED: Final = (
    "run", "batch", "block", "number", "outcome", "error_class", "queue_s", "items",
    "scheduled_at", "at", "batch_size", "in_flight",
)  # fmt: skip


class Table(Protocol):
    """As much of ``pyarrow.Table`` as is needed here."""

    @property
    def column_names(self) -> list[str]: ...

    def to_pylist(self) -> list[dict[str, Any]]: ...


class MissingColumns(ValueError):
    """The table lacks columns that work is made from."""


def from_rows(table: Table, *, playbook: str = "", step: str = "") -> list[Work]:
    """Return the work of each run in the table, in order of time.

    ``step`` names the step of a table that has no such column.

    Raises:
        MissingColumns: naming them.
    """
    missing = [name for name in NEEDED if name not in table.column_names]
    if missing:
        raise MissingColumns(f"the attempts lack {', '.join(missing)}")
    rows = sorted(table.to_pylist(), key=lambda r: (r["run"], r["scheduled_at"], r["number"]))
    works = [
        _work(run, list(mine), playbook, step) for run, mine in groupby(rows, lambda r: r["run"])
    ]
    return [work for work in works if work.pieces]


def _work(run: str, rows: list[Row], playbook: str, step: str) -> Work:
    steps: dict[str, list[Row]] = {}
    for row in rows:
        steps.setdefault(str(row.get("step") or step), []).append(row)
    begun = min(r["scheduled_at"] for r in rows)
    spans = {s: (min(r["scheduled_at"] for r in mine), max(r["at"] for r in mine))
             for s, mine in steps.items()}  # fmt: skip
    order = sorted(spans, key=lambda s: spans[s])
    firings, warm = [], set[str]()
    for i, name in enumerate(order):
        start, end = spans[name]
        before = [(spans[s][1], j) for j, s in enumerate(order[:i]) if spans[s][1] <= start]
        ended, source = max(before, default=(begun, -1))
        after = (source,) if before else ()
        cuts = tuple(_cuts(steps[name], warm))
        each = any(r["batch"] >= 0 for r in steps[name])
        firings.append(Firing(name, each, after, start - ended, end - start, cuts))
    whole = max(end for _, end in spans.values()) - begun
    version = str(rows[0].get("version") or "")
    return Work(run, playbook, version, "completed", False, whole, 0.0, None, 0, tuple(firings))


def _cuts(rows: Iterable[Row], warm: set[str]) -> Iterator[Cut]:
    """A cut for each stretch of batches of one block and configuration, in order."""
    pieces = [list(mine) for _, mine in groupby(sorted(rows, key=_place), lambda r: r["batch"])]
    for (block, size, in_flight, arm), mine in groupby(pieces, lambda p: _range(p[0])):
        listed = list(mine)
        limit = listed[0][0].get("retry_limit")
        yield Cut(
            "all" if block <= 0 else "block", size, in_flight, False, arm,
            int(limit) if limit else None, tuple(_piece(p, warm) for p in listed),
        )  # fmt: skip


def _place(row: Row) -> tuple[int, int]:
    return int(row["batch"]), int(row["number"])


def _range(row: Row) -> tuple[int, int, int, str]:
    size, in_flight = int(row["batch_size"] or 1), int(row["in_flight"] or 1)
    return int(row["block"]), max(1, size), max(1, in_flight), str(row.get("arm") or "")


def _piece(rows: list[Row], warm: set[str]) -> Piece:
    tries = []
    for i, row in enumerate(rows):
        worker = str(row.get("worker") or "")
        cold = worker not in warm and worker != ""
        warm.add(worker)
        took = max(0.0, row["at"] - row["scheduled_at"])
        queue = min(max(0.0, row["queue_s"]), took)
        wait = rows[i + 1]["scheduled_at"] - row["at"] if i + 1 < len(rows) else None
        cls = "" if row["outcome"] == "succeeded" else str(row["error_class"] or "unknown")
        tries.append(
            Try(row["outcome"], cls, queue, took - queue, wait, row.get("cost_usd"), cold)
        )
    return Piece(int(rows[0]["items"]), tuple(tries))
