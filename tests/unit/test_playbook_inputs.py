"""What a run is given is checked against what its playbook declares."""

from __future__ import annotations

import pytest

from runtime.playbook.faults import WorkloadFaults
from runtime.playbook.inputs import fill, fits
from runtime.playbook.model import Input

INPUTS = (
    Input("age", "integer", default=18, min=0, max=120),
    Input("name", "string", required=True),
    Input("mode", "string", default="full", choices=("full", "delta")),
    Input("note"),
)


def test_what_is_not_given_has_its_default() -> None:
    assert fill(INPUTS, {"name": "x"}) == {"age": 18, "name": "x", "mode": "full", "note": None}


def test_every_input_that_does_not_fit_is_named_at_once() -> None:
    with pytest.raises(WorkloadFaults) as caught:
        fill(INPUTS, {"age": 130, "mode": "half", "aeg": 1})
    assert caught.value.faults == {
        "aeg": "no such input (did you mean age?)",
        "age": "must be at most 120, not 130",
        "name": "must be given",
        "mode": "must be one of full, delta, not half",
    }


@pytest.mark.parametrize(
    ("kind", "value", "holds"),
    [
        ("string", "a", True),
        ("string", 1, False),
        ("integer", 1, True),
        ("integer", 1.0, False),
        ("integer", True, False),
        ("number", 1, True),
        ("number", float("nan"), False),
        ("boolean", False, True),
        ("boolean", 0, False),
        ("object", {}, True),
        ("array", [], True),
        ("array", None, False),
        ("any", None, True),
    ],
)
def test_a_value_has_a_type_or_not(kind: str, value: object, holds: bool) -> None:
    assert fits(kind, value) is holds
