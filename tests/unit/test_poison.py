"""A step is poison when its attempts kill their workers in a row, and only then."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runtime.engine.poison import MOST, PROBE_S, Entry, Poison, Step

STEP = Step("risk/score", "1f", "score")
OTHER = STEP._replace(version="2e")


@given(st.lists(st.booleans(), max_size=60))
def test_only_deaths_in_a_row_make_a_step_poison(survives: list[bool]) -> None:
    poison, row = Poison(), 0
    for n, well in enumerate(survives):
        if well:
            poison.survived(STEP)
            row = 0
            continue
        row += 1
        assert poison.died(STEP, n, n + 0.5, "killed") == (row == MOST)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=100))
def test_workers_that_died_together_count_once(sent: list[float]) -> None:
    poison = Poison()
    assert not any(poison.died(STEP, at, 2.0, "all were killed") for at in sent)


@given(st.integers(0, 20))
def test_another_version_is_another_step(deaths: int) -> None:
    poison = Poison()
    for n in range(deaths):
        poison.died(STEP, n, n + 0.5, "killed")
    assert not poison.died(OTHER, 50.0, 51.0, "killed")
    poison.enters(STEP, Entry(MOST, "killed", since=50.0))
    assert poison.refusal(OTHER, 50.0) is None
    assert poison.of("risk/score", "score") == [STEP]


def test_a_poison_step_is_refused_but_for_one_try_a_minute() -> None:
    poison = Poison()
    poison.enters(STEP, Entry(MOST, "signal 11", since=100.0))
    refused = poison.refusal(STEP, 101.0)
    assert refused is not None
    assert "signal 11" in refused
    assert "trimtab playbook clear risk/score score" in refused
    assert poison.refusal(STEP, 100.0 + PROBE_S) is None
    assert poison.refusal(STEP, 101.0 + PROBE_S) is not None
    assert not poison.died(STEP, 200.0, 201.0, "signal 11")
    assert poison.survived(STEP)
    poison.cleared(STEP)
    assert poison.refusal(STEP, 203.0) is None
