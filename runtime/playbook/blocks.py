"""Reading the block of a tool: its kind, the keys that go with it, the texts within.

What a kind of tool takes stands in `runtime.playbook.tools`. A misspelt kind is read as the
one that was probably meant, so that one slip is one fault.
"""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import Final

from runtime.playbook.draft import Draft, Mention, Slot, StepDraft
from runtime.playbook.expressions import Expressions
from runtime.playbook.faults import ExpressionFault, a, did_you_mean, nearest
from runtime.playbook.kinds import KindFault, declaration, names
from runtime.playbook.model import Json
from runtime.playbook.part import Part
from runtime.playbook.tools import LATER, TOOLS, ToolKey, ToolKind

TOOL_CLASSES: Final = ("transient", "timeout", "throttled", "permanent", "data", "resource")
"""The classes that a tool's ``errors`` may give."""
ANSWER: Final = ("body", "headers", "status")
"""What an expression over an answer can name."""
_PASSWORD: Final = re.compile(r"^\w+://[^/@]*:[^/@]+@|[?&]password=", re.IGNORECASE)
_CALL: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
FILE: Final = re.compile(r"(?!/)(?!.*\.\.)[\w./-]+")
PATH: Final = re.compile(r"[a-z0-9][a-z0-9_-]*(/[a-z0-9][a-z0-9_-]*)*")
PATH_HINT: Final = "lower-case words joined by /, such as risk/score_application"
_TIME_HINT: Final = "an ISO time with its zone, such as 2026-12-01T08:00Z"


def read_block(
    read: StepDraft, part: Part | None, draft: Draft, slot: Slot = "tool"
) -> dict[str, Json] | None:
    """Return a tool's block; its texts with expressions are left in the draft."""
    if part is None:
        return None
    if not part.is_map("a tool"):
        return {"kind": ""}
    kind = _kind(part)
    found = _declared(part, kind) if kind else None
    if found is None:
        return {"kind": ""}
    _tool_keys(part, kind, found, {"with": "its own arguments"} if slot == "alternative" else {})
    _barred(read, part, kind, found, slot)
    texts: Slot = "tool" if slot == "alternative" else slot
    return {"kind": kind, **_values(read, part, found.keys, draft, texts)}


def _kind(part: Part) -> str:
    """Return the kind that is named, or the one that was probably meant."""
    kind = part.child("kind")
    if kind is None:
        part.refuse("a tool says its kind", f"add kind: {' or '.join(TOOLS)}")
        return ""
    if kind.value in TOOLS:
        return str(kind.value)
    return kind.choice("tool kind", names(), later=LATER) or nearest(str(kind.value), TOOLS) or ""


def _declared(part: Part, kind: str) -> ToolKind | None:
    try:
        return declaration(kind)
    except KindFault as fault:
        part.refuse(str(fault), "mend or remove the distribution that offers it")
        return None


def _values(
    read: StepDraft, part: Part, known: dict[str, ToolKey], draft: Draft, slot: Slot
) -> dict[str, Json]:
    return {
        name: _tool_value(read, child, name, known[name], draft, slot)
        for name, child in part.children().items()
        if name in known
    }


def _tool_keys(part: Part, kind: str, tool: ToolKind, more: dict[str, str]) -> None:
    habits = {} if "timeout" in tool.barred else {"timeout": "timeout, on the step"}
    known = {"kind": "", **more, **{n: key.means for n, key in tool.keys.items()}}
    part.keys(known, habits=habits)
    for name in tool.required:
        if part.child(name) is None:
            part.refuse(f"{a(kind)} tool needs {name}", f"add {name}: …")
    _one_of(part, f"{a(kind)} tool", tool.one_of)
    for name, key in tool.keys.items():
        _goes_with(part, kind, tool, name, key)


