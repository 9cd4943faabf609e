"""Batch sizes from a few measured ones: what is said of others, and what is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.backtest import curves, outage, parts, retrying, sizing
from optimizer.backtest.command import run
from optimizer.models.lending import Lender, Lending, earned_by
from optimizer.models.roughness import UNKNOWN, Curve, learnt
from optimizer.models.shapes import fit
from optimizer.models.sizing import choose, largest
from optimizer.resemblance import Described

SIZES = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]


def flat_then_line(n: float) -> float:
    return max(1.0, 0.4 + n / 100)


def seconds(sizes: list[int]) -> list[float]:
    return [flat_then_line(n) for n in sizes]


def test_sizes_between_those_measured_are_known_and_sizes_far_beyond_are_not() -> None:
    some = [1, 64, 256, 512]
    belief = fit(some, seconds(some), [0.0] * 4, reach=(1, 512)).at([200, 5000])
    assert np.exp(belief.mean[0]) == pytest.approx(2.4, rel=0.12)
    assert belief.spread[0] < 0.1 < belief.spread[1]


def test_a_measured_size_is_believed_as_measured_however_rough_others_are() -> None:
    sizes, rough = [1, 64, 512], np.random.default_rng(1)
    others: list[Curve] = [
        (SIZES, [flat_then_line(n) * float(np.exp(rough.normal(0.0, 0.2))) for n in SIZES])
        for _ in range(4)
    ]
    fan = fit(sizes, [1.0, 1.4, 5.0], [0.0] * 3, others, reach=(1, 512))
    assert fan.seconds(sizes) == pytest.approx([1.0, 1.4, 5.0], rel=1e-3)
    assert fan.at(sizes).spread.max() < 0.01 < fan.at([65]).spread[0]
    assert fan.chance_above([64], 1.41)[0] < 0.01


def test_where_time_does_not_hang_on_the_size_it_is_rougher() -> None:
    rough = np.random.default_rng(2)

    def measured() -> Curve:
        fixed = np.exp(rough.normal(0.0, 0.1, len(SIZES)))
        return SIZES, [float(f) + n / 32 for f, n in zip(fixed, SIZES, strict=True)]

    told = learnt([measured() for _ in range(40)])
    assert told.spread(0.0) > 0.07
    assert told.spread(1.0) < 0.03


def test_without_curves_of_others_the_roughness_is_the_one_that_is_written_down() -> None:
    assert learnt([]) == UNKNOWN == learnt([([1, 2, 3], [1.0, 1.1, 1.2])])


@settings(max_examples=20)
@given(st.lists(st.floats(0.1, 1.0), min_size=2, max_size=2), st.floats(1e-3, 1e3))
def test_units_and_weights_scale_out_of_the_roughness(pulls: list[float], scale: float) -> None:
    two: list[Curve] = [
        (SIZES, [1.0, 1.1, 1.0, 1.2, 1.3, 1.5, 2.0, 2.2, 4.0, 7.0]),
        (SIZES, [2.0, 2.1, 2.6, 2.2, 3.3, 3.5, 4.0, 5.2, 9.0, 18.0]),
    ]
    one = learnt(two, pulls)
    other = learnt(
        [(n, [scale * s for s in t]) for n, t in reversed(two)], [9.0 * w for w in reversed(pulls)]
    )
    assert other.spread([0.0, 1.0]) == pytest.approx(one.spread([0.0, 1.0]), rel=1e-6)


def test_sizes_close_together_say_nothing_of_sizes_far_away() -> None:
    fan = fit([8, 9, 10], [1.0, 1.0, 1.0], [0.02] * 3, reach=(1, 512))
    assert fan.at([512]).spread[0] > 0.4
    assert largest([8, 9, 10], 9) == 18


def test_what_is_known_of_others_narrows_what_is_believed() -> None:
    others: list[Curve] = [
        (SIZES, [k * flat_then_line(n) for n in SIZES]) for k in (0.3, 2.0, 9.0)
    ]
    near = [8, 9, 10]
    alone = fit(near, seconds(near), [0.0] * 3, reach=(1, 512)).at([512])
    lent = fit(near, seconds(near), [0.0] * 3, others, reach=(1, 512)).at([512])
    assert lent.spread[0] < 0.8 * alone.spread[0]
    assert np.exp(lent.mean[0]) == pytest.approx(flat_then_line(512), rel=0.2)


@pytest.mark.parametrize("limit", [1.5, 3.0, 5.0])
def test_the_choice_is_near_the_best_and_within_the_limit(limit: float) -> None:
    some = [1, 64, 512]
    place = choose(fit(some, seconds(some), [0.0] * 3, reach=(1, 512)), SIZES, limit)
    assert place is not None
    taken = SIZES[place]
    best = max(n for n in SIZES if flat_then_line(n) <= limit)
    assert flat_then_line(taken) <= limit * 1.05
    assert taken >= best / 2


def test_a_size_that_is_known_to_be_just_over_the_limit_is_not_taken() -> None:
    some = [1, 64, 512]
    fan = fit(some, [1.0, 1.03, 5.0], [0.0] * 3, reach=(1, 512))
    assert choose(fan, some, 1.02) == 0
    assert choose(fan, some, 1.04) == 1


def test_where_no_size_is_safe_there_is_nothing_to_choose() -> None:
    some = [1, 64, 512]
    assert choose(fit(some, seconds(some), [0.0] * 3), SIZES, 0.5) is None


@settings(max_examples=12)
@given(scale=st.floats(1e-4, 1e4), seed=st.integers(0, 1000))
def test_units_scale_out_and_the_order_of_sizes_means_nothing(scale: float, seed: int) -> None:
    some = [1, 64, 512]
    one = fit(some, seconds(some), [0.0] * 3, reach=(1, 512)).at(SIZES)
    turned = np.random.default_rng(seed).permutation(3)
    two = fit(
        [some[i] for i in turned], [scale * seconds(some)[i] for i in turned], [0.0] * 3,
        reach=(1, 512),
    ).at(SIZES)  # fmt: skip
    assert two.mean - np.log(scale) == pytest.approx(one.mean, abs=1e-6)
    assert two.spread == pytest.approx(one.spread, abs=1e-6)


@settings(max_examples=12)
@given(st.lists(st.sampled_from(SIZES), min_size=1, max_size=6, unique=True))
def test_what_is_chosen_is_allowed_and_more_sizes_say_more(some: list[int]) -> None:
    some = sorted(some)
    fan = fit(some, seconds(some), [0.01] * len(some), reach=(1, 512))
    most = largest(some, some[0])
    place = choose(fan, SIZES, 2.0, most)
    assert place is None or SIZES[place] <= most * (1 + 1e-6)
    every = fit(SIZES, seconds(SIZES), [0.01] * 10, reach=(1, 512))
    assert every.at(SIZES).spread.mean() <= fan.at(SIZES).spread.mean() + 0.01


# ---- who lends ----


def steep_then_flat(n: float) -> float:
    return min(n, 40.0) + n / 400.0


def lenders(families: int, *, told: bool) -> list[Lender]:
    """Two hardwares in each family, each with a shape of its own that its words tell or not."""
    rng = np.random.default_rng(5)
    found = []
    for family in range(families):
        for hardware, shape in (("a", flat_then_line), ("b", steep_then_flat)):
            off = np.exp(rng.normal(0.0, 0.01, len(SIZES)))
            took = np.array([float(shape(n)) * (1 + family) for n in SIZES]) * off
            curve = (SIZES, [float(one) for one in took])
            words = frozenset({hardware if told else str(rng.integers(2))})
            found.append(Lender(hardware, str(family), Described(words=words), curve))
    return found


def test_resemblance_earns_a_weight_where_it_tells_the_shape_and_none_where_it_does_not() -> None:
    assert earned_by(lenders(4, told=True), 1) > 0.2
    assert earned_by(lenders(4, told=False), 1) == 0.0
    assert earned_by(lenders(2, told=True), 1) == 0.0


def test_steps_that_resemble_it_weigh_more_by_the_share_that_is_earned() -> None:
    lent = tuple(lenders(4, told=True))
    near = [8, 9, 10]
    mine = Described(words=frozenset({"a"}))
    off = []
    for share in (0.0, 0.9):
        lending = Lending(mine, lent, share)
        fan = fit(near, seconds(near), [0.01] * 3, lending.curves, (1, 512), lending.pulls())
        off.append(abs(np.log(fan.seconds([64])[0] / flat_then_line(64))))
    assert off[1] < off[0]


# ---- the backtest -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small data sets with the layout of known ones."""
    folder = tmp_path_factory.mktemp("curves")
    rng = np.random.default_rng(0)
    rows = [
        {"gpu": gpu, "model": model, "tensor_parallel": 1, "num_tokens": n,
         "layer_ms": pace * flat_then_line(n) * float(np.exp(rng.normal(0, 0.01)))}
        for model, pace in (("a", 1.0), ("b", 3.0), ("c", 0.2))
        for gpu in ("x", "y")
        for n in [*SIZES, 700, 900]
    ]  # fmt: skip
    tests = [
        {"family": f, "fails": fails, "passes": 2000 - fails}
        for f in "pq"
        for fails in (2000, 2000, 20, 60, 400)
    ]
    for name, file, table in (
        ("vidur_mlp", "service_time", rows), ("flaky_reruns", "tests", tests)
    ):  # fmt: skip
        (folder / name).mkdir()
        pq.write_table(pa.Table.from_pylist(table), folder / name / f"{file}.parquet")
    return folder


