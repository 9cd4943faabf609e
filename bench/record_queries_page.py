"""The tables of ``docs/reference/record-queries.md``: what each statement of the record reads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from typing import Any, Final

from runtime.record.statements import load

WAYS: Final = """## Other codecs and orders

The last {days} days of the two largest tables, copied into tables that are made in another way
(`python -m bench.record_codecs`): bytes on disk, seconds of processor time for copying and
merging, and bytes that the statements read which are asked of them. Why they are as they are
stands in [0011](../decisions/0011-the-records-order-and-codecs.md).
"""
HIDDEN: Final = re.compile(
    r"^[ │└├─]*"
    r"(Output:|Filter column:|Aggregates:|Prewhere|Skip merging|Read type|Expression|Ranges)"
)


def page(kept: dict[str, Any], codecs: dict[str, Any]) -> Iterator[str]:
    """Yield what each statement read, the sizes of the tables, and what other ways would take."""
    yield f"Asked of {kept['attempts']:,} attempts:\n"
    yield from _sizes(kept["tables"])
    yield "\n| statement | rows read | bytes read | bytes given |\n| --- | ---: | ---: | ---: |"
    asked = {name: said for name, said in kept["statements"].items() if name in load()}
    for name, told in asked.items():
        numbers = (told["rows_read"], told["bytes_read"], told["bytes_given"])
        yield f"| [`{name}`](#{name}) | " + " | ".join(f"{n:,}" for n in numbers) + " |"
    if new := [f"`{name}`" for name in load() if name not in asked]:
        yield f"\nNot measured yet: {', '.join(new)}."
    yield ""
    yield from _ways(codecs)
    for name, told in asked.items():
        yield ""
        yield from _query(name, load()[name], told)


def _sizes(tables: dict[str, Any]) -> Iterator[str]:
    yield "| table | rows | bytes on disk |\n| --- | ---: | ---: |"
    for name, size in tables.items():
        yield f"| `{name}` | {size['rows']:,} | {size['bytes']:,} |"


def _query(name: str, said: Any, told: dict[str, Any]) -> Iterator[str]:
    given = ", ".join(f"`{key}` = `{value}`" for key, value in told["parameters"].items())
    yield f"## {name}\n\n{said.purpose[0].upper()}{said.purpose[1:]}"
    yield f"Asked with {given or 'nothing'}: {told['rows_read']:,} rows and"
    yield f"{told['bytes_read']:,} bytes read, {told['bytes_given']:,} given."
    yield f"\n```sql\n{said.text}\n```\n\n```text"
    for line in told["explain"]:
        if not HIDDEN.match(line) and line.strip():
            yield line if len(line) <= 120 else line[:119] + "…"
    yield "```"


def _ways(kept: dict[str, Any]) -> Iterator[str]:
    yield WAYS.format(days=kept["days"])
    for table, ways in groupby(kept["ways"], key=lambda way: str(way["table"])):
        rows = list(ways)
        read = [f"`{name}`" for name in rows[0]["read"]]
        yield f"| `{table}` | bytes on disk | CPU s | {' | '.join(read)} |"
        yield f"| --- | ---: | ---: |{' ---: |' * len(read)}"
        for way in rows:
            numbers = [way["bytes"], *(told["bytes_read"] for told in way["read"].values())]
            size, *given = [f"{int(n):,}" for n in numbers]
            yield f"| {way['way']} | {size} | {way['cpu_s']} | {' | '.join(given)} |"
        yield ""