def _goes_with(part: Part, kind: str, tool: ToolKind, name: str, key: ToolKey) -> None:
    """Refuse a key beside a value that it means nothing with, and its lack where it is needed."""
    other, values = key.goes_with
    if not other:
        return
    child, beside = part.child(name), part.child(other)
    value = str(beside.value) if beside is not None else ""
    if value and value not in tool.keys[other].choices:
        return  # it is refused where it stands
    said = f"{other} {value}" if value else f"{a(kind)} tool without {other}"
    if child is None and key.needed_there and value in values:
        part.refuse(f"{said} needs {name}", f"add {name}: …")
    if child is not None and value not in values:
        words = " or ".join(word for word in values if word)
        hint = f"it goes with {other} {words}"
        child.refuse(f"{said} has no use for {name}", hint, at=child.key)


def _one_of(part: Part, what: str, names: tuple[str, ...]) -> None:
    given = [child for name in names if (child := part.child(name)) is not None]
    if names and not given:
        part.refuse(f"{what} needs {' or '.join(names)}")
    for child in given[1:]:
        child.refuse(f"{what} has one of {' and '.join(names)}", at=child.key)


def _barred(read: StepDraft, part: Part, kind: str, tool: ToolKind, slot: Slot) -> None:
    """Refuse keys that a tool which no worker runs would ignore."""
    if slot == "compensate" and tool.barred and kind != "playbook":
        part.refuse(f"{a(kind)} undoes nothing", "compensate with a tool that acts")
    if slot == "alternative" and tool.barred:
        part.refuse(f"{a(kind)} tool is no alternative: no worker runs it",
                    "lead there by an arc instead")  # fmt: skip
    for name in tool.barred if slot == "tool" else ():
        child = read.part.child(name)
        if child is not None:
            said = f"{a(kind)} tool has no use for {name}"
            child.refuse(said, "no worker runs it: leave it out", at=child.key)


def _tool_value(
    read: StepDraft, part: Part, name: str, key: ToolKey, draft: Draft, slot: Slot
) -> Json:
    what = f"tool {name}"
    if key.shape == "errors":
        return _errors(part)
    if key.shape == "call":
        return part.text("call", _CALL, "write module:function, such as cohort:enrich")
    if key.shape == "word":
        return part.choice(name, key.choices)
    if key.shape == "flag":
        return part.switch(name)
    if key.shape == "count":
        return part.whole(name, key.least, key.most)
    if key.shape == "keys":
        return _nested(read, part, name, key, draft, slot)
    if key.shape == "map" and not part.is_map(what):
        return {}
    if key.shape == "command":
        _command(part)
    elif key.shape == "duration":
        _duration(part, name)
    elif key.shape == "time":
        return _time(read, part, name, slot, draft)
    elif key.shape == "address" and not _is_secret(part):
        _address(part, name)
    elif key.shape == "answer" or (key.shape == "amount" and isinstance(part.value, str)):
        _answer(part, name, key)
    elif key.shape == "amount":
        _amount(part, name)
    elif key.shape == "path":
        part.text("playbook path", PATH, PATH_HINT)
    elif key.shape == "text" and not _is_secret(part):
        _text(part, name, key)
    if not key.verbatim:
        note_texts(read, part, slot, draft)
    return part.value


def _nested(
    read: StepDraft, part: Part, name: str, key: ToolKey, draft: Draft, slot: Slot
) -> Json:
    """Return a key that has keys of its own."""
    if not part.is_map(name):
        return {}
    part.keys({n: inner.means for n, inner in key.within.items()})
    _one_of(part, name, key.one_of)
    return _values(read, part, key.within, draft, slot)


def _duration(part: Part, name: str) -> None:
    """Check a duration, unless only a run can say it."""
    if not (isinstance(part.value, str) and "{{" in part.value):
        part.duration(name)


def _time(read: StepDraft, part: Part, name: str, slot: Slot, draft: Draft) -> Json:
    """Return a time, which begins with a digit, or the template of a bare expression."""
    text = part.text("time", hint=_TIME_HINT)
    if text is None:
        return part.value
    if "{{" in text:
        note_texts(read, part, slot, draft)
    elif not text[0].isdigit():
        read.mentions.append(Mention(part, text, "due"))
        return f"{{{{ {text} }}}}"
    elif not _is_time(text):
        part.refuse(f"{text!r} is no time", _TIME_HINT)
    return text


