"""What attempts add up to, and that it adds up.

Materialized views feed the sums as attempts come in, under the same tokens. A crash can still
part them: ClickHouse may have lost a block of the one and not of the other. So at each start
both sides are counted by the day, and the days that differ are made again from the attempts.
A day whose attempts have begun to leave is not touched: its sums are all that is left of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Sums:
    """A table of sums: which day a row is of, what it counts, and of which attempts."""

    table: str
    day: str
    counted: str
    of: str = "1"
    follows: tuple[str, ...] = ()
    """Tables that are made of it as it is written."""


ALL: Final = (
    Sums("step_hour", "toDate(hour)", "attempts", follows=("step_day",)),
    Sums("cause_hour", "toDate(hour)", "failures", "fingerprint != ''"),
    Sums("price", "day", "attempts", "price_usd_hour IS NOT NULL"),
    Sums("cost_day", "day", "attempts"),
)
TABLES: Final = tuple(name for s in ALL for name in (s.table, *s.follows))
VIEWS: Final = (
    *(f"{name}_feed" for name in TABLES), *(f"{s.table}_of_attempt" for s in ALL), "prices",
)  # fmt: skip


def mend(client: Any, keep_days: int | None = None) -> dict[str, list[date]]:
    """Make again the days that do not add up to their attempts; return them by table."""
    made = {s.table: _wrong(client, s, keep_days) for s in ALL}
    for s in ALL:
        if made[s.table]:
            _again(client, s, made[s.table])
    return {table: days for table, days in made.items() if days}


def again(client: Any, table: str) -> None:
    """Make a table again from the attempts, for the days on which it has all of them.

    For sums that count in a new way. The other days are mended, or all that is left is theirs.
    """
    (s,) = (s for s in ALL if s.table == table)
    counts = (
        f"SELECT toDate(at) AS day, count() AS n FROM attempt WHERE {s.of} GROUP BY day",  # noqa: S608
        f"SELECT {s.day} AS day, sum({s.counted}) AS n FROM {s.table} GROUP BY day",  # noqa: S608
    )
    sql = f"SELECT day FROM ({counts[0]} INTERSECT {counts[1]}) ORDER BY day"  # noqa: S608
    if days := [row[0] for row in client.query(sql).result_rows]:
        _again(client, s, days)


def _wrong(client: Any, s: Sums, keep_days: int | None) -> list[date]:
    """Return the days on which a table, or one that follows it, counts other than there are."""
    sides = [("toDate(at)", "count()", f"attempt WHERE {s.of}")]
    sides += [(day, f"sum({s.counted})", table) for table, day in _places(s)]
    counts = " UNION ALL ".join(
        f"SELECT {day} AS day, {side} AS side, {n} AS n FROM {table} GROUP BY day"  # noqa: S608
        for side, (day, n, table) in enumerate(sides)
    )
    since = "" if keep_days is None else f" WHERE day > today() - {keep_days}"
    differ = " OR ".join(
        f"sumIf(n, side = 0) != sumIf(n, side = {k})" for k in range(1, len(sides))
    )
    sql = f"SELECT day FROM ({counts}){since} GROUP BY day HAVING {differ} ORDER BY day"  # noqa: S608
    return [row[0] for row in client.query(sql).result_rows]


def _again(client: Any, s: Sums, days: Sequence[date]) -> None:
    listed = ", ".join(f"'{day.isoformat()}'" for day in days)
    for table, day in _places(s):
        client.command(
            f"DELETE FROM {table} WHERE {day} IN ({listed})"  # noqa: S608
            " SETTINGS lightweight_deletes_sync = 2"
        )
    # What is inserted may be, byte for byte, what was there before: it is no repetition.
    client.command(
        f"INSERT INTO {s.table} SELECT * FROM {s.table}_of_attempt WHERE {s.day} IN ({listed})"  # noqa: S608
        " SETTINGS insert_deduplicate = 0"
    )


def _places(s: Sums) -> list[tuple[str, str]]:
    return [(s.table, s.day), *((name, "day") for name in s.follows)]