def test_the_rows_of_the_models_are_made_once_and_kept(data: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept.jsonl"
    told: list[tuple[int, int]] = []

    def made() -> list[dict[str, object]]:
        return parts.rows(
            data, [], ["trimtab", "linear", "fixed_3"], seeds=2, kept=kept,
            progress=lambda d, n: told.append((d, n)),
        )  # fmt: skip

    first = made()
    assert {row["kind"] for row in first} == {"batch", "retry", "outage"}
    assert told[-1] == (len(kept.read_text().splitlines()),) * 2
    assert told[-1][1] == parts.count(data, [], ["trimtab", "linear", "fixed_3"])
    assert made() == first


def test_progress_of_a_backtest_counts_the_models_from_the_start(
    data: Path, tmp_path: Path
) -> None:
    told: list[tuple[int, int]] = []
    run(
        data, ["vidur_mlp"], ["linear"], seeds=1, quick=False, kept=tmp_path / "kept.jsonl",
        workers=1, progress=lambda d, n: told.append((d, n)),
    )  # fmt: skip
    assert told[0] == (0, 2)
    assert told[-1] == (2, 2)
    assert (1, 2) in told


def test_ours_keeps_limits_that_a_line_breaks_and_is_nearer(data: Path) -> None:
    known = curves.load(data, "vidur_mlp")
    mine, line = (
        sizing.summary(sizing.play(known, "spread", method, 6)) for method in ("trimtab", "linear")
    )
    assert mine["error"] < line["error"]
    assert mine["broken"] <= 5.0
    assert mine["oracle"] > 85.0
    assert mine["oracle_all"] <= mine["oracle"] * (1.0 - mine["abstained"] / 100.0) + 1e-9
    assert mine["oracle_all"] > line["oracle_all"]


def test_limits_learnt_from_a_few_tries_are_near_the_oracles(data: Path) -> None:
    rows = retrying.rows(retrying.load(data), ["trimtab", "fixed_3"], 3)
    by = {(r["method"], r["objective"]): r for r in rows}
    for price in ("price_5", "price_20", "price_100"):
        assert by["trimtab", f"{price}_logged_20"]["over_oracle"] < 3.0
        assert by["trimtab", f"{price}_logged_20"]["on_permanent"] <= 1.1
        assert (
            by["fixed_3", f"{price}_logged_20"]["over_oracle"]
            > by["trimtab", f"{price}_logged_20"]["over_oracle"]
        )


def test_in_an_outage_the_budget_keeps_tries_within_a_tenth_of_the_requests(data: Path) -> None:
    rows = outage.rows(retrying.load(data), 2)
    worst = {(r["method"], r["objective"]): r["worst"] for r in rows}
    for method in outage.POLICIES:
        assert worst[method, "as_configured"] > 3.0
        assert worst[method, "with_the_budget"] <= 1.1
