"""A scope: what the catalogue and the overlays say of one step, as the optimizer is given it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def step_named(scope: Mapping[str, Any]) -> str:
    """Return the name by which people know the step.

    >>> step_named({"playbook": "etl/load", "step": "score"})
    'etl/load#score'
    """
    return f"{scope['playbook']}#{scope['step']}"
