"""The record's schema as text: its steps, and what it says of itself."""

from __future__ import annotations

import re
from pathlib import Path

from runtime.record.schema import parse, steps
from runtime.record.tables import TABLES

DDL = Path(__file__).parents[1].joinpath("golden", "record.sql").read_text(encoding="utf-8")
MADE = {
    m[1]: m[0] for m in re.finditer(r"^CREATE TABLE (\w+)\n.*?;$", DDL, re.MULTILINE | re.DOTALL)
}


def test_every_table_and_every_column_says_what_it_is() -> None:
    assert {table.name for table in TABLES} < set(MADE)
    for name, ddl in MADE.items():
        assert re.search(r"^COMMENT '.+';$", ddl, re.MULTILINE), name
        silent = [
            line for line in re.findall(r"^    `.*$", ddl, re.MULTILINE) if "COMMENT '" not in line
        ]
        assert silent == [], name


def test_a_column_of_seconds_money_or_bytes_says_its_unit() -> None:
    units = {"_s": "seconds", "_usd": "USD", "_at": "UTC", "bytes_": "bytes", "rss_": "bytes"}
    for ddl in MADE.values():
        for name, comment in re.findall(r"^    `(\w+)` .*COMMENT '(.*?[^\\])'", ddl, re.MULTILINE):
            for part, unit in units.items():
                if name.endswith(part) or name.startswith(part):
                    assert unit.lower() in comment.lower(), (name, comment)


def test_a_steps_hash_is_that_of_its_statements_alone() -> None:
    one = parse("x.sql", "-- why\n-- fills a, b\nSELECT 1;\n\nSELECT 2\n")
    other = parse("x.sql", "-- why else\nSELECT 1;\n\nSELECT 2;\n")
    assert (one.statements, one.fills, other.fills) == (("SELECT 1", "SELECT 2"), ("a", "b"), ())
    assert one.hash == other.hash != parse("x.sql", "SELECT 1;\n\nSELECT 3").hash


def test_a_view_that_feeds_sums_and_the_one_that_makes_them_again_are_the_same() -> None:
    way = [text for step in steps() for text in step.statements]
    made = {
        m[2]: m[3]
        for t in way
        if (m := re.match(r"CREATE (MATERIALIZED )?VIEW (\w+)(?: TO \w+)? AS (.*)", t, re.DOTALL))
    }
    for table in ("step_hour", "cause_hour", "price", "cost_day"):
        assert made[f"{table}_feed"] == made[f"{table}_of_attempt"], table
