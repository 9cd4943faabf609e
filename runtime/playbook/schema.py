"""The JSON Schema of a playbook, for editors: completion, hover texts, red lines.

Made from the same tables that ``parse`` reads by, so that the two agree on every key. An
editor sees shapes and words; only ``parse`` knows names, arcs and expressions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from runtime.playbook import keys
from runtime.playbook.arcs import CATCHABLE, ROUNDS
from runtime.playbook.blocks import PATH, TOOL_CLASSES
from runtime.playbook.hedging import HEDGES
from runtime.playbook.inputs import TYPES
from runtime.playbook.joins import INPUTS, KINDS
from runtime.playbook.kinds import KindFault, declaration, names
from runtime.playbook.knobs import DURATIONS, KNOBS, LIMITS, RETRYABLE, SHARES, SUBSETS
from runtime.playbook.steps import PROCESSES
from runtime.playbook.tools import ToolKey, ToolKind

Schema = dict[str, Any]
ID: Final = "urn:trimtab:playbook:v1"
"""What the schema is called, wherever it is read from."""

_TEXT: Final[Schema] = {"type": "string"}
_ANY: Final[Schema] = {}
_MAP: Final[Schema] = {"type": "object"}
_NAME: Final[Schema] = {"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_]*$"}
_SECRET: Final[Schema] = {
    "type": "object", "properties": {"secret": _NAME}, "required": ["secret"],
    "additionalProperties": False,
}  # fmt: skip
_DURATION: Final[Schema] = {
    "type": "string",
    "pattern": r"^(\d+d)?(\d+h)?(\d+m)?(\d+(\.\d+)?s)?(\d+ms)?$",
    "minLength": 2,
    "examples": ["250ms", "30s", "1h30m"],
}
_TEMPLATE: Final[Schema] = {"type": "string", "pattern": r"\{\{"}
_SIZE: Final[Schema] = {
    "type": "string", "pattern": r"^\d{1,9}(\.\d{1,3})? ?(kB|KB|MB|GB|TB)$",
}  # fmt: skip
_SHARE: Final[Schema] = {"type": "string", "pattern": r"^\d{1,3}(\.\d+)? ?%$"}
_WORD: Final[Schema] = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]*$"}
_HOURS: Final[Schema] = {
    "type": "string", "pattern": r"^(any|\d{1,2}(:00)?-\d{1,2}(:00)?)$",
    "examples": ["22-6", "any"],
}  # fmt: skip
_FLAG: Final[Schema] = {"const": True}


def json_schema() -> Schema:
    """Return the schema of a playbook's YAML (JSON Schema 2020-12)."""
    workflow = {"type": "array", "items": {"$ref": "#/$defs/step"}, "minItems": 1}
    shapes: dict[str, Schema] = {
        "apiVersion": {"const": keys.API_VERSION},
        "kind": {"const": keys.KIND},
        "metadata": _object(keys.METADATA, {"labels": _MAP}, required=["path"]),
        "workload": {"type": "object", "additionalProperties": _input()},
        "workflow": workflow,
        "objective": {"enum": ["cost", "time"]},
        "secrets": {"type": "array", "items": _NAME},
        "deadline": _DURATION,
        "limits": {"type": "object", "additionalProperties": _limit()},
        "finally": {"type": "array", "items": {"$ref": "#/$defs/last"}},
    }
    required = ["apiVersion", "kind", "metadata", "workflow"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": ID,
        "title": "Trimtab playbook",
        **_object(keys.PLAYBOOK, shapes, required=required),
        "$defs": {
            "step": _step(),
            "last": _last(),
            "arc": _arc(),
            "tool": _tool(),
            "alternative": _alternative(),
        },
    }


def _object(
    means: Mapping[str, str], shapes: Mapping[str, Schema], *, required: list[str] | None = None
) -> Schema:
    """An object of exactly these keys, each with its meaning; a text unless said otherwise."""
    return {
        "type": "object",
        "properties": {
            name: {"description": text, **shapes.get(name, _TEXT)} for name, text in means.items()
        },
        "required": required or [],
        "additionalProperties": False,
    }


def _input() -> Schema:
    number = {"type": "number"}
    shapes = {
        "type": {"enum": list(TYPES)},
        "default": _ANY,
        "required": {"type": "boolean"},
        "min": number,
        "max": number,
        "choices": {"type": "array"},
    }
    plain = {"type": ["string", "number", "boolean", "array", "null"]}
    return {"anyOf": [plain, _object(keys.INPUT, shapes)]}


