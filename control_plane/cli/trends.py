"""``trimtab trends``: a measure over time by one dimension, and where its level changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import fmean, median
from typing import Annotated, Any, Final

import typer

from control_plane.cli.figures import dollars, spark
from control_plane.cli.here import KeyFile, here
from control_plane.cli.output import Columns, Format, Output, Row, emit_rows, many, say
from control_plane.clock import local, span, wall
from control_plane.measures import ADDED, GRAINS, MEASURES, Dimension, Figure, Grain

WIDEST: Final = 48
"""A sparkline has so many signs at most."""
FAR: Final[dict[str, float]] = {"minute": 1.0, "hour": 24.0, "day": 30 * 24.0}
"""How many hours back a grain looks when nobody says."""


def trends(
    ctx: typer.Context,
    by: Annotated[Dimension, typer.Option(help="What a line is.")] = "step",
    label: Annotated[str | None, typer.Option(help="With --by label, its name.")] = None,
    measure: Annotated[Figure, typer.Option(help="What is drawn.")] = "total_p50_s",
    grain: Annotated[Grain, typer.Option(help="How long a bucket is.")] = "hour",
    playbook: Annotated[str | None, typer.Option(help="Keep one playbook.")] = None,
    step: Annotated[str | None, typer.Option(help="Keep one step.")] = None,
    hours: Annotated[float | None, typer.Option(
        min=0.01, max=87_600, help="How far back; else 1, 24 or 720 by the grain.",
    )] = None,
    buckets: Annotated[bool, typer.Option("--buckets", help="A row for each bucket.")] = False,
    changes: Annotated[bool, typer.Option(
        "--changes", help="Only where the level changed, and what came just before.",
    )] = False,
    key_file: KeyFile = None, output: Output = Format.TABLE,
) -> None:  # fmt: skip
    """Show a measure over time by step, hardware, version and more, and where it changed.

    As json, every bucket with all its figures; with --changes, the changes.
    """
    if changes and measure not in MEASURES:
        raise typer.BadParameter(f"changes are looked for in {', '.join(MEASURES)}")
    if (by == "label") != bool(label):
        raise typer.BadParameter(
            "--by label and --label NAME go together: a line is a value of it"
        )
    until = wall()
    asked: dict[str, Any] = {
        "by": by, "label": label, "playbook": playbook, "step": step, "bucket_s": GRAINS[grain],
        "since": max(until - (hours or FAR[grain]) * 3600, 0), "until": until,
    }  # fmt: skip
    with here(ctx).client(key_file, record=True) as client:
        moved = (
            client.changes(measure, **asked) if _needs_changes(measure, changes, output) else []
        )
        rows = [] if changes else client.measures(**asked)
    if changes:
        emit_rows(moved, output, _changes(measure), empty="no level changed in that time")
    elif buckets or output is not Format.TABLE:
        emit_rows(rows, output, _buckets(measure), empty=_NOTHING)
    else:
        emit_rows(lines(rows, measure, GRAINS[grain]), output, _lines(measure), empty=_NOTHING)
        for change in moved:
            say(_sentence(change))
    if output is Format.TABLE and rows:
        for text in left_out(rows, measure):
            say(text)


_NOTHING: Final = "nothing ran in that time"


def left_out(rows: Iterable[Mapping[str, Any]], measure: str) -> Iterator[str]:
    """Say what a cost over time leaves out: attempts without a price, and slots that stood idle.

    >>> row = {"attempts": 10, "priced": 8, "spend_usd": 0.5}
    >>> next(left_out([row], "cost_usd"))
    '2 of 10 attempts have no price: their slot time and what their tools spent are left out'
    """
    if measure not in ("cost_usd", "cost_per_item_usd"):
        return
    listed = list(rows)
    attempts, priced = (sum(row[name] for row in listed) for name in ("attempts", "priced"))
    if unpriced := attempts - priced:
        have = "has" if unpriced == 1 else "have"
        told = f"{unpriced:,} of {many(attempts, 'attempt')} {have} no price"
        yield f"{told}: their slot time and what their tools spent are left out"
        if any(row["spend_usd"] for row in listed):
            yield "what tools spent, with a price or without: trimtab trends --measure spend_usd"
    yield "slots that stood idle are not in it, as trends are of attempts: trimtab cost days"


def _needs_changes(measure: str, only: bool, output: Format) -> bool:
    return only or (measure in MEASURES and output is Format.TABLE)


def lines(rows: Iterable[Mapping[str, Any]], measure: str, bucket_s: int) -> list[dict[str, Any]]:
    """Return a row per line: its values in order of time, None where nothing ran."""
    listed = list(rows)
    if not listed:
        return []
    first = min(row["bucket"] for row in listed)
    count = (max(row["bucket"] for row in listed) - first) // bucket_s + 1
    found: dict[str, dict[str, Any]] = {}
    for row in listed:
        line: dict[str, Any] = found.setdefault(row["line"], {
            "line": row["line"], "values": [None] * count, "attempts": 0, "failed": 0,
        })  # fmt: skip
        line["values"][(row["bucket"] - first) // bucket_s] = row[measure]
        line["attempts"] += row["attempts"]
        line["failed"] += row["failed"]
    return sorted(found.values(), key=lambda line: (-line["attempts"], line["line"]))


def narrowed(values: Sequence[float | None], most: int = WIDEST) -> list[float | None]:
    """Return at most so many values, each the mean of its neighbours.

    >>> narrowed([1.0, 3.0, None, None, 5.0], 3)
    [2.0, None, 5.0]
    """
    each = -(-len(values) // most)
    parts = [values[i : i + each] for i in range(0, len(values), each or 1)]
    known = [[v for v in part if v is not None] for part in parts]
    return [fmean(part) if part else None for part in known]


def _name(row: Row) -> str:
    """The name of a line; attempts may have no worker, experiment or label."""
    return str(row["line"] or "(none)")


def _lines(measure: str) -> Columns:
    def whole(line: Row) -> str:
        known = [v for v in line["values"] if v is not None]
        if not known:
            return ""
        return said(measure, sum(known) if measure in ADDED else median(known))

    def last(line: Row) -> str:
        known = [v for v in line["values"] if v is not None]
        return said(measure, known[-1]) if known else ""

    return {
        "line": _name, "over time": lambda line: spark(narrowed(line["values"])), "last": last,
        "in all" if measure in ADDED else "usual": whole,
        "attempts": lambda line: f"{line['attempts']:,}",
        "failed": lambda line: f"{line['failed']:,}",
    }  # fmt: skip


def _buckets(measure: str) -> Columns:
    return {
        "from": lambda row: local(row["bucket"]), "line": _name,
        measure: lambda row: said(measure, row[measure]),
        "attempts": lambda row: f"{row['attempts']:,}",
        "failed": lambda row: f"{row['failed']:,}",
        "p50": lambda row: span(row["total_p50_s"]), "p95": lambda row: span(row["total_p95_s"]),
        "p99": lambda row: span(row["total_p99_s"]), "cost": lambda row: dollars(row["cost_usd"]),
    }  # fmt: skip


def _changes(measure: str) -> Columns:
    return {
        "since": lambda c: local(c["since"]), "line": "line",
        "change": lambda c: f"{c['factor']:.2f}×",
        "from": lambda c: said(measure, c["before"]), "to": lambda c: said(measure, c["after"]),
        "just before": lambda c: c["cause"] or "nothing that is recorded",
        "page": "cause_page",
    }  # fmt: skip


def _sentence(change: Mapping[str, Any]) -> str:
    measure = change["measure"]
    levels = f"{said(measure, change['before'])} to {said(measure, change['after'])}"
    cause = f", after {change['cause']} ({change['cause_page']})" if change["cause"] else ""
    return f"{change['line']}: {levels} since {local(change['since'])}{cause}"


def said(measure: str, value: float | None) -> str:
    """Say a figure in its unit: dollars, seconds, or a number."""
    if value is None:
        return ""
    if measure.endswith("_usd"):
        return dollars(value)
    if measure.endswith("_per_s"):
        return f"{value:.4g}/s"
    return span(value) if measure.endswith("_s") else f"{value:,.0f}"
