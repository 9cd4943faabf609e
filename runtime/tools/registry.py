"""Finds tools by kind: our own at once, others through the entry points ``trimtab.tools``.

Reading entry points means reading every installed distribution, so it happens only for a
kind that is not ours. That also makes a checkout work that was never installed; a test
holds `OURS` equal to the entry points in ``pyproject.toml``.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Final

from runtime.errors import Permanent
from runtime.tools.port import Tool

OURS: Final = {
    "python": "runtime.tools.python:PythonTool",
    "shell": "runtime.tools.shell:ShellTool",
    "http": "runtime.tools.http:HttpTool",
    "sql": "runtime.tools.sql:SqlTool",
    "history": "runtime.tools.history:HistoryTool",
    "search": "runtime.tools.search:SearchTool",
}


@cache
def tool(kind: str) -> Tool:
    """The tool of that kind, made once in a process.

    Raises:
        Permanent: nothing installed offers it.
    """
    path = OURS.get(kind) or _others().get(kind)
    if path is None:
        known = ", ".join(sorted({*OURS, *_others()}))
        raise Permanent(f"there is no tool of kind {kind!r}; known are {known}")
    module, _, name = path.partition(":")
    made: Tool = getattr(import_module(module), name)()
    return made


def kinds() -> dict[str, str]:
    """Every kind that can be called → where it lives."""
    return {**_others(), **OURS}


def _others() -> dict[str, str]:
    from runtime.playbook.kinds import others

    return {name: entry.value for name, entry in others().items()}
