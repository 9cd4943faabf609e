"""The schema's way forward: numbered files, each taken once, in order, and known by its hash.

A step that was taken is recorded in the table ``migration`` with the hash of its statements
and the time. Its file never changes again: a database that took other statements under that
name is refused, since nobody knows what it is. Comments in a file may be reworded. A step may
be cut short by a crash and is then taken again whole, so its statements bear repeating. A line
``-- fills a, b`` names tables whose rows follow from events that are already there. How long
rows are kept is no step but a setting, and is brought in line at each start.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

from runtime.record.access import RecordError

_LEDGER: Final = (
    "CREATE TABLE IF NOT EXISTS migration (name String, at DateTime('UTC') DEFAULT now())"
    " ENGINE = MergeTree ORDER BY name",
    "ALTER TABLE migration ADD COLUMN IF NOT EXISTS hash String DEFAULT ''",
    "ALTER TABLE migration MODIFY COMMENT 'which steps the schema has taken',"
    " COMMENT COLUMN name 'file of the step', COMMENT COLUMN at 'when it was taken; UTC',"
    " COMMENT COLUMN hash 'SHA-256 of its statements; empty: taken before hashes were kept'",
)
_READY: Final = (
    "SELECT count() FROM system.columns"
    " WHERE database = currentDatabase() AND table = 'migration' AND name = 'hash'"
)
_FILLS: Final = re.compile(r"^-- fills (.+)$", re.MULTILINE)
_TTL: Final = re.compile(r"^TTL \w+\(\w+\) \+ toIntervalDay\((\d+)\)$", re.MULTILINE)
_OLD: Final = {"step_hour": "hour", "cause_hour": "hour"}
"""Tables that tell time by another column than ``at``."""
ROWS: Final = ("event", "transition", "attempt", "run", "output")
"""The tables that ``record.keep_days`` is about."""
SUMS: Final = ("step_hour", "cause_hour")
"""The tables that ``record.keep_sums_days`` is about. Days are kept for good."""


class StrangeSchema(RecordError):
    """The database took other steps under the names that we know."""


@dataclass(frozen=True, slots=True)
class Step:
    """One file of the schema's way: its name, its statements, and the tables to fill."""

    name: str
    statements: tuple[str, ...]
    fills: tuple[str, ...] = ()

    @property
    def hash(self) -> str:
        """The hash of the statements, whatever the comments say."""
        return hashlib.sha256(";\n".join(self.statements).encode()).hexdigest()


def parse(name: str, source: str) -> Step:
    """Return the step that a file holds."""
    lines = [line for line in source.splitlines() if not line.startswith("--")]
    found = (s.strip().rstrip(";") for s in "\n".join(lines).split(";\n"))
    statements = tuple(s for s in found if s)
    named = _FILLS.search(source)
    return Step(name, statements, tuple(named[1].split(", ")) if named else ())


def steps() -> tuple[Step, ...]:
    """Return all steps that ship with us, in order."""
    folder = files("runtime.record").joinpath("migrations")
    names = sorted(f.name for f in folder.iterdir() if f.name.endswith(".sql"))
    return tuple(parse(n, folder.joinpath(n).read_text(encoding="utf-8")) for n in names)


def migrations() -> Iterator[tuple[str, list[str]]]:
    """Yield the steps' names, each with its statements."""
    yield from ((step.name, list(step.statements)) for step in steps())


class Schema:
    """The schema of one database, over a client that may change it."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def begun(self) -> bool:
        """Whether a step of it was ever finished."""
        there = self._client.command("EXISTS TABLE migration")
        return bool(there) and bool(self._client.command("SELECT count() FROM migration"))

    def taken(self) -> dict[str, str]:
        """Return the steps that were taken, each with its hash."""
        rows = self._client.query("SELECT name, max(hash) FROM migration GROUP BY name")
        return dict(rows.result_rows)

    def advance(self, fill: Callable[[Sequence[str]], None], way: Iterable[Step] = ()) -> None:
        """Take the steps that were not taken; ``fill`` makes the rows of tables from events.

        Raises:
            StrangeSchema: a step was taken with other statements.
        """
        way = tuple(way) or steps()
        for statement in () if self._client.command(_READY) else _LEDGER:
            self._client.command(statement)
        taken = self.taken()
        _agree(way, taken)
        for step in way:
            if step.name not in taken:
                for statement in step.statements:
                    self._client.command(statement)
                fill(step.fills)
            if not taken.get(step.name):
                self._note(step)

    def keep(self, rows_days: int | None, sums_days: int | None) -> None:
        """Let rows and hours older than so many days leave; None keeps them."""
        for table in (*ROWS, *SUMS):
            days = rows_days if table in ROWS else sums_days
            ddl = str(self._client.command(f"SHOW CREATE TABLE {table}")).replace("\\n", "\n")
            found = _TTL.search(ddl)
            if (int(found[1]) if found else None) == days:
                continue
            time = _OLD.get(table, "at")
            change = f"MODIFY TTL toDateTime({time}) + toIntervalDay({days})"
            self._client.command(f"ALTER TABLE {table} {change if days else 'REMOVE TTL'}")

    def _note(self, step: Step) -> None:
        self._client.insert(
            "migration", [[step.name, step.hash]], column_names=["name", "hash"],
            settings={"async_insert": 0},
        )  # fmt: skip


def _agree(way: Iterable[Step], taken: dict[str, str]) -> None:
    for step in way:
        there = taken.get(step.name)
        if there and there != step.hash:
            raise StrangeSchema(
                f"step {step.name} of the record's schema was taken with other statements "
                f"(hash {there[:12]}, this release has {step.hash[:12]}), so what the database "
                "holds is not known. Use the release that made it, or let the record be made "
                "anew: remove clickhouse/ in the data folder, or drop the tables on a server."
            )


def told(client: Any) -> str:
    """Return the whole DDL as ClickHouse tells it, tables first, without the database's name."""
    sql = (
        "SELECT name, engine LIKE '%View' AS view FROM system.tables"
        " WHERE database = currentDatabase() AND name NOT LIKE '.%' ORDER BY view, name"
    )
    name = client.command("SELECT currentDatabase()")
    tables = [row[0] for row in client.query(sql).result_rows]
    said = (client.query(f"SHOW CREATE TABLE {table}").result_rows[0][0] for table in tables)
    return ";\n\n".join(text.replace(f"{name}.", "") for text in said) + ";\n"
