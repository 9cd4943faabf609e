"""The knobs of a step looked at together: a direction, and no more than that."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from agents.loop import run_cycle
from agents.works import MOST
from optimizer.direction import Direction, direction
from optimizer.evidence import Batches, batches, is_intact
from optimizer.guard import Limits
from optimizer.joint import Recorded, towards
from optimizer.replays import Replays
from optimizer.search.numeric import Remembered
from optimizer.simulate.estimate import Estimate
from optimizer.simulate.rows import from_rows
from optimizer.simulate.what_if import prepared, what_if

SCOPE: dict[str, Any] = {
    "playbook": "p", "step": "s", "version": "v1", "bound": "b", "effect": "idempotent",
    "objective": "time", "defaults": {"each.batch": 10, "each.in_flight": 2}, "last": [],
    "tune": [
        {"name": "each.batch", "min": 5, "max": 500},
        {"name": "each.in_flight", "min": 1, "max": 16},
    ],
}  # fmt: skip
START = {"each.batch": 10, "each.in_flight": 2}
ITEMS = 240
LIMITS = Limits(joint=True, largest_step={"each.batch": 4.0, "each.in_flight": 4.0})


def took(batch: int, in_flight: int) -> float:
    """The planted truth: calls of a second and a little an item, so many at once."""
    slots = [0.0] * in_flight
    for start in range(0, ITEMS, batch):
        heapq.heapreplace(slots, slots[0] + 1.0 + 0.01 * min(batch, ITEMS - start))
    return max(slots)


@dataclass
class World:
    """A record of runs of the planted step."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    chance: random.Random = field(default_factory=lambda: random.Random(3))
    noise: float = 0.02

    def run(self, batch: int, in_flight: int, **more: Any) -> None:
        number = len({row["run"] for row in self.rows})
        began = 1_000_000.0 + 1000.0 * number
        slots = [began] * in_flight
        for k, start in enumerate(range(0, ITEMS, batch)):
            items = min(batch, ITEMS - start)
            seconds = (1.0 + 0.01 * items) * math.exp(self.chance.gauss(0.0, self.noise))
            at = slots[0]
            heapq.heapreplace(slots, at + seconds)
            self.rows.append({
                "attempt": f"r{number:04}/s/{k}/1", "run": f"r{number:04}", "version": "v1",
                "batch": k, "block": -1, "number": 1, "outcome": "succeeded", "retried": 0,
                "error_class": None, "queue_s": 0.0, "run_s": seconds, "total_s": seconds,
                "items": items, "cost_usd": None, "scheduled_at": at, "at": at + seconds,
                "batch_size": batch, "in_flight": in_flight, "retry_limit": 4,
                "experiment": "", "arm": "", "share": None,
            } | more)  # fmt: skip

    def table(self) -> pa.Table:
        return pa.Table.from_pylist(self.rows)

    def query(self, name: str, **params: Any) -> pa.Table:
        """Answer as the record would: this world has one step."""
        if name == "evidence_extent":
            return pa.table({"since": [0.0], "attempts": [len(self.rows)], "runs": [9]})
        assert name == "evidence_attempts", name
        return self.table()


def explored() -> World:
    """A record in which each knob was moved by itself, as trials of one knob leave it."""
    world = World()
    for batch in (10, 20, 30, 60, 120):
        world.run(batch, 2)
    for in_flight in (4, 8):
        world.run(10, in_flight)
    return world


def pointed(
    world: World, stable: Mapping[str, int], limits: Limits = LIMITS, seed: str = "1", **more: Any
) -> Direction | str:
    table = world.table()
    recorded = Recorded(from_rows(table, playbook="p", step="s"), **more)
    return towards({**SCOPE, "stable": stable}, batches(table), recorded, limits, seed)


def settled(world: World, stable: dict[str, int]) -> World:
    for _ in range(3):
        world.run(stable["each.batch"], stable["each.in_flight"])
    return world


# ---- the planted interaction ----------------------------------------------------------------


def alone(stable: dict[str, int]) -> dict[str, int]:
    """The best single change of one knob, its truth known, in the bounds; else the same."""
    asked = [{**stable, "each.batch": b} for b in (10, 20, 30, 40, 60, 120)]
    asked += [{**stable, "each.in_flight": f} for f in (1, 2, 4, 8)]
    fit = [s for s in asked if s["each.batch"] * s["each.in_flight"] <= ITEMS]
    best = min(fit, key=lambda s: took(*s.values()))
    return best if took(*best.values()) < 0.95 * took(*stable.values()) else stable


