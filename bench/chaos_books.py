"""The playbooks of the chaos run, and what each must give for its number.

Their steps are in `chaos_steps`, their code in `chaos_work`. Each first try of a flaky step
fails; retries outlast the seconds in which the disk is full.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from bench.chaos_steps import HELPERS, STEPS

CODE: Final = Path(__file__).with_name("chaos_work.py").read_text("utf-8")
_RETRY: Final = "retry: {attempts: 100, initial: 50ms, max: 2s, on: [transient, resource]}"
_HEAD: Final = """\
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: chaos/NAME}
workload:
  n: {type: integer, default: 0}
  file: {type: string, default: ""}
  rows: {default: null}
workflow:
"""
_FOOT: Final = """\
limits:
  gate: {in_flight: 3}
"""
SIGNAL: Final = 7000


def source(name: str) -> str:
    """The YAML of a playbook."""
    steps = (STEPS | HELPERS)[name].replace("RETRY", _RETRY)
    return _HEAD.replace("NAME", name) + steps + _FOOT


def _fan(n: int) -> int:
    return sum(i * i for i in range(n % 17 + 20)) + n + 5


def _large(n: int) -> list[int]:
    rows = 20_000 + n
    return [rows * (rows - 1) // 2, 12_001]


def _rounds(n: int) -> int:
    return (n + 64).bit_length() - 1 + 3


def other(n: int) -> str:
    """The alternative that run ``n`` is told to take, where it has one."""
    return "other" if n % 3 == 1 else ""


RESULTS: Final[dict[str, Callable[[int], Any]]] = {
    "chain": lambda n: n + 111,
    "fan": _fan,
    "large": _large,
    "once": lambda n: "sure",
    "rounds": _rounds,
    "waits": lambda n: SIGNAL + n,
    "parent": lambda n: n + 1111,
    "lends": lambda n: _large(n)[0] + n,
    "hedged": lambda n: n + 2000,
    "race": lambda n: n + 50,
    "laps": lambda n: 1 + 2 + 3 + 4,
    "reduced": lambda n: [sum(range(n % 17 + 40)), other(n) or "default"],
    "undone": lambda n: None,
    "endless": lambda n: None,
}
ENDS: Final = {"undone": "failed", "endless": "cancelled"}
"""How a run ends that does not complete."""
