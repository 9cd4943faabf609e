"""The tables of ``docs/reference/planted-truths.md``, from ``bench/results/planted.json``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

Json: TypeAlias = Any


def page(told: Json) -> Iterator[str]:
    """Yield the lines of both tables."""
    real = told["on_the_runtime"]
    minutes = round(told["seconds"] / 60)
    yield f"**On the runtime**: {real['runs']} runs, {real['cycles']} cycles, {minutes} minutes"
    yield f"in all, {told['machine']['cores']} cores under a load of {told['machine']['load'][0]}."
    yield ""
    yield "| playbook | what is true | answer | worth, best | |"
    yield "|---|---|---|---|---|"
    for row in real["books"]:
        answer = row["said"] if row["value"] is None else f"{row['said']}: {_value(row['value'])}"
        worth = f"{row['worth']:.2f}, {row['best']:.2f}" if row["changes"] else "–"
        yield f"| `{row['name']}` | {row['promise']} | {answer} | {worth} | {_mark(row)} |"
    yield ""
    yield "**Planted histories** (generated attempts, not runs; their hours and days are labels):"
    yield ""
    yield "| truth | what is true | seeds | right | asked | abstained | wrong | |"
    yield "|---|---|---|---|---|---|---|---|"
    for row in told["planted_histories"]:
        counts = " | ".join(str(row[name]) for name in ("right", "asked", "abstained", "wrong"))
        yield f"| {row['name']} | {row['promise']} | {row['seeds']} | {counts} | {_mark(row)} |"


def _value(value: Json) -> str:
    return ", ".join(str(one) for one in value) if isinstance(value, list) else str(value)


def _mark(row: Json) -> str:
    return "" if row["ok"] else "**missed**"
