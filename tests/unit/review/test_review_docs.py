from __future__ import annotations

import ast
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from control_plane.review.lifecycle import diagram
from control_plane.review.policy import Policy
from control_plane.review.profiles import PROFILES

ROOT = Path(__file__).parents[3]
LOOP = (ROOT / "docs/concepts/loop.md").read_text(encoding="utf-8")
POLICY = (ROOT / "docs/concepts/policy.md").read_text(encoding="utf-8")


def test_the_drawn_life_is_the_one_in_force() -> None:
    assert diagram() in LOOP


def keys(policy: Any, prefix: str = "") -> list[str]:
    found = []
    for f in fields(policy):
        value = getattr(policy, f.name)
        if not f.metadata:
            continue
        name = prefix + f.name.removesuffix("_s")
        nested = hasattr(value, "__dataclass_fields__") and f.name != "reach"
        found += keys(value, f"{name}.") if nested else [name]
    return found


@pytest.mark.parametrize("key", keys(Policy()))
def test_every_key_of_a_policy_is_in_the_docs(key: str) -> None:
    assert f"| `{key}` |" in POLICY


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_that_ships_names_every_key(profile: str) -> None:
    path = ROOT / "control_plane/review/policies" / f"{profile}.yaml"
    text = path.read_text(encoding="utf-8")
    assert [key for key in keys(Policy()) if f"{key.split('.')[-1]}:" not in text] == []


def test_the_lifecycle_imports_the_standard_library_alone() -> None:
    tree = ast.parse((ROOT / "control_plane/review/lifecycle.py").read_text(encoding="utf-8"))
    named = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    named |= {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert {name.split(".")[0] for name in named} <= sys.stdlib_module_names