def _is_time(text: str | None) -> bool:
    try:
        return datetime.fromisoformat(text or "").tzinfo is not None
    except ValueError:
        return False


def _address(part: Part, name: str) -> None:
    """Check an address: who reads the playbook reads it, so it holds no password."""
    text = part.text(name, hint="an address, or {secret: name}")
    if text is not None and _PASSWORD.search(text):
        part.refuse(f"{name} holds a password", "put the whole address into a secret: {secret: …}")


def _answer(part: Part, name: str, key: ToolKey) -> None:
    """Check an expression over an answer that only a worker will see."""
    text = part.text(name, hint='an expression, such as "{{ body.next }}"')
    if text is None or text in key.choices:
        return
    expressions = Expressions()
    try:
        expressions.check(text)
    except ExpressionFault as fault:
        part.refuse(fault.message, fault.hint, at=part.node.at(fault.offset))
        return
    found = list(expressions.names(text))
    if not found:
        other = f"{' or '.join(key.choices)}, or " if key.choices else ""
        part.refuse(f"{name} reads nothing of the answer", f"write {other}{{{{ body.… }}}}")
    for strange in (n for n in found if n.path[0] not in ANSWER):
        at = part.node.at(strange.offset)
        part.refuse(f"unknown name {strange.path[0]}", f"known are {', '.join(ANSWER)}", at=at)


def _amount(part: Part, name: str) -> None:
    """Check how much of something every answer costs."""
    value = part.number(name)
    if value is not None and not 0 <= value < math.inf:
        part.refuse(f"{name} is 0 or more, not {value:g}", "nothing is earned here")


def _command(part: Part) -> None:
    """Check a command: words may be templated, a line that a shell reads may not."""
    if part.node.kind == "list":
        for element in part.elements():
            element.text("tool run")
    elif "{{" in (part.text("tool run") or ""):
        hint = 'write "$name" and give it in with, or make run a list of words'
        at = part.node.at(part.value.index("{{"))
        part.refuse("a command line is never templated", hint, at=at)


def _text(part: Part, name: str, key: ToolKey) -> None:
    text = part.text(f"tool {name}")
    if name == "file" and text is not None:
        part.text("file", FILE, "name a file beside the playbook")
    if name == "query" and key.verbatim and "{{" in (text or ""):
        at = part.node.at(part.value.index("{{"))
        part.refuse("SQL is never templated", "write $name and give it in with", at=at)


def _errors(part: Part) -> dict[str, str]:
    """Read what refines the classes of errors: exception, status or exit code → class."""
    found: dict[str, str] = {}
    if part.is_map("errors"):
        for name, child in part.children().items():
            cls = child.choice("error class", TOOL_CLASSES)
            if cls is not None:
                found[name] = cls
    return found


def _is_secret(part: Part) -> bool:
    return part.node.kind == "map" and list(part.node.entries) == ["secret"]


def note_texts(read: StepDraft, part: Part, slot: Slot, draft: Draft) -> None:
    """Note every text with expressions in a value, however deeply nested."""
    if _is_secret(part):
        if slot == "set":
            part.refuse("a secret cannot be put into the context", "give it to the tool in with")
        _secret(part.children()["secret"], draft)
        return
    if part.node.kind == "scalar":
        if isinstance(part.value, str) and "{{" in part.value:
            read.mentions.append(Mention(part, part.value, slot))
        return
    for element in part.elements():
        note_texts(read, element, slot, draft)
    for name, child in part.children().items():
        if "{{" in name:
            child.refuse("a key is never templated", at=child.key)
        note_texts(read, child, slot, draft)


def _secret(part: Part, draft: Draft) -> None:
    name = part.name("secret")
    if name is not None and name not in draft.secrets:
        hint = did_you_mean(name, draft.secrets) or f"add secrets: [{name}] to the playbook"
        part.refuse(f"secret {name} is not declared", hint)
