"""Tools as a playbook sees them: what each kind takes, returns, raises, and how it is ended.

The classes that run them live in ``runtime/tools``; this table is what their blocks are
checked against when a playbook is read, long before a worker runs. A kind that another
distribution brings declares the same (`runtime.playbook.kinds`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from runtime.playbook.model import Effect

Shape: TypeAlias = Literal[
    "text", "command", "map", "word", "flag", "count", "any", "errors", "call", "duration",
    "time", "path", "address", "answer", "amount", "keys",
]  # fmt: skip
Cancel: TypeAlias = Literal["process", "remote", "engine"]
Schema: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ToolKey:
    """One key of a tool's block. A ``verbatim`` key is never templated."""

    means: str
    shape: Shape = "text"
    verbatim: bool = False
    choices: tuple[str, ...] = ()
    within: dict[str, ToolKey] = field(default_factory=dict)
    """The keys of a key of shape ``keys``, and those of which it has exactly one."""
    one_of: tuple[str, ...] = ()
    least: int = 1
    most: int = 1_000_000
    """The smallest and the largest ``count``."""
    goes_with: tuple[str, tuple[str, ...]] = ("", ())
    """Another key and those of its values with which this one means something; "" is none."""
    needed_there: bool = False


@dataclass(frozen=True, slots=True)
class ToolKind:
    """One kind of tool: its keys, those it must have, and those of which it has exactly one."""

    means: str
    keys: dict[str, ToolKey]
    required: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()
    barred: tuple[str, ...] = ()
    """Step keys that mean nothing with it: the engine answers it, and no worker runs it."""
    result: Schema = field(default_factory=dict)
    """JSON Schema of the result as later steps see it, a table as the reference it travels by."""
    raises: tuple[str, ...] = ("permanent",)
    """The classes its own errors can have. Beside them any attempt can end as ``resource``,
    ``timeout``, ``lost`` or ``cancelled``, and ``errors`` may say otherwise."""
    cancel: Cancel = "process"
    effect: Effect = "idempotent"
    once_when: tuple[str, tuple[str, ...]] = ("", ())
    """A key and those of its values with which the effect is ``once``."""

    def effect_of(self, block: dict[str, Any]) -> Effect:
        """Return the effect of a block when the step does not say."""
        key, values = self.once_when
        return "once" if key and block.get(key) in values else self.effect


CANCEL: Final[dict[Cancel, str]] = {
    "process": "its process is killed, and with it all that it started",
    "remote": "what runs elsewhere for it is cancelled there, then its process is killed",
    "engine": "the engine forgets what it waited for; no process was held",
}
"""What happens when an attempt is cancelled, or is over its time."""
TABLE: Final[Schema] = {
    "type": "object", "required": ["$ref", "media", "rows", "schema"],
    "description": "an Arrow table, by reference",
}  # fmt: skip
CLASSES: Final = (
    "transient", "timeout", "throttled", "permanent", "data", "resource", "unknown"
)  # fmt: skip
"""The classes that a worker's tool can give its errors."""
_HERE: Final = (
    "alternatives", "each", "effect", "heartbeat", "hedge", "memory", "output", "processes",
    "publishes", "queue_timeout", "runs_on", "start", "tune", "uses",
)  # fmt: skip
_ERRORS: Final = ToolKey("refines which class an error has", "errors", verbatim=True)
_SPEND: Final = {
    "usd": ToolKey("dollars: a number, or an expression over the answer", "amount", True),
    "tokens": ToolKey("tokens of a model, the same", "amount", True),
    "calls": ToolKey("calls of a service, the same", "amount", True),
}  # fmt: skip
"""What an answer cost, beside the slot that waited for it."""
_PAGES: Final = {
    "next": ToolKey(
        "link (the Link header), or an expression: the next address, none at the end", "answer",
        True, ("link",),
    ),
    "param": ToolKey("the parameter that takes what next gives, when that is no address",
                     verbatim=True),
    "page": ToolKey("the parameter that takes the number; an empty page ends", verbatim=True),
    "first": ToolKey("the number of the first page (1)", "count", True, least=0),
    "offset": ToolKey("the parameter that takes how many items were read", verbatim=True),
    "items": ToolKey("an expression: the items of a page (its body)", "answer", True),
    "max_pages": ToolKey("more pages than this are an error (100)", "count", True, most=100_000),
}  # fmt: skip