def _step() -> Schema:
    return _object(keys.STEP, _step_shapes(), required=["step"])


def _last() -> Schema:
    """A step of ``finally``."""
    means = {name: keys.STEP[name] for name in keys.FINALLY}
    return _object(means, _step_shapes(), required=["step", "tool"])


def _step_shapes() -> dict[str, Schema]:
    return {
        "step": _NAME,
        "tool": {"$ref": "#/$defs/tool"},
        "with": _MAP,
        "set": _MAP,
        "each": _each(),
        "next": _next(),
        "split": {"enum": ["exclusive", "inclusive"]},
        "join": _join(),
        "repeat": _repeat(),
        "uses": {"anyOf": [_WORD, {"type": "array", "items": _WORD, "minItems": 1}]},
        "compensate": {"$ref": "#/$defs/tool"},
        "effect": {"enum": ["none", "idempotent", "once"]},
        "retry": _retry(),
        "hedge": _hedge(),
        "start": _object(
            keys.START,
            {"hours": _HOURS, "at_most": _DURATION, "spread": _DURATION},
            required=["at_most"],
        ),
        "timeout": _DURATION,
        "queue_timeout": _DURATION,
        "total_timeout": _DURATION,
        "heartbeat": _DURATION,
        "memory": _SIZE,
        "output": _SIZE,
        "processes": _count(PROCESSES),
        "runs_on": _WORD,
        "alternatives": {
            "type": "object",
            "minProperties": 1,
            "propertyNames": _NAME,
            "additionalProperties": {"$ref": "#/$defs/alternative"},
        },
        "tune": _tune(),
        "slo": _object(keys.SLO, {"p95": _DURATION, "success": _SHARE}),
        "publishes": _publishes(),
        "record": _object(keys.RECORD, {"text": {"enum": ["on", "off", True, False]}}),
    }


def _join() -> Schema:
    shapes = {
        "all": _FLAG, "any": _FLAG, "at_least": _count(INPUTS), "within": _DURATION,
        "losers": {"enum": ["finish", "cancel"]},
    }  # fmt: skip
    long = _object(keys.JOIN, shapes) | {"oneOf": [{"required": [kind]} for kind in KINDS]}
    return {"anyOf": [{"enum": ["all", "any"]}, long]}


def _repeat() -> Schema:
    shapes = {"max": _count(ROUNDS), "wait": _DURATION}
    return _object(keys.REPEAT, shapes, required=["until", "max"])


def _limit() -> Schema:
    rate = {"type": "number", "minimum": 0.001, "maximum": 1_000_000}
    shapes = {"in_flight": _count(1_000_000), "per_second": rate}
    return _object(keys.LIMIT, shapes) | {"minProperties": 1}


def _count(most: int) -> Schema:
    return {"type": "integer", "minimum": 1, "maximum": most}


def _next() -> Schema:
    one = {"anyOf": [_TEXT, {"$ref": "#/$defs/arc"}]}
    return {"anyOf": [*one["anyOf"], {"type": "array", "items": one, "minItems": 1}]}


def _arc() -> Schema:
    shapes = {"otherwise": _FLAG, "on": _words(CATCHABLE), "max": _count(ROUNDS)}
    return _object(keys.ARC, shapes, required=["to"])


def _words(options: tuple[str, ...]) -> Schema:
    one = {"enum": list(options)}
    return {"anyOf": [one, {"type": "array", "items": one}]}


def _whole(knob: str) -> Schema:
    low, high = LIMITS[knob]
    return {"type": "integer", "minimum": low, "maximum": high}


def _each() -> Schema:
    allow = {"anyOf": [_SHARE, {"type": "integer", "minimum": 0}]}
    shapes = {
        "batch": _whole("each.batch"),
        "in_flight": _whole("each.in_flight"),
        "failures": _object(keys.FAILURES, {"allow": allow}, required=["allow"]),
        "reduce": {
            "type": "object",
            "minProperties": 1,
            "propertyNames": _NAME,
            "additionalProperties": _object(keys.REDUCERS, dict.fromkeys(keys.REDUCERS, _ANY))
            | {"minProperties": 1, "maxProperties": 1},
        },
    }
    return _object(keys.EACH, shapes, required=["in"])


def _retry() -> Schema:
    shapes = {
        "attempts": _whole("retry.attempts"),
        "backoff": {"enum": ["exponential", "linear", "constant"]},
        "initial": _DURATION,
        "max": _DURATION,
        "jitter": {"enum": ["full", "none"]},
        "on": _words(RETRYABLE),
        "budget": _SHARE,
    }
    return _object(keys.RETRY, shapes)


