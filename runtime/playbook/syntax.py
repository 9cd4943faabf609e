"""Taking a text apart: templates into texts and expressions, expressions into names.

Only expressions exist: no blocks, no comments, no method calls, so a value cannot be changed
by looking at it. What the language leaves out is refused here, before minijinja reads it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from runtime.playbook.faults import ExpressionFault, did_you_mean

EXPRESSION_LIMIT: Final = 4_096
TEXT_LIMIT: Final = 65_536
"""Characters of one expression, and of a template."""

WORDS: Final = frozenset(
    "and or not in is if else true false none True False None loop self undefined range".split()  # noqa: SIM905
)
"""Words of the language: they cannot name a step or a value."""
FUNCTIONS: Final = frozenset({"range"})
FILTERS: Final = frozenset(
    """abs batch bool capitalize chain count default dictsort first float format groupby
    indent int items join last length lines list lower map max min reject rejectattr
    replace reverse round select selectattr slice sort split string sum title tojson trim
    unique upper urlencode zip""".split()  # noqa: SIM905
)
TESTS: Final = frozenset(
    """defined undefined none boolean number integer float string sequence mapping iterable
    odd even divisibleby startingwith endingwith lower upper sameas eq ne lt le gt ge in
    true false""".split()  # noqa: SIM905
)
CONSTANTS: Final = {
    "true": True, "True": True, "false": False, "False": False, "none": None, "None": None,
}  # fmt: skip
_LAZY: Final = frozenset({"if", "and", "or", "is", "default"})
_TOKEN: Final = re.compile(
    r"""(?P<space>\s+)|(?P<string>'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")
    |(?P<number>\d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d+)?)|(?P<word>[^\W\d]\w*)
    |(?P<operator>==|!=|<=|>=|//|\*\*|.)""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Name:
    """A name used in a text: ``("load", "rows")`` for ``load.rows``, and where.

    ``sure`` is false where the text may never look at it, or asks whether it is there.
    """

    path: tuple[str, ...]
    offset: int
    sure: bool

    def __str__(self) -> str:
        return ".".join(self.path)


@dataclass(frozen=True, slots=True)
class Expression:
    """One expression, taken apart once: its text, its place in the template, its names."""

    text: str
    offset: int
    names: tuple[Name, ...]
    is_path: bool
    constant: bool


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    offset: int


@lru_cache(maxsize=4096)
def template_parts(text: str) -> tuple[str | Expression, ...]:
    """Cut a template into literal texts and expressions."""
    if len(text) > TEXT_LIMIT:
        raise ExpressionFault(f"a template has at most {TEXT_LIMIT} characters")
    parts: list[str | Expression] = []
    position = 0
    while (start := text.find("{{", position)) >= 0:
        end = _end(text, start)
        if start > position:
            parts.append(text[position:start])
        if text[start + 2] == "-":
            raise ExpressionFault(
                "whitespace control is not part of the language",
                text=text, offset=start + 2, hint="write {{ and }}",
            )  # fmt: skip
        parts.append(read_expression(text[start + 2 : end], start + 2))
        position = end + 2
    if position < len(text):
        parts.append(text[position:])
    return tuple(parts)


def bare_parts(text: str) -> tuple[str | Expression, ...]:
    """Return a condition as the one part that it is. Raises ExpressionFault for braces."""
    if text.lstrip().startswith("{{"):
        raise ExpressionFault(
            "a condition is a bare expression", text=text, hint="leave out the {{ and }}"
        )
    return (read_expression(text),)


def _end(text: str, start: int) -> int:
    """Return where the ``}}`` stands that ends the expression begun at ``start``."""
    depth = 0
    for token in _tokens(text, start + 2):
        if token.text == "}" and depth == 0:
            if text.startswith("}}", token.offset):
                return token.offset
            break
        depth += (token.text in ("{", "[", "(")) - (token.text in ("}", "]", ")"))
    raise ExpressionFault("{{ is never closed", text=text, offset=start, hint="end it with }}")


def _tokens(text: str, start: int = 0) -> Iterator[_Token]:
    for found in _TOKEN.finditer(text, start):
        if found.lastgroup != "space":
            yield _Token(str(found.lastgroup), found[0], found.start())


@lru_cache(maxsize=4096)
def read_expression(text: str, offset: int = 0) -> Expression:
    """Take an expression apart. Raises ExpressionFault for what the language leaves out."""
    if len(text) > EXPRESSION_LIMIT:
        raise ExpressionFault(
            f"an expression has at most {EXPRESSION_LIMIT} characters", offset=offset
        )
    tokens = list(_tokens(text))
    if not tokens:
        raise ExpressionFault("the expression is empty", text=text, offset=offset)
    _refuse(tokens, text, offset)
    names = tuple(_names(tokens))
    path = len(names) == 1 and len(tokens) == 2 * len(names[0].path) - 1
    stripped = text.strip()
    constant = stripped in CONSTANTS
    return Expression(stripped if path or constant else text, offset, names, path, constant)


def _refuse(tokens: list[_Token], text: str, offset: int) -> None:
    """Refuse what could change a value, run for long, or is not there."""
    for i, token in enumerate(tokens):
        before = tokens[i - 1] if i else None
        after = tokens[i + 1] if i + 1 < len(tokens) else None
        message, hint = _objection(token, before, after, tokens[:i])
        if message:
            raise ExpressionFault(message, text=text, offset=offset + token.offset, hint=hint)


def _objection(
    token: _Token, before: _Token | None, after: _Token | None, past: list[_Token]
) -> tuple[str, str]:
    previous = before.text if before else ""
    following = after.text if after else ""
    if token.text == "(" and _is_method(past):
        return "methods cannot be called", "use a filter: {{ items | length }}"
    if token.text == "*" and (previous == "]" or following == "["):
        return "a list cannot be repeated", "use range(n)"
    if token.kind == "word" and previous == "|" and token.text not in FILTERS:
        return f"there is no filter {token.text}", did_you_mean(token.text, FILTERS)
    if token.kind == "word" and _is_test(past) and token.text not in TESTS | {"not"}:
        return f"there is no test {token.text}", did_you_mean(token.text, TESTS)
    if token.kind == "word" and previous != "." and token.text.startswith("__"):
        return f"the name {token.text} is not allowed", ""
    return "", ""


def _is_test(past: list[_Token]) -> bool:
    """Whether a word after these tokens names a test: ``is odd``, ``is not odd``."""
    return _text_at(past, len(past) - 1 - (_text_at(past, len(past) - 1) == "not")) == "is"


def _is_method(past: list[_Token]) -> bool:
    """Whether a ``(`` after these tokens calls a value rather than a function or filter."""
    if not past:
        return False
    last, before = past[-1], past[-2].text if len(past) > 1 else ""
    if last.kind == "word":
        return before == "."
    return last.text in (")", "]", "}") or last.kind == "string"


def _names(tokens: list[_Token]) -> Iterator[Name]:
    """Yield each dotted path that starts at a value's name."""
    sure = not any(token.text in _LAZY for token in tokens)
    i = 0
    while i < len(tokens):
        if not _is_root(tokens, i):
            i += 1
            continue
        path, start = [tokens[i].text], tokens[i].offset
        while _text_at(tokens, i + 1) == "." and _kind_at(tokens, i + 2) == "word":
            path.append(tokens[i + 2].text)
            i += 2
        i += 1
        yield Name(tuple(path), start, sure)


def _is_root(tokens: list[_Token], i: int) -> bool:
    token, before, after = tokens[i], _text_at(tokens, i - 1), _text_at(tokens, i + 1)
    if token.kind != "word" or before in (".", "|", "is"):
        return False
    if before == "not" and _text_at(tokens, i - 2) == "is":
        return False
    if after == "=" or (token.text in FUNCTIONS and after == "("):
        return False
    return token.text not in WORDS or token.text in ("loop", "self", "undefined", "range")


def _text_at(tokens: list[_Token], i: int) -> str:
    return tokens[i].text if 0 <= i < len(tokens) else ""


def _kind_at(tokens: list[_Token], i: int) -> str:
    return tokens[i].kind if 0 <= i < len(tokens) else ""
