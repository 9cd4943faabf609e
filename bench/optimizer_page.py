"""The tables of the page of the optimizer's results, from ``bench/results/optimizer.json``."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from bench.optimizer_targets import OURS, SIMPLE, Met, met, searches

Told: TypeAlias = Mapping[str, Any]
Row: TypeAlias = Mapping[str, Any]

TITLES: Final = {
    "1": "Scout, time", "2": "Scout, cost", "3": "IBM, cost and time", "4": "gavel and pollux",
    "5": "llm_inference_bench", "6": "net regret", "7": "harm before the trial",
    "8": "after the trial", "9": "calibration", "11": "batch sizes", "12": "retries",
    "13": "ms a proposal",
}  # fmt: skip


def targets(told: Told) -> Iterator[str]:
    """Return the table of targets beside figures."""
    found = met(told["rows"])
    counts = {v: sum(one.verdict == v for one in found) for v in ("reached", "missed")}
    yield f"{counts['reached']} figures reach their target, {counts['missed']} miss it,"
    yield f"{len(found) - sum(counts.values())} have nothing to count or are not measured yet.\n"
    yield "| target | data set, objective | metric | target | measured | |"
    yield "|---|---|---|---:|---:|---|"
    for one in found:
        yield _target(one)


def _target(one: Met) -> str:
    target = one.target
    same = ", same program in history" if target.same_family else ""
    value = "–" if one.value is None else _said(one.value)
    verdict = f"**{one.verdict}**" if one.verdict == "missed" else one.verdict
    return (
        f"| {target.number} {TITLES[target.number]} | {target.dataset} {target.objective}{same} "
        f"| {target.metric} | {target.words} | {value} | {verdict} |"
    )


def never_worse(told: Told) -> Iterator[str]:
    """Return ours beside the best simple baseline of each data set and objective."""
    rows = searches(told["rows"])
    yield "| data set, objective | ours | best simple baseline | ours less its, 95% interval | |"
    yield "|---|---:|---|---|---|"
    for (dataset, objective), group in _groups(rows).items():
        ours = next((r for r in group if r["method"] == OURS), None)
        simple = [r for r in group if r["method"] in SIMPLE and "ours_less" in r]
        if ours is None or not simple:
            continue
        best = min(simple, key=lambda r: r["net_regret"])
        low, high = best["ours_less"]
        said = "never worse" if best["not_worse"] else "**worse**"
        fewer = (
            f", {best['tasks']} of {ours['tasks']} tasks" if best["tasks"] < ours["tasks"] else ""
        )
        yield (
            f"| {dataset} {objective} | {ours['net_regret']:.1f}% | {best['method']} "
            f"{best['net_regret']:.1f}%{fewer} | {low:+.1f} to {high:+.1f} points | {said} |"
        )
    yield ""
    yield from _unmeasured(rows)
    yield from _ruled(rows)
    yield from _geometric(rows)


def _ruled(rows: Sequence[Row]) -> Iterator[str]:
    """Show beside ours the best simple baseline that had known when to stop."""
    yield "Ours stops by itself, and each baseline above after ten trials. Had each stopped by the"
    yield "simple rule that suits it best, which only shows afterwards, the best one would be:\n"
    yield "| data set, objective | ours | best simple baseline, its rule | ours less its | |"
    yield "|---|---:|---|---|---|"
    for (dataset, objective), group in _groups(rows).items():
        ours = next((r for r in group if r["method"] == OURS), None)
        simple = [r for r in group if r["method"] in SIMPLE and "ours_less_rule" in r]
        if ours is None or not simple:
            continue
        best = min(simple, key=lambda r: r["net_regret_rule"])
        low, high = best["ours_less_rule"]
        said = "never worse" if best["not_worse_rule"] else "**worse**"
        yield (
            f"| {dataset} {objective} | {ours['net_regret']:.1f}% | {best['method']}, "
            f"{best['rule']} {best['net_regret_rule']:.1f}% | {low:+.1f} to {high:+.1f} points "
            f"| {said} |"
        )
    yield ""


def _unmeasured(rows: Sequence[Row]) -> Iterator[str]:
    """Say which simple baselines a line does not know of: against those nothing is claimed."""
    for method in SIMPLE:
        lines = _groups(rows).items()
        without = [
            " ".join(key) for key, group in lines if all(r["method"] != method for r in group)
        ]
        if without:
            yield f"Not measured of {method}, and so not compared: {', '.join(without)}.\n"


def _geometric(rows: Sequence[Row]) -> Iterator[str]:
    yield "Geometric mean of net regret over the lines that both have:\n"
    yield "| method | lines | its | ours |\n|---|---:|---:|---:|"
    mine = {(r["dataset"], r["objective"]): r["net_regret"] for r in rows if r["method"] == OURS}
    for method in dict.fromkeys(r["method"] for r in rows if r["method"] != OURS):
        theirs = {
            (r["dataset"], r["objective"]): r["net_regret"] for r in rows if r["method"] == method
        }
        both = [key for key in theirs if key in mine]
        if both:
            its, own = (_mean([max(of[k], 0.1) for k in both]) for of in (theirs, mine))
            yield f"| {method} | {len(both)} | {its:.1f}% | {own:.1f}% |"


ROUNDING: Final = 1e-9
"""What is nearer to nothing than this is the arithmetic's, and no figure."""


