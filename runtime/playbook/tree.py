"""The YAML as a tree that knows where each thing stands.

Built from ruamel's events rather than its objects, so that YAML 1.2's core words alone
have types (``on`` is a word), a duplicate key is a fault at its own place, and an offset
inside a scalar (an expression, a line of code) leads back to a line and column. A syntax
error ends the reading where it stands; everything else is collected and goes on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from runtime.playbook.faults import PlaybookFault, PlaybookFaults
from runtime.playbook.model import Json, Place

TEXT_LIMIT: Final = 512 * 1024
DEPTH_LIMIT: Final = 40
SIZE_LIMIT: Final = 50_000
"""Characters, levels and (aliases counted each time) nodes of one playbook."""

_WORDS: Final[dict[str, Json]] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,18}|0o[0-7]{1,20}|0x[0-9a-fA-F]{1,15}")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_ESCAPED: Final = re.compile(r"\\(x..|u....|U.{8}|\n\s*|.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Scan:
    """A scalar as it is written, to find the place of one of its characters."""

    raw: str
    style: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A key of a mapping with its place, and what it holds."""

    place: Place
    node: Node


@dataclass(frozen=True, slots=True)
class Node:
    """A scalar, a list or a mapping, and where it begins.

    ``broken`` marks a mapping whose fault is already written down.
    """

    kind: Literal["scalar", "list", "map"]
    place: Place
    value: Json = None
    items: tuple[Node, ...] = ()
    entries: dict[str, Entry] = field(default_factory=dict)
    scan: Scan | None = None
    size: int = 1
    broken: bool = False

    def plain(self) -> Json:
        """Return the value as JSON, places forgotten."""
        if self.kind == "list":
            return [item.plain() for item in self.items]
        if self.kind == "map":
            return {key: entry.node.plain() for key, entry in self.entries.items()}
        return self.value

    def at(self, offset: int) -> Place:
        """Return the place of a character of a scalar's text."""
        if self.scan is None or not isinstance(self.value, str):
            return self.place
        raw = self.scan.raw
        position = _align(self.value, raw, self.scan.style, offset)
        line = raw.count("\n", 0, position)
        column = position - (raw.rfind("\n", 0, position) + 1)
        return Place(self.scan.line + line, column + (1 if line else self.scan.column))


def decoded(data: bytes, name: str = "playbook.yaml") -> str:
    """Return the text of a file.

    Raises PlaybookFaults where it is not UTF-8.
    """
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        fault = PlaybookFault(line, 1, "", "the file must be UTF-8", "save it as UTF-8")
        raise PlaybookFaults([fault], name) from None


def read(text: str | bytes, name: str = "playbook.yaml") -> tuple[Node, list[PlaybookFault]]:
    """Return the tree and the faults of the YAML itself.

    Raises PlaybookFaults at once for a text that is no YAML: what follows a syntax error
    cannot be judged.
    """
    text = text if isinstance(text, str) else decoded(text, name)
    if len(text) > TEXT_LIMIT:
        fault = PlaybookFault(1, 1, "", f"a playbook has at most {TEXT_LIMIT} characters")
        raise PlaybookFaults([fault], name)
    builder = _Builder(text)
    try:
        return builder.document(), builder.faults
    except _Stop as stop:
        raise PlaybookFaults([*builder.faults, stop.fault], name) from None
    except YAMLError as error:
        raise PlaybookFaults([_syntax(error, text)], name) from None


class _Stop(Exception):
    """The text cannot be read beyond this fault."""

    def __init__(self, place: Place, path: str, message: str, hint: str = "") -> None:
        self.fault = PlaybookFault(place.line, place.column, path, message, hint)
        super().__init__(message)


