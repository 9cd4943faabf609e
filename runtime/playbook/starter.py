"""The starter: a small playbook and the Python beside it, to edit and run at once.

What ``trimtab playbook init`` writes. It is a whole thing: an ``each`` step whose batch
size can be tuned, and a step that uses what it gave.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from runtime.playbook.faults import BundleFault

YAML: Final = """\
apiVersion: trimtab/v1
kind: Playbook
metadata:
  path: hello
  description: Greet a number of guests, a few at a time.
workload:                       # inputs; `trimtab run hello.yaml --set guests=500`
  guests: {type: integer, default: 200, min: 1, max: 5000}
workflow:
  - step: greet
    each: {in: "{{ range(workload.guests) }}", batch: 5, in_flight: 2}
    tool: {kind: python, call: hello:greet}      # the function greet of hello.py
    retry: {attempts: 3}
    timeout: 30s
    tune:                       # what the optimizer may propose to change, and how far
      each.batch: {min: 1, max: 100}
      each.in_flight: {min: 1, max: 4}
    next: tell
  - step: tell
    tool: {kind: python, call: hello:tell}
    with: {greetings: "{{ greet.results }}"}     # what greet returned, batch by batch
"""

PYTHON: Final = '''\
"""The work of hello.yaml. Each function asks for what it needs by name."""

import time


def greet(items, log):
    """Greet one batch of guests. `items` are the numbers of this batch."""
    time.sleep(0.02)  # a real step would call a service here; each call costs a little
    log(f"{len(items)} guests")
    return [f"Hello, guest {number}!" for number in items]


def tell(greetings):
    """Say how many were greeted. `greetings` comes from `with` in the playbook."""
    lines = [line for batch in greetings for line in batch]
    return {"greeted": len(lines), "first": lines[0], "last": lines[-1]}
'''

FILES: Final = {"hello.yaml": YAML, "hello.py": PYTHON}


def named(name: str) -> dict[str, str]:
    """Return the starter's files under another name, which is a Python module's too.

    >>> "call: greetings:greet" in named("greetings")["greetings.yaml"]
    True
    """
    return {
        file.replace("hello", name): text.replace("hello.yaml", f"{name}.yaml")
        .replace("hello.py", f"{name}.py").replace("path: hello", f"path: {name}")
        .replace("call: hello:", f"call: {name}:")
        for file, text in FILES.items()
    }  # fmt: skip


def write_starter(folder: Path | str) -> list[Path]:
    """Write the starter's files and return their paths.

    Raises BundleFault, and writes nothing, when one of them is there already.
    """
    target = Path(folder)
    for name in FILES:
        if (target / name).exists():
            raise BundleFault(f"{target / name} is there already: choose another folder")
    target.mkdir(parents=True, exist_ok=True)
    for name, text in FILES.items():
        (target / name).write_text(text, encoding="utf-8")
    return [target / name for name in FILES]