def _mean(values: Sequence[float]) -> float:
    return math.exp(sum(math.log(value) for value in values) / len(values))


COLUMNS: Final = {
    "tasks": "tasks", "seeds": "seeds", "k5": "k5", "k5_p90": "k5 p90", "k1": "k1", "s3": "S3 %",
    "s6": "S6 %", "s12": "S12 %", "net_regret": "net regret %", "net_regret_rule": "best rule %",
    "trials": "trials", "failed_trials": "failed", "ms": "ms",
}  # fmt: skip


def search(told: Told) -> Iterator[str]:
    """Return a table of all methods for each data set and objective."""
    for (dataset, objective), rows in _groups(searches(told["rows"])).items():
        yield from _table(f"{dataset}, {objective}", rows)


def expected(told: Told) -> Iterator[str]:
    """Return what ours expected of a trial, and what came of it."""
    rows = [r for r in searches(told["rows"]) if r["method"] == OURS and "saves" in r]
    if not rows:
        yield "Not measured yet."
        return
    yield "| data set, objective | expected to save, % | saved, % | expected price | paid |"
    yield "|---|---:|---:|---:|---:|"
    for row in rows:
        cells = " | ".join(_said(row[name]) for name in ("saves", "saved", "price", "paid"))
        yield f"| {row['dataset']} {row['objective']} | {cells} |"


def harder(told: Told) -> Iterator[str]:
    """Return the same with noise, and with the same program in history."""
    rows = [r for r in told["rows"] if r.get("noise") or r.get("same_family")]
    yield "| data set, objective | method | told with | " + " | ".join(COLUMNS.values()) + " |"
    yield "|---|---|---|" + "---:|" * len(COLUMNS)
    for row in rows:
        names = {"noise": "noise", "same_family": "the same program"}
        given = " and ".join(said for key, said in names.items() if row.get(key))
        name = f"{row['dataset']} {row['objective']} | {row['method']}"
        yield f"| {name} | {given} | {_cells(row)} |"


def _table(title: str, rows: Sequence[Row]) -> Iterator[str]:
    yield f"### {title}\n"
    yield "| method | " + " | ".join(COLUMNS.values()) + " |"
    yield "|---|" + "---:|" * len(COLUMNS)
    for row in sorted(rows, key=lambda r: r["net_regret"]):
        name = f"**{row['method']}**" if row["method"] == OURS else row["method"]
        yield f"| {name} | {_cells(row)} |"
    yield ""


def _cells(row: Row) -> str:
    return " | ".join(_said(row.get(name)) for name in COLUMNS)


def _said(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{0.0 if abs(value) < ROUNDING else value:.3g}"
    return str(value)


def others(told: Told) -> Iterator[str]:
    """Return the rows of what is no search: the gate, batch sizes, retries."""
    rows = [r for r in told["rows"] if str(r.get("kind", "")) not in ("", "search")]
    for kind in dict.fromkeys(r["kind"] for r in rows):
        mine = [r for r in rows if r["kind"] == kind]
        names = [k for k in dict.fromkeys(k for r in mine for k in r) if _shown(k, mine)]
        yield f"### {kind}\n"
        yield "| data set, objective | method | " + " | ".join(names) + " |"
        yield "|---|---|" + "---:|" * len(names)
        for r in mine:
            cells = " | ".join(_said(r.get(name)) for name in names)
            yield f"| {r['dataset']} {r['objective']} | {r['method']} | {cells} |"
        yield ""
    if not rows:
        yield "Not measured yet."


def _shown(name: str, rows: Sequence[Row]) -> bool:
    plain = all(isinstance(r.get(name), int | float | str | None) for r in rows)
    return plain and name not in ("kind", "dataset", "objective", "method", "noise", "same_family")


def evidence(told: Told) -> Iterator[str]:
    """Return what evidence takes at scale."""
    found = told.get("evidence")
    if not found:
        yield "Not measured yet."
        return
    yield f"{found['attempts']:,} attempts of one step, from ClickHouse to a proposal: target"
    yield f"{found['target_s']:g} s, measured {found['total_s']:.1f} s"
    yield f"({sum(found['cpu_s'].values()):.1f} s of processor).\n"
    yield "| part | s | processor s |\n|---|---:|---:|"
    for name, seconds in found["seconds"].items():
        yield f"| {name} | {seconds:.2f} | {found['cpu_s'][name]:.2f} |"
    load = found["machine"]["load"][0]
    yield f"\nLoad average {load} on {found['machine']['cores']} cores. Proposed:"
    yield f"{found['proposal']}."


def measured(told: Told) -> Iterator[str]:
    """Return when and on what it was measured."""
    on = told["machine"]
    yield f"Measured {on['at']} on {on['cores']} cores ({on['cpu']}), Python {on['python']}, by"
    yield f"`{told['command']}`: {told['jobs']:,} jobs, a table and a method each,"
    left = told["unfinished"]
    yield "all of them finished." if not left else f"{left:,} of them not finished and left out."
    if told.get("note"):
        yield f"\n{told['note']}"


PARTS: Final[Mapping[str, Callable[[Told], Iterator[str]]]] = {
    "targets": targets, "never_worse": never_worse, "search": search, "expected": expected,
    "harder": harder, "others": others, "evidence": evidence, "measured": measured,
}  # fmt: skip


def _groups(rows: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        found.setdefault((row["dataset"], row["objective"]), []).append(row)
    return found
