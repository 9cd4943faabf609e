"""What the demo shows: acts, bars, proposals as a reviewer reads them, and the end's table.

On a terminal the bars move; elsewhere each piece of work is one line when it is done.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

Json: TypeAlias = Any

GOOD_ENDS: Final = ("kept", "learned")


@dataclass(slots=True)
class Bar:
    """One piece of work while it goes on."""

    _progress: Progress
    _task: Any
    note: str = ""

    def at(self, done: float, total: float | None = None) -> None:
        """Move the bar."""
        self._progress.update(self._task, completed=done, total=total)


class Screen:
    """Draws on a console."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)

    def act(self, title: str, why: str = "") -> None:
        """Begin a part of the demo."""
        self.console.print()
        self.console.rule(f"[bold]{escape(title)}", align="left", characters="─")
        if why:
            self.console.print(f"[dim]{escape(why)}")

    def say(self, text: str) -> None:
        """Say a sentence."""
        self.console.print(escape(text), soft_wrap=True)

    def warn(self, text: str) -> None:
        """Say what went wrong."""
        self.console.print(f"[bold red]{escape(text)}", soft_wrap=True)

    @contextmanager
    def work(self, title: str, total: float | None = None) -> Iterator[Bar]:
        """Show a bar while something goes on; its ``note`` is what remains of it, in a line."""
        columns = (
            TextColumn("  {task.description}"), BarColumn(bar_width=30),
            MofNCompleteColumn(), TimeElapsedColumn(),
        )  # fmt: skip
        still = not self.console.is_terminal
        with Progress(*columns, console=self.console, transient=True, disable=still) as progress:
            bar = Bar(progress, progress.add_task(title, total=total))
            yield bar
        self.console.print(f"  {escape(title)}  [dim]{escape(bar.note)}", soft_wrap=True)

    def proposal(self, view: Mapping[str, Json]) -> None:
        """Show a proposal with its evidence, as somebody who has to decide reads it."""
        grid = Table.grid(padding=(0, 2))
        for name, text in proposal_lines(view):
            grid.add_row(f"[dim]{escape(name)}", escape(text))
        title = f"{view['kind']} {view['id']}"
        self.console.print(Panel(grid, title=escape(title), title_align="left", width=98))

    def table(self, report: Mapping[str, Json]) -> None:
        """Show before and after, and what became of each proposal."""
        self.console.print()
        self.console.print(sides_table(report))
        self.console.print(proposals_table(report["proposals"]))


def proposal_lines(view: Mapping[str, Json]) -> Iterator[tuple[str, str]]:
    """Yield what a reviewer has to see, by name."""
    yield "change", "; ".join(diff_text(line) for line in view["diff"])
    yield "where", f"{view['playbook']} · {view['step']} · {view['knob_class']}"
    yield "objective", f"less {view['objective']} per item"
    predicted = view.get("predicted", {}).get(view["objective"])
    if predicted:
        low, middle, high = (predicted[name] for name in ("lower", "median", "upper"))
        yield "predicted", f"{middle:+.0%} measured, 90% interval {low:+.0%} to {high:+.0%}"
    else:
        yield "predicted", "nothing: history cannot say, so this is tried in order to learn"
    yield from evidence_lines(view.get("evidence", {}))
    yield "proposed by", view["author"]
    for number, stage in enumerate(view.get("plan", []), 1):
        yield f"plan {number}", stage
    for check in view.get("checks", []):
        yield "policy", check["text"]
    if view.get("note"):
        yield "note", view["note"]


def evidence_lines(evidence: Mapping[str, Json]) -> Iterator[tuple[str, str]]:
    """Yield the evidence as far as one line each can tell it."""
    for name, value in evidence.items():
        if isinstance(value, str | int | float | bool):
            yield (
                name.replace("_", " "),
                f"{value:.3g}" if isinstance(value, float) else str(value),
            )


def diff_text(line: Mapping[str, Json]) -> str:
    """Return one line of a diff in words.

    >>> diff_text({"knob": "each.batch", "from": 25, "to": 50})
    'each.batch 25 → 50'
    >>> diff_text({"knob": "each.batch", "from": 25, "values": [50, 100]})
    'each.batch 25 → 50, 100'
    """
    values = line["values"] if "values" in line else [line["to"]]
    return f"{line['knob']} {line['from']} → {', '.join(map(str, values))}"


def sides_table(report: Mapping[str, Json]) -> Table:
    """Return the table of before and after."""
    table = Table("", "before", "after", "after / before", box=None, pad_edge=False)
    before, after = report["before"] or {}, report["after"] or {}
    config = {side: report["config"][side] or {} for side in ("before", "after")}
    for knob in ("batch", "in_flight"):
        table.add_row(
            knob, str(config["before"].get(knob, "–")), str(config["after"].get(knob, "–"))
        )
    walls = (before.get("wall_s_median"), after.get("wall_s_median"))
    costs = (before.get("cost_per_1000_median"), after.get("cost_per_1000_median"))
    table.add_row("seconds a run", *_compared(*walls))
    table.add_row("USD per million patients", *_compared(*(c and 1000 * c for c in costs)))
    table.add_row("runs", str(before.get("runs", "–")), str(after.get("runs", "–")))
    return table


def _compared(before: float | None, after: float | None) -> tuple[str, str, str]:
    shown = [f"{v:.3g}" if v is not None else "–" for v in (before, after)]
    ratio = f"{after / before:.2f}" if before and after is not None else "–"
    return shown[0], shown[1], ratio


def proposals_table(proposals: Sequence[Mapping[str, Json]]) -> Table:
    """Return what became of each proposal."""
    table = Table(
        "proposal", "change", "end", "predicted", "measured", "why", box=None, pad_edge=False
    )
    for p in proposals:
        colour = "green" if p["state"] in GOOD_ENDS else "yellow"
        table.add_row(
            p["id"], "; ".join(diff_text(line) for line in p["diff"]),
            f"[{colour}]{p['state']}", _interval(p["predicted"]),
            f"{p['realised']:+.0%}" if p["realised"] is not None else "–", p["reason"],
        )  # fmt: skip
    return table


def _interval(predicted: Mapping[str, float] | None) -> str:
    if not predicted:
        return "–"
    return f"{predicted['lower']:+.0%} to {predicted['upper']:+.0%}"
