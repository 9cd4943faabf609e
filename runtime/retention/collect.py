"""The collector: what no event within retention points at goes, and nothing else does.

It marks from the journal, then sweeps what is unmarked and older than the grace. Three
things keep it safe beside writers and crashes. A file is younger than the grace until the
event that names it is long written, and never older than the attempt that is to report
it (``held_since``). Whoever brings an old reference into a new event pins it first, which
makes it young again. And every removal stands alone: after a crash the next pass marks
and sweeps as if there had been none.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Protocol

from runtime.data.folder import DataFolder
from runtime.data.objects import inside
from runtime.data.store import Missing, Store
from runtime.journal.port import RunRow
from runtime.retention.marks import Ended, Marks, Rows
from runtime.run.events import ProductPublished, Recorded

DAY_S: Final = 86_400.0


class Reader(Rows, Protocol):
    """A journal, as the collector reads it."""

    def run(self, run: str) -> RunRow | None:
        """Return one run's line, or None."""
        ...

    def of_type(self, type_: str) -> Iterator[Recorded]:
        """Yield every event of a type, oldest first."""
        ...


@dataclass(frozen=True, slots=True)
class Retention:
    """For how many days after its run ended a thing is kept; 0 is for ever."""

    values_days: float = 90.0
    results_days: float = 730.0
    scratch_days: float = 30.0
    products_days: float = 730.0
    grace_s: float = 3600.0

    def ended(self, now: float) -> Ended:
        """The ends that still hold something, as times."""
        values = _before(now, self.values_days)
        return Ended(values, min(_before(now, self.results_days), values))


@dataclass(frozen=True, slots=True)
class Collected:
    """What a pass found and removed, or would have."""

    dry_run: bool = False
    events_read: int = 0
    live: int = 0
    objects: int = 0
    object_bytes: int = 0
    kept: int = 0
    kept_bytes: int = 0
    young: int = 0
    half_written: int = 0
    scratch_folders: int = 0
    product_versions: int = 0
    missing: list[str] = field(default_factory=list)
    """Live objects that are not in the store: there should be none."""


class Collector:
    """Collects in one data folder. For one thread at a time; opens its own file of marks."""

    def __init__(
        self, folder: DataFolder, store: Store, journal: Reader, retention: Retention
    ) -> None:
        self._folder, self._store, self._journal = folder, store, journal
        self._retention = retention

    def collect(
        self, now: float, *, held_since: float = math.inf, dry_run: bool = False
    ) -> Collected:
        """Make one pass. What was written since ``held_since`` may still be reported."""
        before = min(now, held_since) - self._retention.grace_s
        marks = Marks(self._folder.marks)
        try:
            return self._pass(marks, now, before, dry_run)
        finally:
            marks.close()

    def _pass(self, marks: Marks, now: float, before: float, dry_run: bool) -> Collected:
        ended = self._retention.ended(now)
        read = marks.read(self._journal)
        marks.choose(ended)
        missing = self._look_inside(marks)
        told = Collected(dry_run, events_read=read, live=marks.live, missing=missing)
        told = self._objects(marks, before, told)
        told = replace(
            told,
            scratch_folders=self._remove(self._scratch(now, before), dry_run),
            product_versions=self._remove(self._versions(now, before), dry_run),
        )
        if dry_run:
            return told
        marks.forget(ended)
        return replace(told, half_written=self._store.sweep(before))

    def _look_inside(self, marks: Marks) -> list[str]:
        """Read the live JSON objects for those inside them, until there are no more."""
        missing: list[str] = []
        while unread := [name for name in marks.unread() if name not in missing]:
            for name in unread:
                try:
                    marks.contain(name, inside(self._store.path(name)))
                except Missing:
                    missing.append(name)
        return missing

    def _objects(self, marks: Marks, before: float, told: Collected) -> Collected:
        gone = gone_bytes = kept = kept_bytes = young = 0
        for stored in self._store.list():
            held = marks.holds(stored.name)
            if not held and stored.at < before and self._release(stored.name, before, told):
                gone, gone_bytes = gone + 1, gone_bytes + stored.bytes
            else:
                kept, kept_bytes = kept + 1, kept_bytes + stored.bytes
                young += not held
        return replace(
            told, objects=gone, object_bytes=gone_bytes, kept=kept, kept_bytes=kept_bytes,
            young=young,
        )  # fmt: skip

    def _release(self, name: str, before: float, told: Collected) -> bool:
        return told.dry_run or self._store.release(name, before)

    def _scratch(self, now: float, before: float) -> Iterator[Path]:
        """Scratch folders of runs that ended long ago, or that never were."""
        ends = _before(now, self._retention.scratch_days)
        for path in self._folder.scratch.iterdir():
            row = self._journal.run(path.name)
            if row is None:
                if path.stat().st_mtime < before:
                    yield path
            elif row.ended_at is not None and row.ended_at <= ends:
                yield path

    def _versions(self, now: float, before: float) -> Iterator[Path]:
        """Files of products that no event names, and old versions; never the newest."""
        ends = _before(now, self._retention.products_days)
        published: dict[str, tuple[str, float]] = {}
        newest: dict[str, str] = {}
        for recorded in self._journal.of_type(ProductPublished.TYPE):
            event = recorded.event
            if isinstance(event, ProductPublished):
                newest[event.product] = event.location
                published[event.location] = (event.product, recorded.at)
        root = self._folder.products
        for path in root.glob("*/[!.]*"):
            product, at = published.get(f"products/{path.relative_to(root)}", ("", -math.inf))
            if newest.get(product, "") == f"products/{path.relative_to(root)}":
                continue
            if (product and at <= ends) or (not product and path.stat().st_mtime < before):
                yield path

    @staticmethod
    def _remove(paths: Iterator[Path], dry_run: bool) -> int:
        count = 0
        for path in list(paths):
            count += 1
            if dry_run:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        return count


def _before(now: float, days: float) -> float:
    return now - days * DAY_S if days else -math.inf
