"""What a configuration says of retrying is what the next try follows."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.playbook.model import Retry
from runtime.run.events import Fault
from runtime.run.retry import in_force, next_try_at

POLICY = Retry(attempts=3, initial_s=1.0, max_s=10.0, jitter="none")


def again_at(values: dict[str, Any], cls: str = "transient") -> float | None:
    return next_try_at(
        in_force(POLICY, values), "idempotent", attempts=3, number=1, losses=0, deaths=0,
        outcome="failed", fault=Fault(cls, ""), leased=False, at=100.0, chance=0.5,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("values", "at"),
    [
        ({}, 101.0),
        ({"retry.on": ["transient"]}, 101.0),
        ({"retry.on": ["throttled"]}, None),
        ({"retry.on": []}, None),
        ({"retry.initial": 4.0}, 104.0),
        ({"retry.initial": 60.0}, 160.0),
        ({"retry.on": None, "retry.initial": None}, 101.0),
    ],
)
def test_the_classes_and_the_first_delay_in_force_decide_when_to_try_again(
    values: dict[str, Any], at: float | None
) -> None:
    assert again_at(values) == at


def test_a_class_that_the_author_left_out_may_be_tried_again() -> None:
    assert again_at({}, "data") is None
    assert again_at({"retry.on": ["data"]}, "data") == 101.0
