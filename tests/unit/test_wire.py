"""Every event reads back as it was written, and the frozen ones read as they did."""

from __future__ import annotations

import json
import typing
from collections import OrderedDict
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import NODEFAULT, structs

from runtime.journal.wire import UnknownEvent, decode, encode
from runtime.run.events import TYPES, AttemptFinished, Event, Fault, RunSubmitted

GOLDEN = Path(__file__).parents[1] / "golden" / "events.json"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
texts = st.text(max_size=20)
faults = st.builds(Fault, cls=texts, message=texts, retry_after_s=st.none() | st.floats(0, 99))
BY_HINT = {
    "str": texts, "int": st.integers(0, 2**53), "float": st.floats(0, 1e9), "bool": st.booleans(),
    "Fault": faults, "Json": json_values, "Any": json_values,
    "dict[str, str]": st.dictionaries(texts, texts, max_size=2),
    "dict[str, int]": st.dictionaries(texts, st.integers(0, 2**53), max_size=2),
    "dict[str, float]": st.dictionaries(texts, st.floats(0, 1), max_size=2),
    "dict[str, Json]": st.dictionaries(texts, json_values, max_size=2),
    "dict[str, dict[str, Json]]": st.dictionaries(
        texts, st.dictionaries(texts, json_values, max_size=2), max_size=2),
    "list[str]": st.lists(texts, max_size=2), "list[Json]": st.lists(json_values, max_size=2),
}  # fmt: skip


def strategy(cls: type[Event]) -> st.SearchStrategy[Event]:
    fields = {}
    for f in structs.fields(cls):
        hint = cls.__annotations__[f.name]
        optional = hint.endswith(" | None")
        base = BY_HINT[hint.removesuffix(" | None")]
        fields[f.name] = st.none() | base if optional else base
    return st.builds(cls, **fields)


@given(st.sampled_from(sorted(TYPES)).flatmap(lambda name: strategy(TYPES[name])))
def test_every_event_reads_back_as_it_was_written(event: Event) -> None:
    assert decode(event.TYPE, event.VERSION, encode(event)) == event


def told(fact: Any) -> Any:
    """A fact as dicts, every field of it."""
    return {n: told(v) if isinstance(v, Fault) else v for n, v in structs.asdict(fact).items()}


def default_of(f: structs.FieldInfo) -> Any:
    return f.default if f.default_factory is NODEFAULT else f.default_factory()


@given(st.sampled_from(sorted(TYPES)).flatmap(lambda name: strategy(TYPES[name])))
def test_a_body_is_the_fields_in_order_less_those_that_equal_their_default(event: Event) -> None:
    fields = structs.fields(type(event))
    told_of = told(event)
    body = {f.name: told_of[f.name] for f in fields if told_of[f.name] != default_of(f)}
    assert encode(event) == msgspec.json.encode(body)


def test_a_default_that_was_computed_is_left_out_too() -> None:
    naught = float("0.") * 2
    computed = AttemptFinished("a", "s", 1, "succeeded", 3, run_s=naught, spend_usd=naught)
    assert encode(computed) == encode(AttemptFinished("a", "s", 1, "succeeded", 3))
    empty = RunSubmitted("p", "v", 1, {}, "me", labels=OrderedDict(), children={})
    assert encode(empty) == encode(RunSubmitted("p", "v", 1, {}, "me"))


def test_a_field_that_keeps_its_default_is_left_out() -> None:
    body = json.loads(encode(AttemptFinished("a", "s", 1, "succeeded", 3)))
    assert sorted(body) == ["attempt", "number", "outcome", "scheduled", "step"]


def test_an_unknown_type_is_refused_by_name() -> None:
    with pytest.raises(UnknownEvent, match=r"run\.exploded"):
        decode("run.exploded", 1, b"{}")


def test_a_newer_version_is_refused() -> None:
    with pytest.raises(UnknownEvent, match="newer"):
        decode("run.started", 99, b"{}")


def described(cls: type[Event]) -> dict[str, object]:
    hints = typing.get_type_hints(cls, include_extras=True)
    names = [f.name for f in structs.fields(cls)]
    return {"version": cls.VERSION, "fields": {n: str(hints[n]) for n in names}}


def test_the_events_are_the_golden_ones() -> None:
    """A change needs a new version, an upcaster and a golden journal, or adds a default."""
    today = {name: described(cls) for name, cls in TYPES.items()}
    assert today == json.loads(GOLDEN.read_text(encoding="utf-8"))