TOOLS: Final[dict[str, ToolKind]] = {
    "python": ToolKind(
        "calls a function, or runs a few lines, in a worker process",
        {
            "call": ToolKey("module:function of a file beside the playbook", "call", True),
            "code": ToolKey("lines that assign result, or define main", verbatim=True),
            "errors": _ERRORS,
        },
        one_of=("call", "code"),
        result={"description": "what the code returned"},
        raises=CLASSES,
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
            "as": ToolKey(
                "what the body is; else its media type says it", "word", True,
                ("json", "text", "table", "bytes"),
            ),
            "pages": ToolKey(
                "reads page after page; the result is {status, pages, items}", "keys", True,
                within=_PAGES, one_of=("next", "page", "offset"),
            ),
            "spend": ToolKey(
                "what an answer cost: each of them for every answer that is not an error", "keys",
                True, within=_SPEND,
            ),
            "redirects": ToolKey(
                "follow (five at most), same_host or none", "word", True,
                ("follow", "same_host", "none"),
            ),
            "allow_loopback": ToolKey("true lets it reach this machine", "flag", True),
            "errors": _ERRORS,
        },
        required=("url",),
        result={"anyOf": [
            {"type": "object", "required": ["status", "headers", "body"]},
            {"type": "object", "required": ["status", "pages", "items"]},
        ]},
        raises=("transient", "timeout", "throttled", "permanent", "resource"),
        once_when=("method", ("POST", "PATCH")),
    ),
    "sql": ToolKind(
        "runs SQL in DuckDB, SQLite, PostgreSQL or ClickHouse; $name are bound parameters",
        {
            "engine": ToolKey(
                "duckdb unless said otherwise", "word", True,
                ("duckdb", "sqlite", "postgres", "clickhouse"),
            ),
            "query": ToolKey("the statement", verbatim=True),
            "file": ToolKey("a .sql file beside the playbook", verbatim=True),
            "into": ToolKey(
                "a table that takes the batch, or the argument rows, in place of a query",
                verbatim=True,
            ),
            "database": ToolKey(
                "a file in the run's folder; in memory when left out",
                goes_with=("engine", ("", "duckdb", "sqlite")),
            ),
            "connection": ToolKey(
                "the server's address, best as {secret: name}", "address",
                goes_with=("engine", ("postgres", "clickhouse")), needed_there=True,
            ),
            "errors": _ERRORS,
        },
        one_of=("query", "file", "into"),
        result={"anyOf": [
            {"type": "null", "description": "null when the last statement has no rows"}, TABLE,
            {"type": "object", "required": ["rows"]},
        ]},
        raises=("transient", "timeout", "throttled", "permanent", "data", "resource"),
        cancel="remote",
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
        result={"description": "{exit_code, stdout}, or the last line of the output as JSON"},
        raises=("permanent", "data"),
        effect="once",
    ),
    "history": ToolKind(
        "reads the record by a named statement; in system playbooks alone",
        {
            "query": ToolKey("the statement's name; its parameters come from with", verbatim=True),
            "errors": _ERRORS,
        },
        required=("query",),
        result=TABLE,
        raises=("permanent", "transient"),
    ),
    "search": ToolKind(
        "finds past executions by meaning and by words; in system playbooks alone",
        {
            "query": ToolKey("what to look for, in plain words"),
            "of": ToolKey("the kind of thing: run, failure, playbook, step, proposal, lesson"),
            "playbook": ToolKey("of this playbook alone"),
            "step": ToolKey("of this step alone"),
            "state": ToolKey("in this state alone"),
            "limit": ToolKey("how many at most (20)", "count", True, most=200),
            "errors": _ERRORS,
        },
        required=("query",),
        result={"type": "array", "items": {
            "type": "object",
            "required": ["id", "kind", "text", "score", "why", "stream", "stream_seq", "href"],
        }},
        raises=("permanent", "transient"),
    ),
    "playbook": ToolKind(
        "runs another playbook as a child; with gives its workload",
        {"path": ToolKey("the playbook's path in the catalogue", "path", verbatim=True)},
        required=("path",),
        barred=_HERE,
        result={"description": "what the child run returned"},
        raises=(*CLASSES, "lost", "no_route", "no_quorum", "expression", "cancelled"),
        cancel="engine",
    ),
    "wait": ToolKind(
        "waits for a time; no worker is held",
        {
            "for": ToolKey("how long", "duration"),
            "until": ToolKey("an ISO time with its zone, or a bare expression for one", "time"),
        },
        one_of=("for", "until"),
        barred=(*_HERE, "with", "retry", "timeout"),
        result={"type": "null"},
        raises=("expression",),
        cancel="engine",
    ),
    "signal": ToolKind(
        "waits for a signal from outside; its value is the result",
        {"name": ToolKey("the signal's name")},
        required=("name",),
        barred=(*_HERE, "with"),
        result={"description": "the value that was sent"},
        raises=("timeout",),
        cancel="engine",
    ),
    "approval": ToolKind(
        "waits for a person's yes; a no is a failure of class permanent",
        {"prompt": ToolKey("what the person is asked")},
        required=("prompt",),
        barred=(*_HERE, "with"),
        result={"type": "object", "required": ["approved", "by"]},
        raises=("permanent", "timeout"),
        cancel="engine",
    ),
}  # fmt: skip

LATER: Final = ("agent",)
"""Kinds of the design that do not work yet."""
