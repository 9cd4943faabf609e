"""How values read: words, JSON as tables, intervals, evidence, dossiers."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.review.lifecycle import State
from control_plane.review.reasons import REJECTIONS
from control_plane.web import trial, words
from control_plane.web.dossier import GROUPS, Range, gather
from control_plane.web.evidence import read
from control_plane.web.figures import Band, intervals
from control_plane.web.proposal_pages import REJECT_FOR, told
from control_plane.web.readable import Items, Pairs, Table, Text, readable
from control_plane.web.render import environment
from optimizer.verify import verification
from runtime.run.events import (
    ExperimentStarted,
    OutcomeRecorded,
    ProposalDrafted,
    ProposalMoved,
    Recorded,
    VerdictReached,
)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.0004, "0.4 ms"),
        (0.05, "50 ms"),
        (0.25, "0.25 s"),
        (9.99, "9.99 s"),
        (12.34, "12.3 s"),
        (60, "1 min"),
        (3599, "59 min 59 s"),
        (7200, "2 h"),
        (200_000, "2 d 7 h"),
        (None, "—"),
    ],
)
def test_a_duration_is_said_with_its_unit(value: float | None, said: str) -> None:
    assert words.seconds(value) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "—"),
        (0, "$0.00"),
        (1234.5, "$1,234.50"),
        (0.25, "$0.25"),
        (0.0123, "$0.012"),
        (2e-8, "under $0.000001"),
    ],
)
def test_money_shows_two_figures(value: float | None, said: str) -> None:
    assert words.money(value) == said


def test_every_state_of_a_proposal_has_a_sign_words_and_a_place_in_the_inbox() -> None:
    grouped = [state for _, _, states in GROUPS for state in states]
    assert sorted(grouped) == sorted(s.value for s in State)
    assert {s.value for s in State} <= set(words.STATE_WORDS)


def test_every_reason_for_a_rejection_has_words() -> None:
    assert set(REJECT_FOR) == set(REJECTIONS)


@given(JSON)
def test_any_json_becomes_something_readable(value: object) -> None:
    assert isinstance(readable(value), Text | Pairs | Table | Items)


def test_rows_become_a_table_and_say_how_many_are_left_out() -> None:
    node = readable([{"id": i, "cost_usd": 0.5} for i in range(100)])
    assert isinstance(node, Table)
    assert node.columns == ("id", "cost usd")
    assert (len(node.rows), node.left_out) == (20, 80)
    assert node.rows[0][1].said == "$0.50"


def test_a_reference_is_described_and_never_followed() -> None:
    node = readable(
        {
            "$ref": "ab.arrow",
            "media": "application/vnd.apache.arrow.file",
            "rows": 10_000,
            "bytes": 2048,
        }
    )
    assert node == Text("file: 10,000 rows, 2.0 KiB, by reference", "ab.arrow")


def test_the_figure_says_its_numbers_and_marks_no_change() -> None:
    svg = intervals(
        [
            Band("cost, predicted", Range("cost", -0.55, -0.44, -0.31)),
            Band("cost, measured", Range("cost", -0.47, -0.41, -0.36), measured=True),
        ]
    )
    assert "cost, predicted: 44% less, 90% interval from 55% less to 31% less" in svg
    assert 'class="zero"' in svg
    assert 'class="predicted"' in svg
    assert 'class="measured"' in svg


@given(st.lists(st.floats(-0.99, 5.0), min_size=3, max_size=3).map(sorted))
def test_the_figure_holds_any_interval(numbers: list[float]) -> None:
    svg = intervals([Band("x", Range("cost", *numbers))])
    assert "nan" not in svg
    assert "inf" not in svg
    assert svg.count("<line") >= 2


def test_evidence_is_read_in_the_order_a_reviewer_asks() -> None:
    view = read(
        {
            "id": "ab",
            "window": {"runs": 5, "batches": 2000, "from": 1.0, "to": 2.0},
            "support": 1.0,
            "causal": {"adjusted": -0.44, "naive": -0.52, "method": "within runs"},
            "values": [
                {
                    "value": 25,
                    "batches": 5,
                    "seconds_per_item": 0.004,
                    "retried_share": 0.1,
                    "failed": 0,
                },
                {
                    "value": 50,
                    "batches": 5,
                    "seconds_per_item": 0.002,
                    "retried_share": 0.1,
                    "failed": 0,
                },
            ],
            "curve": {"a": 1},
        },
        25,
        (50,),
    )
    assert view.lines[0].startswith("Read from 2,000 batches of 5 runs")
    assert "44% less" in view.lines[2]
    assert "52% less" in view.lines[2]
    assert [(t.value, t.role, t.share) for t in view.tried] == [
        ("25", "now", 1.0),
        ("50", "proposed", 0.5),
    ]
    assert view.rest == {"curve": {"a": 1}}


def test_what_other_steps_saw_is_told_with_its_chances() -> None:
    gate = {"chance": 0.9, "harm": 0.03, "worth": 12.34, "price": 0.5, "known": True}
    others = {"made_this_move": {"steps": 4, "families": ["etl", "train"]}}
    told = read({"gate": gate, "others": others}, "small", ("large",))
    assert told.lines == (
        "4 other steps of 2 playbooks made this move.",
        "A saving of 5% has a chance of 90%, harm one of 3%.",
        "It is expected to save 12.3 runs of today's, and its trial to cost 0.5.",
    )


@given(
    st.dictionaries(
        st.sampled_from(["window", "values", "causal", "support", "curve", "gate", "others"]),
        JSON,
        max_size=5,
    )
)
def test_evidence_of_any_shape_can_be_shown(evidence: dict[str, object]) -> None:
    read(evidence, 1, (2,))


def test_a_dossier_tells_a_proposal_from_its_draft_to_its_end() -> None:
    drafted = ProposalDrafted(
        "p-1",
        "change",
        "etl/load",
        "map",
        "batch",
        "cost",
        [{"knob": "each.batch", "from": 25, "to": 50}],
        {"each.batch": 25},
        {},
        {"cost": {"lower": -0.5, "median": -0.4, "upper": -0.3}},
        "optimizer",
        "k",
        "c",
    )
    moves = [
        ("gate", "draft", "gated"),
        ("propose", "gated", "proposed"),
        ("approve", "proposed", "approved"),
    ]
    own = [
        drafted,
        *(
            ProposalMoved(
                "p-1", m, s, t, "ada", "approved", bound_hash="h" if m == "approve" else ""
            )
            for m, s, t in moves
        ),
        OutcomeRecorded("p-1", "batch", "cost", {}, -0.41, [-0.47, -0.36], True),
    ]
    events = [Recorded(1, i, "proposal/p-1", i, float(i), e) for i, e in enumerate(own, 1)]
    tried = ExperimentStarted(
        "x-1", "p-1", "etl/load", "map", "batch", "blocks", {}, {"candidate": {}}, {}, "s", "b", 50
    )
    dossier = gather("p-1", [*events, Recorded(1, 9, "experiment/x-1", 1, 9.0, tried)])
    assert dossier is not None
    assert (dossier.state, dossier.title, dossier.approver, dossier.bound_hash) == (
        "approved",
        "each.batch: 25 → 50",
        "ada",
        "h",
    )
    assert dossier.predicted == [Range("cost", -0.5, -0.4, -0.3)]
    assert dossier.observed == Range("cost", -0.47, -0.41, -0.36)
    assert dossier.experiment == tried
    assert dossier.can("withdraw")
    assert not dossier.can("approve")


def test_a_stream_without_a_draft_is_no_dossier() -> None:
    assert gather("p-1", []) is None


def test_marks_of_a_scale_are_round() -> None:
    from control_plane.web.figures import _marks

    for low, high in ((-0.55, 0.1), (-0.02, 0.03), (-3.0, 4.0)):
        marks = _marks(low, high)
        assert 0.0 in marks
        assert all(math.isclose(m * 100, round(m * 100), abs_tol=1e-9) for m in marks)


def test_a_trial_is_told_arm_by_arm_with_the_values_that_were_tried() -> None:
    started = ExperimentStarted(
        "x-1", "p-1", "etl/load", "map", "batch", "blocks", {"each.batch": 25, "timeout": 30},
        {"candidate.1": {"each.batch": 50}, "candidate.2": {"each.batch": 100}},
        {"candidate.1": 0.3, "candidate.2": 0.3}, "s", "b", 50,
    )  # fmt: skip
    statistics = {
        "arms": {
            "control": {"units": 30, "seconds_per_item": 0.003},
            "candidate.1": {"units": 26, "realised": -0.4, "gain_ci": [-0.5, -0.3]},
            "candidate.2": {"units": 3, "realised": None, "gain_ci": [None, None]},
        }
    }
    verdict = VerdictReached("p-1", "x-1", "inconclusive", "learned", {}, statistics)
    drafted = ProposalDrafted(
        "p-1", "experiment", "e", "map", "b", "cost", [], {}, {}, {}, "o", "k", "c"
    )
    events = [Recorded(1, i, "s", i, 1.0, e) for i, e in enumerate((drafted, started, verdict), 1)]
    dossier = gather("p-1", events)
    assert dossier is not None
    lines = trial.arms(dossier)
    assert [line.name for line in lines] == ["control", "candidate.1", "candidate.2"]
    assert lines[0].values == {"each.batch": 25}
    assert lines[1].effect == Range("cost", -0.5, -0.4, -0.3)
    assert lines[2].effect is None
    assert [band.name for band in trial.bands(lines)] == ["each.batch 50"]


def test_every_code_of_the_verifier_has_words() -> None:
    source = Path(verification.__file__).read_text()
    pattern = r'"inconclusive", "([a-z_]+)"|"better", "([a-z_]+)"|return "([a-z_]+)"'
    codes = {code for found in re.findall(pattern, source) for code in found if code}
    assert len(codes) >= 5
    assert codes - {"worse", "inconclusive"} <= set(trial.REASONS)


def test_a_verdict_says_what_the_effect_is_at_other_prices_of_failing_for_good() -> None:
    at = {"lost_s": 0.5, "realised": -0.1, "gain_ci": [-0.2, 0.05]}
    unknown = {"lost_s": 8.0, "realised": None, "gain_ci": [None, None]}
    assert trial.prices({"lost_s": 2.0, "by_price": [at, unknown]}) == [
        "A batch that fails for good counted as 2.00 s more.",
        "Counted as 0.50 s, the effect would be 10% less (20% less to 5% more).",
    ]
    assert trial.prices({"lost_s": 2.0, "by_price": [unknown]}) == trial.prices({}) == []


def test_a_proposal_is_shown_with_the_units_of_its_values() -> None:
    line = {"knob": "timeout", "from": 20.0, "values": [3.0, 8.0]}
    drafted = ProposalDrafted(
        "p-1", "experiment", "e", "map", "timeout", "time", [line], {}, {}, {}, "o", "k", "c"
    )
    started = ExperimentStarted(
        "x-1", "p-1", "e", "map", "timeout", "blocks", {"timeout": 20.0},
        {"candidate.1": {"timeout": 3.0}, "candidate.2": {"timeout": 8.0}}, {}, "s", "b", 50,
    )  # fmt: skip
    checks = {"candidate.1": {"cannot_say": {}}, "candidate.2": {"cannot_say": {"forked": 1}}}
    moved = ProposalMoved(
        "p-1", "enrol", "shadow", "canary", "x", "simulated", facts={"arms": checks}
    )
    events = [Recorded(1, i, "s", i, 1.0, e) for i, e in enumerate((drafted, started, moved), 1)]
    dossier = gather("p-1", events)
    assert dossier is not None
    page = environment().get_template("parts/proposal.html").render(told(dossier), now=2.0)
    text = " ".join(re.sub(r"<[^>]*>", " ", page).split())
    assert "timeout from 20 s 3 s 8 s" in text
    assert "timeout 3 s candidate.1" in text
    assert not re.search(r"\b(20|3|8)\.0", text)
