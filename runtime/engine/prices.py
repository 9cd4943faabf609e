"""Prices: what an hour of a hardware class costs, as the user's own dated file says.

The file is ``hardware.yaml`` in the data folder; without one the example that ships with
Trimtab is used, and says of itself that it is an example. A class without a price that
applies today has none: cost is then unknown, never zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from runtime.engine.hardware import Hardware


class BadCatalogue(Exception):
    """The hardware catalogue cannot be read; the message says which entry and why."""


@dataclass(frozen=True, slots=True)
class Price:
    """A price from a day on, up to but without another."""

    hardware: str
    usd_per_hour: float
    since: date
    until: date | None = None


@dataclass(frozen=True, slots=True)
class Prices:
    """Every price known. ``example`` is true for the one that ships."""

    prices: tuple[Price, ...]
    example: bool
    source: str
    hardware: Hardware

    def usd_per_hour(self, hardware: str, at: float) -> float | None:
        """The price of a class at a time (seconds since the epoch), or None."""
        day = datetime.fromtimestamp(at, UTC).date()
        for price in self.prices:
            if price.hardware != hardware or price.since > day:
                continue
            if price.until is None or day < price.until:
                return price.usd_per_hour
        return None


def load_prices(folder: Path) -> Prices:
    """Read the user's catalogue in ``folder``, or the example.

    Raises:
        BadCatalogue: an entry is malformed.
    """
    own = folder / "hardware.yaml"
    if own.exists():
        return _parse(own.read_text(encoding="utf-8"), str(own))
    text = files("runtime.engine").joinpath("hardware.example.yaml").read_text(encoding="utf-8")
    return _parse(text, "example")


def _parse(text: str, source: str) -> Prices:
    data = YAML(typ="safe").load(text) or {}
    rows = data.get("hardware")
    if not isinstance(rows, list):
        raise BadCatalogue(f"{source}: needs a list under 'hardware'")
    places = [f"{source}: hardware[{i}]" for i in range(len(rows))]
    prices = tuple(p for row, where in zip(rows, places, strict=True) for p in _row(row, where))
    slots = {str(r["class"]): _slots(r, where) for r, where in zip(rows, places, strict=True)}
    hardware = Hardware(slots, "hardware.yaml")
    return Prices(prices, bool(data.get("example", False)), source, hardware)


def _slots(row: Any, where: str) -> int | None:
    slots = row.get("slots")
    if slots is None or (isinstance(slots, int) and not isinstance(slots, bool) and slots >= 0):
        return slots
    raise BadCatalogue(f"{where}: slots is a whole number from 0, not {slots!r}")


def _row(row: Any, where: str) -> list[Price]:
    try:
        name = str(row["class"])
        return [
            Price(name, float(p["usd_per_hour"]), _day(p["from"]), _day(p.get("until")) or None)
            for p in row.get("prices", ())
        ]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BadCatalogue(f"{where}: {error!r}; see docs/reference/settings.md") from error


def _day(value: Any) -> Any:
    return date.fromisoformat(str(value)) if value is not None else None
