"""The playbooks that are measured: a step that does nothing, in each shape."""

from __future__ import annotations

from runtime.playbook.bundle import Bundle, load_text

CODE = """
import os, time

def nothing():
    return 1

def first(file):
    if file:
        with open(file, "w") as out:
            out.write(repr(time.time()))
    return 1

def rows(count):
    import pyarrow as pa
    return pa.table({"n": pa.array(range(count), pa.int32())})

def numbers(count):
    return list(range(count))

def naps(wait):
    time.sleep(wait)
    return os.getpid()
"""
_HEAD = """\
apiVersion: trimtab/v1
kind: Playbook
metadata: {{path: bench/{name}}}
workload:
{inputs}
workflow:
{steps}
"""


def chain(length: int) -> Bundle:
    """So many steps, one after another."""
    steps = [
        f"  - step: s{n}\n    tool: {{kind: python, call: 'work:nothing'}}\n"
        + (f"    next: s{n + 1}\n" if n + 1 < length else "")
        for n in range(length)
    ]
    return _bundle(f"chain{length}", "  number: {type: integer, default: 0}", "".join(steps))


def fan(in_flight: int = 256, make: str = "numbers") -> Bundle:
    """One step over many items, one a batch."""
    text = f"""\
  - step: make
    tool: {{kind: python, call: "work:{make}"}}
    with: {{count: "{{{{ workload.count }}}}"}}
    next: work
  - step: work
    each: {{in: "{{{{ make }}}}", batch: 1, in_flight: {in_flight}}}
    tool: {{kind: python, call: "work:nothing"}}
"""
    return _bundle(f"fan-{make}", "  count: {type: integer, default: 1000}", text)


def naps() -> Bundle:
    """Many short naps, to be interrupted."""
    text = """\
  - step: make
    tool: {kind: python, call: "work:numbers"}
    with: {count: "{{ workload.count }}"}
    next: work
  - step: work
    each: {in: "{{ make }}", batch: 1, in_flight: 4}
    tool: {kind: python, call: "work:naps"}
    with: {wait: "{{ workload.wait }}"}
    effect: idempotent
"""
    inputs = "  count: {type: integer, default: 1000}\n  wait: {type: number, default: 0.01}"
    return _bundle("naps", inputs, text)


def one() -> Bundle:
    """A single step that says when it ran."""
    text = """\
  - step: first
    tool: {kind: python, call: "work:first"}
    with: {file: "{{ workload.file }}"}
    next: stay
  - step: stay
    tool: {kind: python, call: "work:naps"}
    with: {wait: "{{ workload.stay }}"}
"""
    inputs = "  file: {type: string, default: ''}\n  stay: {type: number, default: 0}"
    return _bundle("one", inputs, text)


def _bundle(name: str, inputs: str, steps: str) -> Bundle:
    return load_text(_HEAD.format(name=name, inputs=inputs, steps=steps), {"work.py": CODE})
