from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.cli.refusals import refusal_of
from control_plane.cli.talk import Code
from control_plane.review.policy import Policy, Stage
from control_plane.review.policy_file import PolicyFaults, parse
from control_plane.review.profiles import PROFILES, load
from control_plane.review.scalars import Limit, moment, percent, seconds
from control_plane.review.tighten import relaxations, tighten

PERCENT = st.integers(1, 99).map(lambda n: n / 100)
RAMPS = st.lists(st.tuples(PERCENT, st.integers(0, 99)), min_size=1, max_size=3).map(
    lambda stages: tuple(Stage(share, n) for share, n in sorted(stages))
)
POLICIES = st.builds(
    Policy,
    profile=st.just("x"),
    mode=st.sampled_from(["off", "advise", "review"]),
    min_worthwhile=PERCENT,
    ramp=RAMPS,
    step_change=st.lists(
        st.tuples(st.sampled_from(["each.batch", "timeout"]), st.builds(Limit, PERCENT)),
        unique_by=lambda pair: pair[0],
    ).map(lambda pairs: tuple(sorted(pairs, key=lambda pair: pair[0]))),
    expire_s=st.floats(0, 99),
    snooze_s=st.floats(0, 99),
)


@given(POLICIES, POLICIES, POLICIES)
def test_tightening_is_a_join_so_an_edit_only_ever_makes_it_more_careful(
    a: Policy, b: Policy, c: Policy
) -> None:
    assert tighten(a, b).hash == tighten(b, a).hash
    assert tighten(tighten(a, b), b).hash == tighten(a, b).hash
    assert tighten(tighten(a, b), c).hash == tighten(a, tighten(b, c)).hash


@given(POLICIES, POLICIES)
def test_a_tightened_policy_has_nothing_relaxed(a: Policy, b: Policy) -> None:
    both = tighten(a, b)
    assert relaxations(both, a) == []
    assert relaxations(both, b) == []


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_that_ships_loads_and_is_called_by_its_name(profile: str) -> None:
    assert load(profile).profile == profile


def test_the_demo_profile_differs_in_calendar_nodes_sample_sizes_and_vetoes_alone() -> None:
    relaxed = {line.split(":")[0] for line in relaxations(load("demo"), load("production"))}
    assert relaxed == {
        "ramp", "verify.noninferiority", "verify.min_pairs", "explore.share",
        "explore.min_units", "gates.hold_s", "gates.daily_cycle", "gates.nodes", "gates.days",
        "gates.watch_s", "blast.starts_per_hour", "blast.cold_start_s",
        "verify.shadow.vetoes",
    }  # fmt: skip
    demo, production = load("demo").verify, load("production").verify
    assert (demo.harm_alpha, demo.gain_alpha) == (production.harm_alpha, production.gain_alpha)


def test_every_fault_of_a_policy_is_named_at_once() -> None:
    with pytest.raises(PolicyFaults) as refused:
        parse(
            """
profile: x
watch: 3d
step_change: {each.batsh: x2, timeout: x}
verify: {harm_alfa: 3%, t_opt: 1.5}
ramp: [{share: 3%}]
bounds: [{knob: gpu.count, max: 3}]
gates: {daily_cycle: maybe}
"""
        )
    assert [fault.split(":")[0] for fault in refused.value.faults] == [
        "watch", "step_change.each.batsh", "step_change.timeout", "verify.harm_alfa",
        "verify.t_opt", "ramp[0].min_candidate", "bounds[0].knob", "gates.daily_cycle",
    ]  # fmt: skip
    assert "did you mean each.batch?" in str(refused.value)
    assert "did you mean harm_alpha?" in str(refused.value)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("ramp: [{share: 50%, min_candidate: 1}, {share: 10%, min_candidate: 1}]", "ramp"),
        ("ramp: []", "ramp"),
        ("verify: {harm_alpha: 0}", "verify.harm_alpha"),
        ("freeze: [{start: 2030-01-02T00:00:00Z, end: 2030-01-01T00:00:00Z}]", "freeze[0]"),
        ("freeze: [{start: '2030-01-02T00:00', end: 2030-01-03T00:00:00Z}]", "freeze[0].start"),
        ("[1, 2]", "the policy"),
        ("a: [", "not YAML"),
    ],
)
def test_what_makes_no_sense_does_not_load(text: str, fault: str) -> None:
    with pytest.raises(PolicyFaults) as refused:
        parse(text)
    assert [f.split(":")[0] for f in refused.value.faults] == [fault]


def test_the_hash_is_that_of_the_meaning_not_of_the_text() -> None:
    a = parse("verify: {harm_alpha: 5%}\nmode: review # people decide")
    assert a.hash == parse("mode: review\nverify: {harm_alpha: 0.05}").hash
    assert a.hash != parse("mode: advise").hash


@pytest.mark.parametrize(
    ("limit", "before", "after", "allowed"),
    [
        (Limit(factor=2.0), 25, 50, True),
        (Limit(factor=2.0), 50, 25, True),
        (Limit(factor=2.0), 25, 51, False),
        (Limit(factor=2.0), 0, 1, False),
        (Limit(difference=2.0), 3, 5, True),
        (Limit(difference=2.0), 3, 6, False),
        (Limit(), 1, 1000, True),
    ],
)
def test_a_step_is_measured_as_a_factor_or_a_difference(
    limit: Limit, before: float, after: float, allowed: bool
) -> None:
    assert limit.allows(before, after) is allowed


def test_scalars_are_written_as_people_write_them() -> None:
    assert (percent("2.5%"), seconds("1h30m"), seconds("250ms")) == (0.025, 5400.0, 0.25)
    assert moment("2030-01-01T00:00:00+01:00") == moment("2029-12-31T23:00:00Z")


def test_a_freeze_holds_from_its_start_to_just_before_its_end() -> None:
    policy = parse(
        "freeze: [{start: 2030-01-01T00:00:00Z, end: 2030-01-02T00:00:00Z, playbook: 'risk/*'}]"
    )
    start, end = moment("2030-01-01T00:00:00Z"), moment("2030-01-02T00:00:00Z")
    held = [policy.frozen("risk/score", at) is not None for at in (start - 1, start, end - 1, end)]
    assert held == [False, True, True, False]
    assert policy.frozen("other/score", start) is None


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("mode: review".encode("utf-16"), "the file must be UTF-8"),
        (b"mode: nonsense", "mode: 'nonsense' is none of off, advise, review"),
    ],
)
def test_a_file_that_is_no_policy_is_refused_in_a_line(
    tmp_path: Path, data: bytes, says: str
) -> None:
    path = tmp_path / "own.yaml"
    path.write_bytes(data)
    with pytest.raises(PolicyFaults) as caught:
        load(str(path))
    refused = refusal_of(caught.value)
    assert refused is not None
    assert (str(refused), refused.code) == (f"{path}: {says}", Code.USAGE)
