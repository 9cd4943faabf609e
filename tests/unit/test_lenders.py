"""Whose curves a step borrows in a cycle, and that its proposal says so."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from functools import cache
from typing import Any

import pyarrow as pa

from agents.lenders import lenders_of
from agents.observer import Observation
from agents.tuner import tune
from optimizer.evidence import batches
from optimizer.guard import Limits
from optimizer.reasoning import reasoning
from optimizer.resemblance import Described
from optimizer.tries import tries

SIZES = (10, 25, 50, 100, 200, 400)
TUNE = [{"name": "each.batch", "min": 10, "max": 1000}]


def attempts(playbook: str, sizes: tuple[int, ...], step: str, each: int) -> pa.Table:
    """Attempts of one step: loads are held up by a fixed part, calls by every item."""
    rows, chance = [], random.Random(playbook + step)
    for size in sizes:
        for k in range(each):
            took = 1.0 + 0.001 * size if step == "load" else 0.02 + 0.01 * size
            seconds = took * math.exp(chance.gauss(0, 0.03))
            rows.append({
                "attempt": f"{playbook}/{size}-{k}/1", "run": f"r{k % 4}", "version": "v1",
                "batch": size * 10_000 + k, "block": -1, "number": 1, "outcome": "succeeded",
                "retried": 0, "run_s": seconds, "items": size, "cost_usd": seconds / 3600,
                "scheduled_at": 1000.0 + k, "at": 1000.0 + k + seconds, "batch_size": size,
                "in_flight": 2, "experiment": "", "arm": "", "share": None,
            })  # fmt: skip
    return pa.Table.from_pylist(rows)


def seen(playbook: str, step: str, sizes: tuple[int, ...] = SIZES, each: int = 12) -> Observation:
    table = attempts(playbook, sizes, step, each)
    scope: dict[str, Any] = {
        "playbook": playbook, "step": step, "version": "v1", "bound": "b",
        "effect": "idempotent", "objective": "cost", "stable": {}, "last": [], "tune": TUNE,
        "defaults": {"each.batch": 25, "each.in_flight": 2},
    }  # fmt: skip
    return Observation(scope, batches(table), 1.0, tries(table))


@cache
def cycle() -> tuple[list[Observation], dict[tuple[str, str], Described]]:
    """Four playbooks that load and call, and a new one that has loaded in batches of 25 alone."""
    known = [seen(p, step) for p in "abcd" for step in ("load", "call")]
    tools = {"load": "sql", "call": "http"}
    told = {(p, step): Described(tool=tool) for p in "abcdn" for step, tool in tools.items()}
    return [*known, seen("n", "load", (25,), 200)], told


def test_an_experiment_says_whose_curves_it_leans_on_those_that_resemble_it_first() -> None:
    observed, told = cycle()
    lending = lenders_of(observed, told).to(observed[-1])
    assert lending.share > 0.1
    assert "n#load" not in {one.step for one in lending.lenders}
    candidates, _ = tune(observed, {}, random.Random(1), known=told)
    (found,) = [one for one in candidates if one.playbook == "n"]
    assert found.kind == "experiment"
    assert "guessed with the curves of a#load, b#load, c#load and 5 more" in found.note
    assert "steps that resemble it weigh more (a#load 1.00" in found.note
    borrowed = found.evidence["curve"]["borrowed_from"]
    assert [one["step"] for one in borrowed[:4]] == ["a#load", "b#load", "c#load", "d#load"]
    assert all(one["weight"] < 1.0 for one in borrowed[4:])


def test_without_a_catalogue_names_and_what_an_item_takes_are_what_steps_resemble_by() -> None:
    observed, _ = cycle()
    lending = lenders_of(observed).to(observed[-1])
    alike = dict(zip([one.step for one in lending.lenders], lending.alike(), strict=True))
    assert alike["a#load"] > alike["a#call"]


def test_a_cycle_and_a_study_of_one_step_borrow_alike_and_no_order_matters() -> None:
    observed, told = cycle()
    mine = observed[-1]
    one = lenders_of(observed, told).to(mine)
    two = lenders_of(observed[::-1], told).to(mine)
    assert sorted(zip(map(str, one.curves), one.pulls(), strict=True)) == sorted(
        zip(map(str, two.curves), two.pulls(), strict=True)
    )
    guesses = []
    for lending in (one, replace(one, share=0.0)):
        told_of = reasoning(mine.scope, mine.history, Limits(), "s", mine.tries, lending=lending)
        model = told_of["knobs"][0]["model"]
        assert model["curve"]["borrowed_from"][0]["step"] == "a#load"
        guesses.append(model["expected"]["50"])
    assert -0.5 < guesses[0] < guesses[1] - 0.02  # the truth is -0.49
