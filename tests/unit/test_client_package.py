"""What `import trimtab` gives, and what it leaves alone until it is asked for."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

import trimtab
from runtime import errors

LOADED = """
import sys
from trimtab import errors, progress, spend
import trimtab.errors
assert "Client" in dir(trimtab)
print(sorted(m for m in sys.modules if m.startswith("trimtab.") and m != "trimtab.errors"))
print("httpx2" in sys.modules)
"""


def test_a_step_that_says_its_progress_loads_no_client() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED], check=True, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.split("\n")[:2] == ["[]", "False"]


@pytest.mark.parametrize("name", trimtab.__all__)
def test_every_name_it_promises_is_there(name: str) -> None:
    assert getattr(trimtab, name) is getattr(trimtab, name)


def test_no_other_name_is() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Klient'"):
        _ = trimtab.Klient


def test_a_class_of_failure_is_the_same_from_either_import() -> None:
    import trimtab.errors as named

    assert named is errors
    assert named.Transient is errors.Transient


def test_whoever_catches_the_clients_errors_catches_each() -> None:
    for name in ("ApiError", "BadName", "TookTooLong", "Unreachable"):
        assert issubclass(getattr(trimtab, name), trimtab.ClientError)


def test_a_refusal_that_another_process_met_says_the_same() -> None:
    problem = {"detail": "no run", "hint": "trimtab run list", "reason": "not_found"}
    again = pickle.loads(pickle.dumps(trimtab.ApiError(404, problem)))
    assert (str(again), again.status, again.hint) == ("no run", 404, "trimtab run list")
