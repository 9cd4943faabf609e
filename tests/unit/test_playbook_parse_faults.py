"""Every fault of a playbook is named at once, each with its line and column."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from playbook_text import BASE, faults_of
from runtime.net.faults import refuse_flow
from runtime.playbook.parse import PlaybookFaults, parse

FOLDER = Path(__file__).parents[1] / "data" / "faults"
MARK = "§"


@dataclass(frozen=True)
class Slip:
    """An edit of the base playbook that makes one fault."""

    name: str
    find: str
    put: str
    says: str
    hint: str = ""

    def span(self) -> tuple[int, int]:
        start = BASE.index(self.find)
        return start, start + len(self.find)


CORPUS = [Slip(**entry) for entry in YAML(typ="safe", pure=True).load(FOLDER / "corpus.yaml")]


def spoilt(slips: list[Slip]) -> tuple[str, list[tuple[int, int]]]:
    """Return the base with these slips, and the place of each in their order."""
    text = BASE
    for slip in sorted(slips, key=Slip.span, reverse=True):
        start, end = slip.span()
        text = text[:start] + slip.put.replace(MARK, MARK + slip.name + MARK) + text[end:]
    return unmarked(text, [slip.name for slip in slips])


def unmarked(text: str, names: list[str]) -> tuple[str, list[tuple[int, int]]]:
    places = {}
    while MARK in text:
        start = text.index(MARK)
        end = text.index(MARK, start + 1)
        line = text.count("\n", 0, start)
        places[text[start + 1 : end]] = (line + 1, start - (text.rfind("\n", 0, start) + 1) + 1)
        text = text[:start] + text[end + 1 :]
    return text, [places[name] for name in names]


def test_the_playbook_that_the_corpus_spoils_has_no_fault() -> None:
    playbook = parse(BASE)
    assert (len(playbook.steps), len(playbook.finally_)) == (15, 1)
    refuse_flow(playbook)


def test_the_corpus_holds_twenty_faults_and_more_that_can_all_be_combined() -> None:
    assert len(CORPUS) >= 20
    assert all(BASE.count(slip.find) == 1 for slip in CORPUS)
    spans = sorted(slip.span() for slip in CORPUS)
    assert all(one[1] <= other[0] for one, other in pairwise(spans))


@pytest.mark.parametrize("slip", CORPUS, ids=lambda slip: slip.name)
def test_a_single_fault_is_named_once_at_its_place(slip: Slip) -> None:
    text, [place] = spoilt([slip])
    [fault] = faults_of(text)
    assert ((fault.line, fault.column), slip.says in fault.message) == (place, True), fault
    assert slip.hint in fault.hint


@given(slips=st.lists(st.sampled_from(CORPUS), min_size=5, max_size=5, unique=True))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_five_faults_in_one_playbook_are_all_named_with_line_and_column(
    slips: list[Slip],
) -> None:
    text, places = spoilt(slips)
    found = faults_of(text)
    for slip, (line, column) in zip(slips, places, strict=True):
        said = [f.message for f in found if (f.line, f.column) == (line, column)]
        assert any(slip.says in message for message in said), (slip.name, line, column, found)


def test_all_faults_of_the_corpus_at_once_are_all_named() -> None:
    text, places = spoilt(CORPUS)
    found = {(fault.line, fault.column) for fault in faults_of(text)}
    assert set(places) <= found


@pytest.mark.parametrize(("put", "says"), [
    ("hedge: {after: 5s}", "a step of finally has no hedge (it is done in one way"),
    ("alternatives: {}", "a step of finally has no alternatives (it is done in one way"),
    ("compensate: {kind: shell, run: x}", "a step of finally has no compensate (nothing undoes"),
])  # fmt: skip
def test_a_step_of_finally_has_no_second_way_and_is_told_what_to_do(put: str, says: str) -> None:
    assert "timeout: 20s" in BASE
    told = [str(fault) for fault in faults_of(BASE.replace("timeout: 20s", put))]
    assert any(says in fault for fault in told), told


def test_faults_come_in_the_order_of_the_text() -> None:
    text, _ = spoilt(CORPUS)
    places = [(fault.line, fault.column) for fault in faults_of(text)]
    assert places == sorted(places)


@given(
    cuts=st.lists(st.tuples(st.integers(0, len(BASE) - 1), st.integers(0, 6)), max_size=3),
    put=st.sampled_from(
        ["", "[", "}", ":", "{{", "}}", '"', "\n", "- ", "*x", "&x ", "~", "é", "|"]
    ),
)
@settings(max_examples=150, deadline=None)
def test_any_damage_gives_a_playbook_or_faults_that_lie_in_the_text(
    cuts: list[tuple[int, int]], put: str
) -> None:
    text = BASE
    for start, length in cuts:
        text = text[:start] + put + text[start + length :]
    try:
        parse(text)
        faults = []
    except PlaybookFaults as error:
        faults = error.faults
    lines = text.split("\n")
    for fault in faults:
        assert 1 <= fault.line <= len(lines)
        assert 1 <= fault.column <= len(lines[fault.line - 1]) + 1
