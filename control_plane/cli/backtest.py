"""What a backtest found, for a person: a small table for each data set and objective.

Methods stand below each other, as they are compared; figures are those of
``docs/reference/optimizer-results.md``, rounded. JSON has all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeAlias

import typer

from control_plane.cli.output import Columns, Format, Row, emit_rows

Cell: TypeAlias = Callable[[Row], str]


def _rounded(key: str, digits: int) -> Cell:
    return lambda row: "-" if row.get(key) is None else f"{row[key]:.{digits}f}"


_TABLES: Final[Sequence[tuple[str, str, Columns]]] = (
    ("search", "Searches", {
        "k5": _rounded("k5", 1), "p90": _rounded("k5_p90", 1), "s3 %": _rounded("s3", 0),
        "s6 %": _rounded("s6", 0), "s12 %": _rounded("s12", 0),
        "net regret %": _rounded("net_regret", 1), "trials": _rounded("trials", 1),
        "ms": _rounded("ms", 1),
    }),
    ("gate", "From history alone", {
        "covered %": _rounded("coverage", 0), "harm %": _rounded("harm", 1),
        "disasters": "catastrophes", "ECE": _rounded("ece", 3),
        "interval %": _rounded("interval", 0), "ms": _rounded("ms", 1),
    }),
    ("gate", "After trials", {
        "kept %": _rounded("after_kept", 0), "harm %": _rounded("after_harm", 1),
        "disasters": "after_catastrophes", "capture %": _rounded("after_capture", 0),
        "trials": _rounded("arms", 1),
    }),
    ("batch", "Batch sizes from three that are logged; in %, but ms", {
        "error": _rounded("error", 1), "p90": _rounded("error_p90", 1),
        "oracle": _rounded("oracle", 1), "of all": _rounded("oracle_all", 1),
        "broken": _rounded("broken", 1), "silent": _rounded("abstained", 1),
        "held": _rounded("covered", 1), "ms": _rounded("ms", 1),
    }),
    ("retry", "Retry limits", {
        "over oracle %": _rounded("over_oracle", 2),
        "tries on permanent": _rounded("on_permanent", 2),
    }),
    ("outage", "An outage", {
        "amplification": _rounded("amplification", 2), "worst": _rounded("worst", 2),
        "lost before %": _rounded("lost_before", 3),
    }),
)  # fmt: skip


def show(found: Sequence[Row]) -> None:
    """Write the rows of a backtest as tables, kind by kind."""
    for kind, title, columns in _TABLES:
        rows = [row for row in found if row.get("kind", "search") == kind]
        for n, (line, group) in enumerate(_groups(rows)):
            typer.echo(f"{title}\n\n{line}" if n == 0 else line)
            emit_rows(group, Format.TABLE, {"method": "method", "tasks": "tasks", **columns})
            typer.echo("")


def _groups(rows: Sequence[Row]) -> Iterator[tuple[str, list[Row]]]:
    """Rows of one data set and objective, under a line that says which and what it left out."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["dataset"], row["objective"]), []).append(row)
    for (dataset, objective), group in groups.items():
        left = group[0].get("left_out")
        yield f"{dataset}, {objective}" + (f", {left} tasks left out" if left else ""), group
