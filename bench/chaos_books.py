"""The playbooks of the chaos run, and what each must give for its number.

Every shape that has a state of its own to lose: chains, branches and joins, batches,
tables and lists that travel by reference, rounds and loops, waits, signals, children, and
an effect that may happen once. Each first try of a flaky step fails, by a file in the
run's folder; retries outlast the seconds in which the disk is full.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

CODE: Final = """
import os, time
from pathlib import Path

def flaky(run_folder, name):
    mark = Path(run_folder) / f"tried-{name}"
    if not mark.exists():
        mark.touch()
        raise ConnectionError(f"{name} fails the first time")

def add(x, y, run_folder, name):
    time.sleep(0.02)
    flaky(run_folder, name)
    return x + y

def numbers(n):
    return list(range(n % 17 + 20))

def squares(items, batch, run_folder):
    time.sleep(0.02)
    if batch.index == 1:
        flaky(run_folder, "squares-1")
    return [[item * item, "x" * 4000] for item in items]  # so that together they are large

def total(parts, more):
    return sum(square for part in parts for square, _ in part) + more

def table(n):
    import pyarrow as pa
    return pa.table({"x": pa.array(range(20_000 + n), pa.int64())})

def column(table, run_folder, batch):
    import pyarrow.compute as pc
    if batch.index == 2:
        flaky(run_folder, "column-2")
    return pc.sum(table["x"]).as_py()

def long_list(parts, n):
    return [sum(parts)] + [f"row {n} {i}" for i in range(12_000)]

def first_and_length(values, run_folder):
    flaky(run_folder, "read")
    return [values[0], len(values)]

def append(file, line):
    fd = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, (line + "\\n").encode())
    os.close(fd)
    time.sleep(0.05)
    return line
"""
_RETRY: Final = "retry: {attempts: 100, initial: 50ms, max: 2s, on: [transient, resource]}"
_HEAD: Final = """\
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: chaos/NAME}
workload:
  n: {type: integer, default: 0}
  file: {type: string, default: ""}
workflow:
"""
STEPS: Final = {
    "chain": """\
  - step: a
    tool: {kind: python, call: "work:add"}
    with: {x: "{{ workload.n }}", y: 1, name: a}
    RETRY
    next: b
  - step: b
    tool: {kind: python, call: "work:add"}
    with: {x: "{{ a }}", y: 10, name: b}
    RETRY
    next: c
  - step: c
    tool: {kind: python, call: "work:add"}
    with: {x: "{{ b }}", y: 100, name: c}
    RETRY
""",
    "fan": """\
  - step: make
    tool: {kind: python, call: "work:numbers"}
    with: {n: "{{ workload.n }}"}
    RETRY
    next: [left, right]
  - step: left
    each: {in: "{{ make }}", batch: 4, in_flight: 2}
    tool: {kind: python, call: "work:squares"}
    RETRY
    next: both
  - step: right
    tool: {kind: python, call: "work:add"}
    with: {x: "{{ workload.n }}", y: 5, name: right}
    RETRY
    next: both
  - step: both
    tool: {kind: python, call: "work:total"}
    with: {parts: "{{ left.results }}", more: "{{ right }}"}
    RETRY
""",
    "large": """\
  - step: rows
    tool: {kind: python, call: "work:table"}
    with: {n: "{{ workload.n }}"}
    RETRY
    next: columns
  - step: columns
    each: {in: "{{ rows }}", batch: 6000, in_flight: 2}
    tool: {kind: python, call: "work:column"}
    RETRY
    next: list
  - step: list
    tool: {kind: python, call: "work:long_list"}
    with: {parts: "{{ columns.results }}", n: "{{ workload.n }}"}
    RETRY
    next: read
  - step: read
    tool: {kind: python, call: "work:first_and_length"}
    with: {values: "{{ list }}"}
    RETRY
""",
    "once": """\
  - step: before
    tool: {kind: python, call: "work:add"}
    with: {x: "{{ workload.n }}", y: 0, name: before}
    RETRY
    next: act
  - step: act
    effect: once
    tool: {kind: python, call: "work:append"}
    with: {file: "{{ workload.file }}", line: "{{ run.id }}"}
    next:
      - {to: sure}
      - {to: unsure, on: [unknown]}
  - step: sure
    tool: {kind: python, code: "result = 'sure'"}
    RETRY
  - step: unsure
    tool: {kind: python, code: "result = 'unsure'"}
    RETRY
""",
    "rounds": """\
  - step: half
    tool: {kind: python, code: "result = number // 2"}
    with: {number: "{{ half | default(workload.n + 64) }}"}
    RETRY
    set: {count: {add: 1}}
    next:
      - {to: half, when: "half > 1", max: 50}
      - {to: poll, otherwise: true}
  - step: poll
    tool: {kind: python, call: "work:add"}
    with: {x: "{{ repeat.round }}", y: "{{ ctx.count }}", name: poll}
    repeat: {until: "poll >= ctx.count + 3", max: 9, wait: 20ms}
    RETRY
""",
    "waits": """\
  - step: pause
    tool: {kind: wait, for: 400ms}
    next: ask
  - step: ask
    tool: {kind: signal, name: go}
    next: tell
  - step: tell
    tool: {kind: python, call: "work:add"}
    with: {x: "{{ ask }}", y: "{{ workload.n }}", name: tell}
    RETRY
""",
    "parent": """\
  - step: child
    tool: {kind: playbook, path: chaos/chain}
    with: {n: "{{ workload.n }}"}
    next: after
  - step: after
    tool: {kind: python, call: "work:add"}
    with: {x: "{{ child }}", y: 1000, name: after}
    RETRY
""",
}
SIGNAL: Final = 7000


def source(name: str) -> str:
    """The YAML of a playbook."""
    return _HEAD.replace("NAME", name) + STEPS[name].replace("RETRY", _RETRY)


def _fan(n: int) -> int:
    return sum(i * i for i in range(n % 17 + 20)) + n + 5


def _large(n: int) -> list[int]:
    rows = 20_000 + n
    return [rows * (rows - 1) // 2, 12_001]


def _rounds(n: int) -> int:
    return (n + 64).bit_length() - 1 + 3


RESULTS: Final[dict[str, Callable[[int], Any]]] = {
    "chain": lambda n: n + 111,
    "fan": _fan,
    "large": _large,
    "once": lambda n: "sure",
    "rounds": _rounds,
    "waits": lambda n: SIGNAL + n,
    "parent": lambda n: n + 1111,
}