class _Builder:
    """Turns the stream of events into nodes, one method a kind of event."""

    def __init__(self, text: str) -> None:
        self.faults: list[PlaybookFault] = []
        self._text = text
        self._anchors: dict[str, Node] = {}
        self._events: Iterator[Any] = iter(YAML(typ="safe", pure=True).parse(text))

    def document(self) -> Node:
        """Read the one document of the stream to its end."""
        root = Node("scalar", Place(1, 1))
        seen = 0
        for event in self._events:
            kind = type(event).__name__
            if kind == "DocumentStartEvent":
                seen += 1
                if seen > 1:
                    raise _Stop(_place(event), "", "a playbook file holds one document")
            elif not kind.startswith(("Stream", "Document")):
                root = self._node(event, "", 0)
        return root

    def _node(self, event: Any, path: str, depth: int) -> Node:
        if depth > DEPTH_LIMIT:
            raise _Stop(_place(event), path, f"nested deeper than {DEPTH_LIMIT} levels")
        kind = type(event).__name__
        if kind == "AliasEvent":
            return self._alias(event, path)
        if kind == "SequenceStartEvent":
            node = self._list(event, path, depth)
        elif kind == "MappingStartEvent":
            node = self._map(event, path, depth)
        else:
            node = self._scalar(event, path)
        if node.size > SIZE_LIMIT:
            raise _Stop(node.place, path, f"more than {SIZE_LIMIT} values")
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _alias(self, event: Any, path: str) -> Node:
        if event.anchor not in self._anchors:
            self._fault(_place(event), path, f"there is no anchor &{event.anchor} before this")
            return Node("scalar", _place(event))
        return self._anchors[event.anchor]

    def _list(self, event: Any, path: str, depth: int) -> Node:
        self._refuse_tag(event, path, "seq")
        items: list[Node] = []
        while type(after := next(self._events)).__name__ != "SequenceEndEvent":
            items.append(self._node(after, f"{path}[{len(items)}]", depth + 1))
        size = 1 + sum(item.size for item in items)
        return Node("list", _place(event), items=tuple(items), size=size)

    def _map(self, event: Any, path: str, depth: int) -> Node:
        self._refuse_tag(event, path, "map")
        entries: dict[str, Entry] = {}
        size, broken = 1, False
        while type(after := next(self._events)).__name__ != "MappingEndEvent":
            key = self._key(after, path, depth)
            inner = f"{path}.{key}" if path else str(key)
            node = self._node(next(self._events), inner, depth + 1)
            size += node.size
            broken = broken or key is None
            if key in entries:
                first = entries[key].place.line
                self._fault(_place(after), inner, f"{key} is here twice", f"first in line {first}")
            elif key is not None:
                entries[key] = Entry(_place(after), node)
        return Node("map", _place(event), entries=entries, size=size, broken=broken)

    def _key(self, event: Any, path: str, depth: int) -> str | None:
        """Return a mapping's key; None for one that is no word, which is a fault."""
        node = self._node(event, path, depth + 1)
        if node.kind == "scalar" and node.scan is not None:
            return str(event.value)
        hint = 'quote the template: "{{ … }}"' if node.kind == "map" else ""
        self._fault(node.place, path, "a key must be a word", hint)
        return None

    def _scalar(self, event: Any, path: str) -> Node:
        place = _place(event)
        start, end = event.start_mark, event.end_mark
        scan = Scan(
            self._text[start.index : end.index], event.style or "", place.line, place.column
        )
        self._refuse_tag(event, path, "str")
        value: Json = event.value
        if event.implicit[0] and not event.style and not event.tag:
            value = self._typed(event.value, place, path)
        return Node("scalar", place, value, scan=scan)

    def _typed(self, text: str, place: Place, path: str) -> Json:
        if text in _WORDS:
            return _WORDS[text]
        if _INTEGER.fullmatch(text):
            base = 8 if text.startswith("0o") else 16 if text.startswith("0x") else 10
            return int(text, base)
        if _FLOAT.fullmatch(text):
            value = float(text)
            if value not in (float("inf"), float("-inf")):
                return value
            self._fault(place, path, f"the number {text} is too large")
        return text

    def _refuse_tag(self, event: Any, path: str, usual: str) -> None:
        if event.tag and event.tag not in ("!", f"tag:yaml.org,2002:{usual}"):
            self._fault(_place(event), path, "tags are not part of a playbook", "leave out the !")

    def _fault(self, place: Place, path: str, message: str, hint: str = "") -> None:
        self.faults.append(PlaybookFault(place.line, place.column, path, message, hint))


def _place(event: Any) -> Place:
    return Place(event.start_mark.line + 1, event.start_mark.column + 1)


def _syntax(error: YAMLError, text: str) -> PlaybookFault:
    """Turn ruamel's complaint into a fault at the place where reading stopped."""
    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        message = f"not YAML: {error.problem}"
        context = f"{error.context}" if error.context else ""
        if context and error.context_mark is not None:
            context += f" begun in line {error.context_mark.line + 1}"
        return PlaybookFault(mark.line + 1, mark.column + 1, "", message, context)
    position = int(getattr(error, "position", 0) or 0)
    line = text.count("\n", 0, position) + 1
    column = position - (text.rfind("\n", 0, position) + 1) + 1
    return PlaybookFault(line, column, "", "not YAML: a character that may not stand in a text")


def _align(value: str, raw: str, style: str, offset: int) -> int:
    """Return where in the written scalar the character ``value[offset]`` stands.

    Walks both at once: quotes, indentation, folds and escapes are what ``raw`` has more.
    """
    position = _opening(raw, style)
    for index, character in enumerate(value):
        position = _skip(character, raw, position, style)
        if index >= offset:
            break
        position += _width(raw, position, style)
    return min(position, len(raw))


def _opening(raw: str, style: str) -> int:
    if style in ("|", ">"):
        return raw.find("\n") + 1
    return 1 if style else 0


def _skip(character: str, raw: str, position: int, style: str) -> int:
    """Pass over what is written but not part of the value before this character."""
    while position < len(raw) and raw[position] != character:
        if character in " \n" and raw[position] in " \n":
            break
        if style == '"' and raw[position] == "\\" and not raw.startswith("\\\n", position):
            break
        if not raw[position].isspace() and raw[position] != "\\":
            break
        position += 1
    return position


def _width(raw: str, position: int, style: str) -> int:
    """Return how many written characters stand for the one at ``position``."""
    if style == '"' and raw.startswith("\\", position):
        found = _ESCAPED.match(raw, position)
        return len(found[0]) if found else 1
    if style == "'" and raw.startswith("''", position):
        return 2
    return 1
