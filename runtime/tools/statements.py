"""SQL cut into statements, with the names that each binds. Nothing here knows a database.

A ``$name`` is a parameter and a ``;`` an end only where neither stands in a string, a quoted
name or a comment. `Statement.placed` writes each parameter the way a database wants it::

    (one,) = statements("select $a, '$b' from t where x = $a")
    assert one.names == ("a",)
    assert one.placed(lambda name: "$1") == "select $1, '$b' from t where x = $1"
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

_TOKEN: Final = re.compile(
    r"""(?P<skip>--[^\n]*|/\*|[eE]'(?:\\.|''|[^'\\])*'|'(?:''|[^'])*'|"(?:""|[^"])*"|`[^`]*`
    |\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$)
    |(?<![\w$])\$(?P<name>[^\W\d]\w*)
    |(?P<word>[^\W\d][\w$]*)|(?P<end>;)|.""",
    re.VERBOSE | re.DOTALL,
)
_BACKSLASHES: Final = re.compile(_TOKEN.pattern.replace(
    r"'(?:''|[^'])*'|", r"'(?:\\.|''|[^'\\])*'|", 1), re.VERBOSE | re.DOTALL)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement as it is written, with the pieces between its parameters."""

    pieces: tuple[str, ...]
    parameters: tuple[str, ...]
    """The names between the pieces, in order, as often as they stand there."""
    words: frozenset[str]
    """The words outside strings and comments, in lower case."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its parameters, each once, in the order they are first met."""
        return tuple(dict.fromkeys(self.parameters))

    @property
    def text(self) -> str:
        return self.placed(lambda name: f"${name}")

    @property
    def verb(self) -> str:
        """Its first word, in lower case."""
        found = re.search(r"[^\W\d]\w*", _without_comments(self.pieces[0]))
        return found[0].lower() if found else ""

    def placed(self, place: Callable[[str], str]) -> str:
        """Return the text with ``place(name)`` where each parameter stands."""
        parts = [self.pieces[0]]
        for name, piece in zip(self.parameters, self.pieces[1:], strict=True):
            parts += [place(name), piece]
        return "".join(parts)


def statements(query: str, *, backslashes: bool = False) -> list[Statement]:
    """Return the statements of a script; those of blanks and comments alone are left out.

    ``backslashes`` says that they escape in every string, as in ClickHouse.
    """
    found, draft = [], _Draft()
    for kind, text in _tokens(query, _BACKSLASHES if backslashes else _TOKEN):
        if kind == "end":
            found.append(draft)
            draft = _Draft()
        else:
            draft.add(kind, text)
    return [d.done() for d in (*found, draft) if d.says_something]


class _Draft:
    """A statement while it is read."""

    def __init__(self) -> None:
        self.pieces, self.parameters, self.words = [""], list[str](), set[str]()
        self.says_something = False

    def add(self, kind: str, text: str) -> None:
        if kind == "name":
            self.parameters.append(text)
            self.pieces.append("")
        else:
            self.pieces[-1] += text
            if kind == "word":
                self.words.add(text.lower())
        comment = kind == "skip" and text.startswith(("--", "/*"))
        self.says_something |= bool(text.strip()) and not comment

    def done(self) -> Statement:
        text = [*self.pieces]
        text[0], text[-1] = text[0].lstrip(), text[-1].rstrip() if len(text) > 1 else text[-1]
        if len(text) == 1:
            text[0] = text[0].strip()
        return Statement(tuple(text), tuple(self.parameters), frozenset(self.words))


def _tokens(query: str, pattern: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(query):
        match = pattern.match(query, at)
        if match is None:  # a pattern that ends with `.` matches anything
            raise ValueError(query[at:])
        at = match.end()
        kind, text = match.lastgroup or "other", match[0]
        if text == "/*":
            at = _comment_end(query, match.start())
            kind, text = "skip", query[match.start() : at]
        elif match["name"] is not None:
            kind, text = "name", match["name"]
        elif match["skip"] is not None:
            kind = "skip"
        yield kind, text


def _comment_end(query: str, start: int) -> int:
    """Where a comment that begins at ``start`` ends; comments nest."""
    depth = 0
    for mark in re.finditer(r"/\*|\*/", query[start:]):
        depth += 1 if mark[0] == "/*" else -1
        if depth == 0:
            return start + mark.end()
    return len(query)


def _without_comments(text: str) -> str:
    return "".join(
        piece for kind, piece in _tokens(text, _TOKEN)
        if kind != "skip" or not piece.startswith(("--", "/*"))
    )  # fmt: skip