def test_one_knob_at_a_time_gets_stuck_where_the_joint_direction_gets_through() -> None:
    stuck = START
    while (after := alone(stuck)) != stuck:
        stuck = after
    world, stable = explored(), dict(START)
    for _ in range(4):
        found = pointed(settled(world, stable), stable)
        if isinstance(found, str):
            break
        stable[found.first] = found.to
    asked = product((10, 20, 30, 60, 120), (2, 4, 8))
    best = min(took(b, f) for b, f in asked if b * f <= ITEMS)
    assert took(*stuck.values()) > 1.2 * best
    assert took(*stable.values()) < 1.05 * best


# ---- a direction, by its properties -----------------------------------------------------------


values = st.fixed_dictionaries({"a": st.integers(1, 40), "b": st.integers(1, 40)})


@given(values, values, st.dictionaries(st.integers(0, 9), st.floats(-2.0, 1.0)), st.floats(1, 4))
def test_a_direction_moves_one_knob_within_reach_and_never_past_the_joint_best(
    stable: dict[str, int], best: dict[str, int], told: dict[int, float], factor: float
) -> None:
    def foretold(setting: Mapping[str, int]) -> float | None:
        return told.get((3 * setting["a"] + setting["b"]) % 10)

    def reach(knob: str, value: int) -> int:
        now = stable[knob]
        return min(value, int(now * factor)) if value > now else max(value, -int(-now // factor))

    found = direction(stable, best, -1.0, reach, foretold, least=-0.05)
    if found is None:
        return
    low, high = found.ends(found.first)
    assert low <= found.to <= high
    assert found.to != stable[found.first]
    assert found.alone[found.first] == min(found.alone.values()) <= -0.05
    kept = found.narrowed({"tune": [{"name": "a"}, {"name": "b"}, {"name": "timeout"}]})
    for tune in kept["tune"]:
        assert (tune["min"], tune["max"]) == found.ends(tune["name"])


def test_the_same_seed_gives_the_same_direction_and_trials_are_kept_in_the_log() -> None:
    world, stable = settled(explored(), START), START
    logs: dict[str, Remembered] = {}

    def kept(name: str) -> Remembered:
        return logs.setdefault(name, Remembered())

    one = pointed(world, stable, logs=kept)
    entries = [len(log.entries) for log in logs.values()]
    assert entries[0] > 0
    assert pointed(world, stable, logs=kept) == one
    (after,) = [len(log.entries) for log in logs.values()]
    assert after <= entries[0] + 1  # it is opened again, and nothing is tried again
    assert pointed(world, stable) == pointed(world, stable)


def test_a_search_starts_from_what_another_step_took_at_the_settings_it_ran_at() -> None:
    world, other = settled(explored(), START), World()
    for batch, in_flight in product((10, 20, 30), (2, 4, 8)):
        other.run(batch, in_flight)

    def tried(*others: Batches) -> list[tuple[int, ...]]:
        found = pointed(world, START, others=others)
        assert isinstance(found, Direction)
        return [(t["each.batch"], t["each.in_flight"]) for t in found.facts["trials"]]

    assert tried(batches(other.table()))[1] == (30, 8)
    assert tried().index((30, 8)) > 1


def test_no_setting_is_outside_what_author_policy_and_history_allow() -> None:
    world = settled(explored(), START)
    tight = Limits(joint=True, bounds={"each.batch": (1, 25)}, reach=3.0)
    found = pointed(world, START, tight)
    assert isinstance(found, Direction)
    for trial in found.facts["trials"]:
        assert trial["each.batch"] <= 25
        assert trial["each.in_flight"] <= 6  # x3 of the stable value
        assert trial["each.batch"] * trial["each.in_flight"] <= ITEMS
    unseen = settled(World(), START)
    assert "foretold" in str(pointed(unseen, START))


# ---- where it abstains ------------------------------------------------------------------------


def test_replays_that_are_too_far_off_give_no_direction() -> None:
    world = settled(explored(), START)
    strict = Limits(joint=True, replay_error=1e-9)
    assert "off, more than" in str(pointed(world, START, strict))
    assert "1 run on its values" in str(pointed(World(world.rows), {"each.batch": 30}))


def test_a_valley_between_here_and_the_joint_best_is_said_and_not_crossed() -> None:
    stuck = {"each.batch": 120, "each.in_flight": 2}
    world = explored()
    for _ in range(2):
        world.run(120, 2)
        world.run(30, 8)
    found = pointed(settled(world, stuck), stuck)
    assert isinstance(found, str)
    assert "each.batch 30 × each.in_flight 8" in found
    assert "no single change" in found


def test_a_step_of_one_simulated_knob_has_no_direction() -> None:
    world = settled(explored(), START)
    one = {**SCOPE, "tune": [*SCOPE["tune"][:1], {"name": "timeout"}]}
    table = world.table()
    recorded = Recorded(from_rows(table, playbook="p", step="s"))
    assert "each.batch is" in str(towards(one, batches(table), recorded, LIMITS, "1"))


# ---- in the tuner -----------------------------------------------------------------------------


def cycle(*, joint: bool, **limits: Any) -> dict[str, Any]:
    """One cycle over a step whose batch size was tried in blocks."""
    world = explored()
    for k in range(6):
        for batch, arm in ((10, "control"), (30, "candidate.1"), (120, "candidate.2")):
            world.run(batch, 2, experiment="x", arm=arm, block=k, share=0.3)
    policy = {**limits, "joint": joint, "step_change": dict.fromkeys(START, "x4")}
    return run_cycle(settled(world, START), [SCOPE], policy, random.Random(1)).to_json()


def test_a_cycle_goes_towards_the_joint_best_only_where_the_policy_asks_for_it() -> None:
    (plain,) = cycle(joint=False)["candidates"]
    assert plain["diff"] == [{"knob": "each.batch", "from": 10, "to": 120}]  # best by itself
    (aimed,) = cycle(joint=True)["candidates"]
    assert aimed["diff"] == [{"knob": "each.in_flight", "from": 2, "values": [4]}]
    joint = aimed["evidence"]["joint"]
    assert joint["best"] == {"each.batch": 30, "each.in_flight": 8}
    assert joint["predicted"] < joint["alone"]["each.in_flight"] < joint["alone"]["each.batch"]
    assert "joint best each.batch 30 × each.in_flight 8 predicts -9" in aimed["note"]
    assert is_intact(aimed["evidence"])


def test_a_cycle_that_cannot_say_looks_at_each_knob_by_itself_and_says_why() -> None:
    found = cycle(joint=True, verify={"shadow": {"max_error": 1e-9}})
    assert found["candidates"][0]["diff"] == [{"knob": "each.batch", "from": 10, "to": 120}]
    assert "joint" in {reason["reason"] for reason in found["reasons"]}


def test_a_run_that_is_more_than_is_read_is_not_replayed() -> None:
    class Large(World):
        def query(self, name: str, **params: Any) -> pa.Table:
            table = super().query(name, **params)
            if name == "evidence_extent" and params["most"] == MOST:
                return table.set_column(2, "runs", [[0]])
            return table

    reasons = run_cycle(
        Large(settled(explored(), START).rows), [SCOPE], {"joint": True}, random.Random(1)
    ).reasons
    assert "0 runs on its values can be replayed, not 3" in [reason.text for reason in reasons]


def test_a_run_prepared_once_foretells_what_it_would_if_asked_anew_each_time() -> None:
    first, *rest = from_rows(explored().table(), playbook="p", step="s")
    ready = prepared(first, random.Random(1), rest, draws=5)
    for values in ({"each.batch": 20}, {"each.in_flight": 4}, {"each.batch": 20}):
        alone = what_if(first, {"s": values}, random.Random(1), history=rest, draws=5)
        assert isinstance(alone, Estimate)
        again = ready.under({"s": values})
        assert isinstance(again, Estimate)
        assert (again.makespan_s, again.makespan_delta) == (alone.makespan_s, alone.makespan_delta)


def test_runs_of_too_many_batches_are_named_as_the_reason() -> None:
    world = World()
    world.run(1, 2)
    told = Replays(SCOPE, from_rows(world.table(), playbook="p", step="s") * 3, START, "1", 3)
    assert told.doubt(LIMITS) == "0 runs on its values can be replayed, not 3"
    with_large = Replays(
        SCOPE, told.works, {"each.batch": 1, "each.in_flight": 2}, "1", 3, most=200
    )
    assert "3 have more than 200 batches" in str(with_large.doubt(LIMITS))
