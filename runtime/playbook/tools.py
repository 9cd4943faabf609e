"""Tools as a playbook sees them: the keys each kind takes and which of them hold templates.

The classes that run them live in ``runtime/tools``; this table is what their blocks are
checked against when a playbook is read, long before a worker runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Shape: TypeAlias = Literal[
    "text", "command", "map", "word", "flag", "any", "errors", "call", "duration", "time", "path"
]


@dataclass(frozen=True, slots=True)
class ToolKey:
    """One key of a tool's block. A ``verbatim`` key is never templated."""

    means: str
    shape: Shape = "text"
    verbatim: bool = False
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ToolKind:
    """One kind of tool: its keys, those it must have, and those of which it has exactly one."""

    means: str
    keys: dict[str, ToolKey]
    required: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()
    barred: tuple[str, ...] = ()
    """Step keys that mean nothing with it: the engine answers it, and no worker runs it."""


_HERE: Final = ("each", "effect", "publishes", "queue_timeout", "runs_on", "tune", "uses")
_ERRORS: Final = ToolKey("refines which class an error has", "errors", verbatim=True)

TOOLS: Final[dict[str, ToolKind]] = {
    "python": ToolKind(
        "calls a function, or runs a few lines, in a worker process",
        {
            "call": ToolKey("module:function of a file beside the playbook", "call", True),
            "code": ToolKey("lines that assign result, or define main", verbatim=True),
            "errors": _ERRORS,
        },
        one_of=("call", "code"),
    ),
    "http": ToolKind(
        "sends a request",
        {
            "url": ToolKey("where to"),
            "method": ToolKey(
                "GET unless said otherwise", "word", True,
                ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"),
            ),
            "headers": ToolKey("header → text", "map"),
            "params": ToolKey("query of the address", "map"),
            "json": ToolKey("a body, sent as JSON", "any"),
            "body": ToolKey("a body, sent as it is"),
            "allow_loopback": ToolKey("true lets it reach this machine", "flag", True),
            "errors": _ERRORS,
        },
        required=("url",),
    ),
    "sql": ToolKind(
        "runs a statement in DuckDB or SQLite; $name are bound parameters",
        {
            "engine": ToolKey(
                "duckdb (the default) or sqlite", "word", True, ("duckdb", "sqlite")
            ),
            "query": ToolKey("the statement", verbatim=True),
            "file": ToolKey("a .sql file beside the playbook", verbatim=True),
            "database": ToolKey("a file in the run's folder; in memory when left out"),
            "errors": _ERRORS,
        },
        one_of=("query", "file"),
    ),
    "shell": ToolKind(
        "runs a command; arguments reach it as variables of its environment",
        {
            "run": ToolKey("a command line, or a list of words that no shell reads", "command"),
            "env": ToolKey("variable → text", "map"),
            "output": ToolKey(
                "text, or json: the last line is the result", "word", True, ("text", "json")
            ),
            "errors": _ERRORS,
        },
        required=("run",),
    ),
    "history": ToolKind(
        "reads the record by a named statement; in system playbooks alone",
        {
            "query": ToolKey("the statement's name; its parameters come from with", verbatim=True),
            "errors": _ERRORS,
        },
        required=("query",),
    ),
    "playbook": ToolKind(
        "runs another playbook as a child; with gives its workload",
        {"path": ToolKey("the playbook's path in the catalogue", "path", verbatim=True)},
        required=("path",),
        barred=_HERE,
    ),
    "wait": ToolKind(
        "waits for a time; no worker is held",
        {
            "for": ToolKey("how long", "duration"),
            "until": ToolKey("until when: an ISO time with its zone", "time"),
        },
        one_of=("for", "until"),
        barred=(*_HERE, "with", "retry", "timeout"),
    ),
    "signal": ToolKind(
        "waits for a signal from outside; its value is the result",
        {"name": ToolKey("the signal's name")},
        required=("name",),
        barred=(*_HERE, "with"),
    ),
    "approval": ToolKind(
        "waits for a person's yes; a no is a failure of class permanent",
        {"prompt": ToolKey("what the person is asked")},
        required=("prompt",),
        barred=(*_HERE, "with"),
    ),
}  # fmt: skip

LATER: Final = ("search", "agent")
"""Kinds of the design that do not work yet."""

VERBATIM: Final = frozenset(
    {"kind"} | {name for tool in TOOLS.values() for name, key in tool.keys.items() if key.verbatim}
)
"""Keys of tool blocks that are handed to the tool as they are written."""
