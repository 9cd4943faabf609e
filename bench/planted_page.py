"""The tables of ``docs/reference/planted-truths.md``, from ``bench/results/planted.json``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, TypeAlias

Json: TypeAlias = Any


def page(told: Json) -> Iterator[str]:
    """Yield the lines of the tables, of the parts that were measured."""
    yield from _runtime(told.get("on_the_runtime"))
    yield from _trials(told.get("trials"))
    yield from _nights(told.get("nights"))
    yield from _histories(told.get("planted_histories"))


def _runtime(told: Json) -> Iterator[str]:
    if not told:
        return
    yield f"**On the runtime**: {_came_about(told)}, {told['cycles']} cycles."
    yield ""
    yield "| playbook | what is true | answer | worth, best | |"
    yield "|---|---|---|---|---|"
    for row in told["books"]:
        answer = row["said"] if row["value"] is None else f"{row['said']}: {_value(row['value'])}"
        worth = f"{row['worth']:.2f}, {row['best']:.2f}" if row["changes"] else "–"
        yield f"| `{row['name']}` | {row['promise']} | {answer} | {worth} | {_mark(row)} |"
    yield ""


def _histories(told: Json) -> Iterator[str]:
    if not told:
        return
    yield "**Planted histories** (generated attempts, not runs; their hours and days are labels):"
    yield ""
    yield "| truth | what is true | seeds | right | asked | abstained | wrong | |"
    yield "|---|---|---|---|---|---|---|---|"
    for row in told:
        counts = " | ".join(str(row[name]) for name in ("right", "asked", "abstained", "wrong"))
        yield f"| {row['name']} | {row['promise']} | {row['seeds']} | {counts} | {_mark(row)} |"


def _trials(told: Json) -> Iterator[str]:
    if not told:
        return
    yield f"**Trials of every knob**: {_came_about(told)}."
    yield ""
    yield "| knob | change | by | verdict | measured (95%) | true | holds | foretold (90%) | |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for row in told["rows"]:
        by = "the optimizer" if row["good"] else "hand"
        if "truth" not in row:
            why = row["why"].replace("|", "/")
            yield f"| `{row['knob']}` | – | {by} | {row['state']}: {why} | | | | | **missed** |"
            continue
        change = f"{_value(row['from'])} → {_value(row['to'])}"
        foretold, ended = row["predicted"] or {}, row["state"].replace("_", " ")
        yield (
            f"| `{row['knob']}` | {change} | {by} | {ended}: {row['why']} "
            f"| {_share(row['measured'])} ({_span(row['interval'])}) | {_share(row['truth'])} "
            f"| {_HOLDS[row['holds']]} | {_span([foretold.get('lower'), foretold.get('upper')])} "
            f"| {_mark(row)} |"
        )
    yield ""


def _nights(told: Json) -> Iterator[str]:
    if not told:
        return
    yield f"**Nights and days** (under `faketime`): {_came_about(told)}."
    yield ""
    yield "| playbook | what is true | seems to take | answer | |"
    yield "|---|---|---|---|---|"
    for row in told["rows"]:
        answer = row["said"] if row["value"] is None else f"{row['said']}: {_value(row['value'])}"
        seems = f"{row['naive']:.2f}"
        yield f"| `{row['name']}` | {row['promise']} | {seems} | {answer} | {_mark(row)} |"
    yield ""


def _came_about(told: Json) -> str:
    """Say how rows came about: in one play, or in several of which each had its own code."""
    plays = told.get("plays", 1)
    how = "in one play" if plays == 1 else f"pieced together from {plays} plays, not of one state"
    load = f", a load of {told['load']} by the end" if "load" in told else ""
    took = told["seconds"]
    spent = f"{took} seconds" if took < 100 else f"{round(took / 60)} minutes"
    return f"{told['runs']} runs, {spent}, {how}{load}"


_HOLDS: Final = {True: "yes", False: "no", None: "–"}


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:+.0%}"


def _span(ends: Json) -> str:
    low, high = ends or (None, None)
    return "–" if low is None and high is None else f"{_share(low)} to {_share(high)}"


def _value(value: Json) -> str:
    return ", ".join(str(one) for one in value) if isinstance(value, list) else str(value)


def _mark(row: Json) -> str:
    return "" if row["ok"] else "**missed**"
