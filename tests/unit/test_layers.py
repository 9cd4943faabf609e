"""The last layer that names a knob wins; a kill switch leaves the playbook alone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.journal.memory import MemoryJournal
from runtime.journal.port import Append, in_order
from runtime.run import events as ev
from runtime.run.layers import CONTROL, Experiment, Layers, draw, resolve

knobs = st.dictionaries(
    st.sampled_from(["each.batch", "each.in_flight", "timeout"]), st.integers()
)


def overlay(values: dict[str, Any], bound: str = "h") -> ev.OverlayAppended:
    return ev.OverlayAppended("p", "s", values, {}, bound, "p-1", "optimizer", "ann")


def experiment(arm: dict[str, Any], share: float = 0.5) -> ev.ExperimentStarted:
    return ev.ExperimentStarted(
        "x-1", "p-1", "p", "s", "batch", "blocks", {}, {"candidate": arm},
        {"candidate": share}, "salt", "h", 50,
    )  # fmt: skip


@given(knobs, knobs, knobs, knobs, st.booleans())
def test_the_last_layer_that_names_a_knob_wins(
    defaults: dict[str, int], stable: dict[str, int], arm: dict[str, int],
    override: dict[str, int], killed: bool,
) -> None:  # fmt: skip
    layers = Layers()
    layers.evolve(overlay(stable))
    layers.evolve(experiment(arm))
    layers.evolve(ev.KillSet("p#s", killed, "ann"))
    live = layers.experiments[("p", "s")]
    found = resolve(
        layers, "p", "s", defaults=defaults, bound="h", experiment=live, arm="candidate",
        override=override,
    )  # fmt: skip
    expected = defaults | override if killed else defaults | stable | arm | override
    assert found.effective == expected
    assert found.locked == bool(override)


def test_an_entry_approved_for_other_code_is_suspended_and_named() -> None:
    layers = Layers()
    layers.evolve(overlay({"each.batch": 200}, bound="old"))
    assert layers.stable("p", "s", "new") == {}
    assert layers.suspended("p", "s", "new") == ["each.batch"]
    assert layers.stable("p", "s", "old") == {"each.batch": 200}


def test_a_value_of_none_takes_a_key_back_off() -> None:
    layers = Layers()
    layers.evolve(overlay({"each.batch": 200, "timeout": 3}))
    layers.evolve(overlay({"each.batch": None}))
    assert layers.stable("p", "s", "h") == {"timeout": 3}


@pytest.mark.parametrize(
    ("event", "live"),
    [
        (ev.ExperimentPaused("x-1", "ann"), False),
        (ev.ExperimentEnded("x-1", "harm"), False),
        (ev.KillSet("*", True, "ann"), False),
        (ev.KillSet("p", True, "ann"), False),
        (ev.KillSet("other", True, "ann"), True),
        (ev.ExperimentRamped("x-1", 1, {"candidate": 0.9}), True),
    ],
)
def test_an_experiment_enrols_until_it_is_paused_ended_or_killed(
    event: ev.LayerEvent, live: bool
) -> None:
    layers = Layers()
    layers.evolve(experiment({}))
    layers.evolve(event)
    assert (layers.experiment("p", "s", "h") is not None) is live
    assert layers.experiment("p", "s", "other code") is None


@given(st.floats(0.05, 0.95))
def test_a_unit_that_is_candidate_stays_so_when_the_share_grows(share: float) -> None:
    small = Experiment(experiment({}), shares={"candidate": share / 2})
    large = Experiment(experiment({}), shares={"candidate": share})
    units = [f"run/{i}" for i in range(200)]
    before = {u for u in units if draw(small, u)[0] == "candidate"}
    after = {u for u in units if draw(large, u)[0] == "candidate"}
    assert before <= after


def test_arms_are_drawn_with_the_shares_that_are_logged() -> None:
    live = Experiment(experiment({}), shares={"candidate.1": 0.2, "candidate.2": 0.3})
    drawn = [draw(live, f"run/{i}") for i in range(20_000)]
    for arm, share in (("candidate.1", 0.2), ("candidate.2", 0.3), (CONTROL, 0.5)):
        mine = [s for a, s in drawn if a == arm]
        assert all(s == pytest.approx(share) for s in mine)
        assert len(mine) / len(drawn) == pytest.approx(share, abs=0.015)


@given(knobs, knobs)
def test_the_same_layers_give_the_same_hash_and_other_values_another(
    one: dict[str, int], two: dict[str, int]
) -> None:
    def config(values: dict[str, int]) -> str:
        return resolve(Layers(), "p", "s", defaults=values, bound="h").config

    assert (config(one) == config(two)) == (one == two)


def test_a_trial_that_ended_long_ago_does_not_take_the_place_of_the_one_that_is_live() -> None:
    """Ids are hashes: the older trial may well sort after the newer one."""
    journal = MemoryJournal()
    older, newer = (experiment({"each.batch": 50}).but(experiment=x) for x in ("x-b", "x-a"))
    journal.append([Append("experiment/x-b", 0, 1.0, (older,))])
    journal.append([Append("experiment/x-b", 1, 2.0, (ev.ExperimentEnded("x-b", "harm"),))])
    journal.append([Append("experiment/x-a", 0, 3.0, (newer,))])
    layers = Layers()
    for recorded in in_order(journal, "overlay/", "experiment/", "kill"):
        layers.evolve(recorded.event)  # type: ignore[arg-type]
    live = layers.experiment("p", "s", "h")
    assert live is not None
    assert live.id == "x-a"
