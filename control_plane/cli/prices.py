"""``trimtab config prices``: what hardware costs here, and whether a catalogue is well."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from control_plane.cli.here import here
from control_plane.cli.output import Format, Output, Row, emit_rows, say
from control_plane.clock import wall

app = typer.Typer(no_args_is_help=True, help="See and check what hardware costs.")


@app.command()
def check(file: Annotated[Path, typer.Argument(exists=True, dir_okay=False)]) -> None:
    """Check a hardware catalogue: every fault at once, with line and column."""
    from runtime.engine.prices import prices_of

    prices = prices_of(file.read_bytes(), str(file))
    unpriced = [c.name for c in prices.classes if prices.usd_per_hour(c.name, wall()) is None]
    say(f"{file} is well; classes: {len(prices.classes)}, prices: {len(prices.prices)}")
    if unpriced:
        say(f"no price today, so that cost is unknown there: {', '.join(unpriced)}")
    if prices.example:
        say("it says of itself that it is an example; leave `example` out for your own prices")


@app.command()
def show(ctx: typer.Context, output: Output = Format.TABLE) -> None:
    """Show every dated price in force here; those that ship are marked as examples."""
    from runtime.engine.prices import load_prices

    prices = load_prices(here(ctx).folder.root)
    classes = {c.name: c for c in prices.classes}
    today = {name: prices.in_force(name, wall()) for name in classes}
    rows: list[Row] = [
        {"class": p.hardware, "usd_per_hour": p.usd_per_hour, "from": p.since.isoformat(),
         "until": p.until.isoformat() if p.until else None,
         "hours": dict(p.hours), "zone": p.zone,
         "today": p == today[p.hardware], "example": prices.example,
         "spot": classes[p.hardware].spot, "region": classes[p.hardware].region,
         "cpus": classes[p.hardware].cpus, "memory_gib": classes[p.hardware].memory_gib,
         "accelerator": classes[p.hardware].accelerator, "source": prices.source}
        for p in prices.prices
    ]  # fmt: skip
    emit_rows(rows, output, {
        "class": "class", "usd/h": lambda r: f"{r['usd_per_hour']:g}", "from": "from",
        "until": lambda r: r["until"] or "",
        "hours": lambda r: ", ".join(f"{h}: {usd:g}" for h, usd in r["hours"].items()),
        "region": "region",
        "spot": lambda r: "spot" if r["spot"] else "",
        "about": lambda r: "an EXAMPLE, not your price" if r["example"] else "",
    }, empty="no class has a price: every cost is unknown")  # fmt: skip
