"""The JSON Schema agrees with the parser, and the reference names every key."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from playbook_text import BASE
from runtime.playbook import keys
from runtime.playbook.bundle import load_text
from runtime.playbook.knobs import KNOBS
from runtime.playbook.parse import parse
from runtime.playbook.schema import json_schema
from runtime.playbook.starter import FILES
from runtime.playbook.tools import LATER, TOOLS

ROOT = Path(__file__).parents[2]
REFERENCE = (ROOT / "docs" / "reference" / "playbook.md").read_text(encoding="utf-8")
SCHEMA = json_schema()
VALIDATOR = Draft202012Validator(SCHEMA)


def fits(value: Any) -> bool:
    """Whether a playbook's values fit the schema."""
    return bool(VALIDATOR.is_valid(value))


def test_the_schema_is_one_and_has_a_name() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$id"] == "urn:trimtab:playbook:v1"


def test_a_fault_in_a_tool_is_told_of_its_own_kind() -> None:
    """An editor shows the first fault of each place: it must not speak of another kind."""
    text = BASE.replace("method: PUT", "metod: PUT")
    told = [fault.message for fault in VALIDATOR.iter_errors(values(text))]
    assert len(told) == 1
    assert "'metod' was unexpected" in told[0]


def values(text: str) -> Any:
    return json.loads(json.dumps(YAML(typ="safe", pure=True).load(text)))


def examples() -> list[str]:
    blocks = re.findall(r"```yaml\n(apiVersion:.*?)```", REFERENCE, re.DOTALL)
    shipped = [f.read_text(encoding="utf-8") for f in sorted(ROOT.glob("playbooks/*/*.yaml"))]
    return [BASE, FILES["hello.yaml"], *blocks, *shipped]


@pytest.mark.parametrize("text", examples(), ids=range(len(examples())))
def test_what_parses_fits_the_schema(text: str) -> None:
    parse(text)
    assert fits(values(text))


@pytest.mark.parametrize(
    ("find", "put"),
    [
        ("objective: time", "objektive: time"),
        ("trimtab/v1", "trimtab/v2"),
        ("timeout: 30s", "timeout: 30"),
        ("batch: 25", "batch: 0"),
        ("effect: idempotent", "effect: idempotnt"),
        ("method: PUT", "metod: PUT"),
        ("each.batch: {", "each.bach: {"),
        ("kind: http", "kind: htp"),
        ("success: 99.5%", "success: 99.5"),
        ("hedge: {after: 5s, max: 1}", "hedge: 2"),
        ("hours: any", "hours: never"),
        ("start.hours: [any, 22-6]", "start.hours: [22]"),
        ("total_timeout: 5m", "memory: 512"),
        ("total_timeout: 5m", "output: 64mb"),
        ("total_timeout: 5m", "processes: 0"),
        ("total_timeout: 5m", "heartbeat: 30"),
        ("losers: finish", "losers: drop"),
        ("alternatives: [default, cheap]", "alternatives: {min: 1, max: 2}"),
        ("cheap: {kind: python", "cheap: {kind: wait"),
        ("{at_least: 1, ", "{at_least: 1, any: true, "),
        ("max: 20", "max: 0"),
        ("for: 5m", "for: 5"),
        ("per_second: 5", "per_second: fast"),
        ("timeout: 20s", "next: done"),
        ('when: "not check.good", max: 5', 'when: "not check.good", max: 0'),
    ],
)
def test_a_wrong_key_or_shape_does_not_fit_the_schema(find: str, put: str) -> None:
    assert not fits(values(BASE.replace(find, put)))


def test_the_reference_names_every_key_tool_and_knob() -> None:
    tables = [
        keys.PLAYBOOK, keys.METADATA, keys.INPUT, keys.STEP, keys.ARC, keys.EACH, keys.FAILURES,
        keys.RETRY, keys.HEDGE, keys.START, keys.JOIN, keys.REPEAT, keys.REDUCERS, keys.LIMIT,
        keys.BOUNDS, keys.SLO, keys.PUBLISHES, keys.RECORD, KNOBS, TOOLS,
        *(tool.keys for tool in TOOLS.values()),
    ]  # fmt: skip
    words = {word for table in tables for word in table}
    assert {word for word in words if f"`{word}`" not in REFERENCE} == set()


def test_the_reference_says_what_does_not_work_yet() -> None:
    later = (*keys.STEP_LATER, *LATER)
    assert [word for word in later if f"`{word}`" not in REFERENCE] == []


def test_the_examples_of_the_reference_can_be_run() -> None:
    blocks = re.findall(r"```yaml\n(apiVersion:.*?)```", REFERENCE, re.DOTALL)
    python = re.findall(r"```python\n# (\w+\.py)\n(.*?)```", REFERENCE, re.DOTALL)
    assert blocks
    for block in blocks:
        load_text(block, dict(python))
    for name, code in python:
        exec(compile(code, name, "exec"), {})