def _hedge() -> Schema:
    long = _object(keys.HEDGE, {"after": _DURATION, "max": _count(HEDGES)}, required=["after"])
    return {"anyOf": [_DURATION, long]}


def _tune() -> Schema:
    shapes = {}
    for knob, kind in KNOBS.items():
        words = {"placement": _WORD, "alternative": _NAME, "schedule": _HOURS}
        value = words.get(kind) or _number_of(knob)
        choices = {"type": "array", "items": value, "minItems": 1}
        ends = {"min": value, "max": value, "choices": choices, "window": _DURATION}
        known = {n: text for n, text in keys.BOUNDS.items() if n != "window" or kind == "schedule"}
        bounds = _object(known, {name: ends[name] for name in known})
        shapes[knob] = {"anyOf": [choices, bounds]}
    return _object({knob: f"knob of class {kind}" for knob, kind in KNOBS.items()}, shapes)


def _number_of(knob: str) -> Schema:
    if knob in SUBSETS:
        return {"enum": list(RETRYABLE)}
    if knob in SHARES:
        return _SHARE
    return _DURATION if knob in DURATIONS else _whole(knob)


def _publishes() -> Schema:
    shapes = {"format": {"enum": ["parquet", "arrow"]}}
    return _object(keys.PUBLISHES, shapes, required=["product"])


def _tool() -> Schema:
    """A tool's block, by its kind."""
    return _by_kind(list(_blocks()))


def _blocks() -> Iterator[tuple[str, Schema]]:
    """Yield each kind of tool with the schema of its block."""
    for kind in names():
        try:
            yield kind, _block(kind, declaration(kind))
        except KindFault:
            continue  # `parse` says what is wrong with it, to those who name it


def _by_kind(blocks: Sequence[tuple[str, Schema]]) -> Schema:
    """The block that the kind asks for: an editor then speaks of that kind, not of the first."""
    return {
        "type": "object",
        "required": ["kind"],
        "properties": {"kind": {"enum": [kind for kind, _ in blocks]}},
        "allOf": [
            {"if": {"properties": {"kind": {"const": kind}}}, "then": block}
            for kind, block in blocks
        ],
    }


def _alternative() -> Schema:
    """A tool that a worker runs, which may have arguments of its own."""
    own = {"with": {"description": keys.STEP["with"], **_MAP}}
    return _by_kind([
        (kind, block | {"properties": block["properties"] | own})
        for kind, block in _blocks() if not declaration(kind).barred
    ])  # fmt: skip


def _block(kind: str, tool: ToolKind) -> Schema:
    means = {"kind": tool.means, **{name: key.means for name, key in tool.keys.items()}}
    shapes = {"kind": {"const": kind}} | {n: tool_key(k) for n, k in tool.keys.items()}
    block = _object(means, shapes, required=["kind", *tool.required])
    if tool.one_of:
        block["oneOf"] = [{"required": [name]} for name in tool.one_of]
    return block


def arguments(kind: str) -> Schema:
    """Return the schema of one kind's block, standing by itself."""
    return _block(kind, declaration(kind))


def tool_key(key: ToolKey) -> Schema:
    """Return the schema of one key of a tool's block."""
    if key.shape == "keys":
        within = {name: tool_key(inner) for name, inner in key.within.items()}
        found = _object({name: inner.means for name, inner in key.within.items()}, within)
        return found | ({"oneOf": [{"required": [n]} for n in key.one_of]} if key.one_of else {})
    texts = {"type": "array", "items": _TEXT, "minItems": 1}
    shapes: dict[str, Schema] = {
        "text": {"anyOf": [_TEXT, _SECRET]},
        "command": {"anyOf": [_TEXT, texts]},
        "call": {"type": "string", "pattern": r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$"},
        "word": {"enum": list(key.choices)},
        "answer": _TEXT,
        "amount": {"anyOf": [{"type": "number", "minimum": 0}, _TEMPLATE]},
        "address": {"anyOf": [_TEXT, _SECRET]},
        "errors": {"type": "object", "additionalProperties": {"enum": list(TOOL_CLASSES)}},
        "flag": {"type": "boolean"},
        "count": {"type": "integer", "minimum": key.least, "maximum": key.most},
        "map": _MAP,
        "any": _ANY,
        "duration": {"anyOf": [_DURATION, _TEMPLATE]},
        "time": _TEXT,
        "path": {"type": "string", "pattern": f"^{PATH.pattern}$"},
    }
    return _TEXT if key.verbatim and key.shape == "text" else shapes[key.shape]
