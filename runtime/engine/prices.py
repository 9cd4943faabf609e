"""Prices: what an hour of a hardware class costs, as the user's own dated file says.

The file is ``hardware.yaml`` in the data folder; without one the example that ships with
Trimtab is used, and says of itself that it is an example. A class without a price that
applies today has none: cost is then unknown, never zero. The price of an attempt is kept
with the attempt, so that another price changes nothing of what has happened.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Final

from runtime.engine.hardware import Hardware
from runtime.engine.price_file import BadCatalogue, HardwareClass, Price, parse

LOG: Final = logging.getLogger("trimtab.prices")
FILE: Final = "hardware.yaml"
LOOK_S: Final = 2.0
"""How often the file is looked at for changes."""


@dataclass(frozen=True, slots=True)
class Prices:
    """Every class and price known. ``example`` is true for the catalogue that ships."""

    prices: tuple[Price, ...]
    example: bool
    source: str
    hardware: Hardware
    classes: tuple[HardwareClass, ...] = ()

    def usd_per_hour(self, hardware: str, at: float) -> float | None:
        """The price of a class at a time (seconds since the epoch), or None."""
        price = self.in_force(hardware, at)
        return None if price is None else price.at(at)

    def in_force(self, hardware: str, at: float) -> Price | None:
        """The price of a class that holds on a day, whatever it is at which hour.

        One without an end holds until the next one begins.
        """
        day = datetime.fromtimestamp(at, UTC).date()
        held = [p for p in self.prices if p.hardware == hardware and p.since <= day]
        latest = max(held, key=lambda p: p.since, default=None)
        if latest is None or (latest.until is not None and latest.until <= day):
            return None
        return latest


def load_prices(folder: Path) -> Prices:
    """Read the user's catalogue in ``folder``, or the example.

    Raises:
        BadCatalogue: with every fault of the file.
    """
    own = folder / FILE
    if own.exists():
        return prices_of(own.read_bytes(), str(own))
    text = files("runtime.engine").joinpath("hardware.example.yaml").read_text(encoding="utf-8")
    return prices_of(text, "example")


def prices_of(text: str | bytes, source: str) -> Prices:
    """Return the prices that a catalogue's text says.

    Raises:
        BadCatalogue: with every fault of the text.
    """
    classes, prices, example = parse(text, source)
    hardware = Hardware({c.name: c.slots for c in classes}, FILE)
    return Prices(tuple(prices), example, source, hardware, tuple(classes))


class LivePrices:
    """The prices of a folder's file as it is now: a change holds from the next attempt on.

    A file that cannot be read leaves the prices as they were, and is said in the log.
    """

    def __init__(self, folder: Path, clock: Callable[[], float]) -> None:
        self._folder, self._clock = folder, clock
        self._seen, self._looked_at = self._stamp(), clock()
        self.now = load_prices(folder)

    def changed(self) -> bool:
        """Look at the file, not oftener than every `LOOK_S`; True when there are new prices."""
        at = self._clock()
        if 0 <= at - self._looked_at < LOOK_S:
            return False
        self._looked_at, before = at, self._seen
        self._seen = self._stamp()
        if self._seen == before:
            return False
        try:
            self.now = load_prices(self._folder)
        except (BadCatalogue, OSError) as fault:
            LOG.error("the prices stay as they were: %s", fault)
            return False
        return True

    def _stamp(self) -> tuple[int, int] | None:
        try:
            told = (self._folder / FILE).stat()
        except OSError:
            return None
        return told.st_mtime_ns, told.st_size


__all__ = [
    "BadCatalogue", "HardwareClass", "LivePrices", "Price", "Prices", "load_prices", "prices_of",
]  # fmt: skip
