"""Expressions: minijinja between ``{{ }}``, the same language everywhere.

A string that is one whole ``{{ }}`` keeps the type of its value; in a longer text a
string goes in as it is and anything else as JSON. Conditions are bare expressions. An
unknown name is a fault, never text left in place. Only expressions exist: no blocks, no
comments, no method calls, so a value cannot be changed by looking at it. A plain path
(``load.rows``) is looked up here; anything more is evaluated by minijinja under fuel and
comes back through JSON, which bounds the result as well.

>>> expressions = Expressions()
>>> expressions.render(
...     {"n": "{{ load.rows }}", "t": "{{ load.rows + 1 }} rows"}, {"load": {"rows": 3}}
... )
{'n': 3, 't': '4 rows'}
>>> expressions.condition("load.rows > 2 and load.rows is odd", {"load": {"rows": 3}})
True
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NoReturn

import minijinja

from runtime.playbook.faults import ExpressionFault, did_you_mean
from runtime.playbook.model import Json

FUEL: Final = 200_000
"""Steps of the evaluator that one expression may take."""
EXPRESSION_LIMIT: Final = 4_096
TEXT_LIMIT: Final = 65_536
RESULT_LIMIT: Final = 1 << 20
"""Characters of one expression, of a template, and of a rendered text."""

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
_CONSTANTS: Final = {
    "true": True, "True": True, "false": False, "False": False, "none": None, "None": None,
}  # fmt: skip
_LAZY: Final = frozenset({"if", "and", "or", "is", "default"})
SKIPPED: Final[Json] = {"skipped": True}
"""Stands for a step that was skipped: null, with ``.skipped``."""
_ASKS_SKIPPED: Final = "ºskipped"
"""What ``.skipped`` is spelled as where a value has no fields: a name that nobody can give."""
ABSENT: Final[Json] = object()
"""Stands for a name that has no value yet: an expression may ask for it, and not count on it."""
_TOKEN: Final = re.compile(
    r"""(?P<space>\s+)|(?P<string>'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")
    |(?P<number>\d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d+)?)|(?P<word>[^\W\d]\w*)
    |(?P<operator>==|!=|<=|>=|//|\*\*|.)""",
    re.VERBOSE | re.DOTALL,
)


class Expressions:
    """Renders templates and decides conditions. Holds no state but its limits."""

    def __init__(self, fuel: int = FUEL) -> None:
        self._fuel = fuel

    def render(self, value: Json, names: Mapping[str, Json]) -> Json:
        """Return the value with every template in it rendered, however deeply nested.

        Raises ExpressionFault. ``names`` is asked for the names that are used alone, so
        it may be a mapping that loads on demand. Nothing in it is copied or changed.
        """
        if isinstance(value, str):
            return self._text(value, names) if "{{" in value else value
        if isinstance(value, dict):
            return {key: self.render(item, names) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.render(item, names) for item in value]
        return value

    def condition(self, text: str, names: Mapping[str, Json]) -> bool:
        """Return whether a bare expression holds. Raises ExpressionFault."""
        return bool(self._value(_expression(text), names, condition=True))

    def check(self, text: str, *, bare: bool = False) -> None:
        """Raise ExpressionFault when a template (or a ``bare`` expression) is malformed."""
        for part in _bare(text) if bare else _template(text):
            if isinstance(part, Expression):
                _parse(part, self._fuel)

    def names(self, text: str, *, bare: bool = False) -> Iterator[Name]:
        """Yield the names that a well-formed template or expression refers to."""
        for part in _bare(text) if bare else _template(text):
            if isinstance(part, Expression):
                yield from (
                    Name(name.path, name.offset + part.offset, name.sure) for name in part.names
                )

    def _text(self, text: str, names: Mapping[str, Json]) -> Json:
        parts = _template(text.removesuffix("\n"))
        if len(parts) == 1 and isinstance(parts[0], Expression):
            return self._value(parts[0], names)
        parts = _template(text)
        done = [p if isinstance(p, str) else _as_text(self._value(p, names)) for p in parts]
        if sum(map(len, done)) > RESULT_LIMIT:
            raise ExpressionFault(f"the text would be longer than {RESULT_LIMIT} characters")
        return "".join(done)

    def _value(
        self, expression: Expression, names: Mapping[str, Json], *, condition: bool = False
    ) -> Json:
        if expression.constant:
            return _CONSTANTS[expression.text]
        if expression.is_path:
            return _walk(expression, expression.names[0], names)
        given = _given(expression, names)
        if condition:
            return _evaluate(expression, "true if (", ") else false", given, self._fuel)
        text = _evaluate(expression, "(", ")|tojson", given, self._fuel)
        if text == "null" and _evaluate(expression, "(", ") is undefined", given, self._fuel):
            message = f"{expression.text.strip()} has no value"
            raise ExpressionFault(message, text=expression.text, offset=expression.offset)
        if text == "null" and _evaluate(expression, "(", ") is number", given, self._fuel):
            message = f"{expression.text.strip()} is no finite number"
            raise ExpressionFault(message, text=expression.text, offset=expression.offset)
        return json.loads(text, parse_int=_whole)


def _whole(text: str) -> int:
    """A whole number that events and tasks can carry: 64 bits."""
    number = int(text)
    if not -(2**63) <= number < 2**64:
        raise ExpressionFault(f"{text} is too large a whole number", hint="64 bits at most")
    return number


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


# ---- taking a text apart ----------------------------------------------------------------


@lru_cache(maxsize=4096)
def _template(text: str) -> tuple[str | Expression, ...]:
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
        parts.append(_expression(text[start + 2 : end], start + 2))
        position = end + 2
    if position < len(text):
        parts.append(text[position:])
    return tuple(parts)


def _bare(text: str) -> tuple[str | Expression, ...]:
    if text.lstrip().startswith("{{"):
        raise ExpressionFault(
            "a condition is a bare expression", text=text, hint="leave out the {{ and }}"
        )
    return (_expression(text),)


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
def _expression(text: str, offset: int = 0) -> Expression:
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
    constant = stripped in _CONSTANTS
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


# ---- finding values ---------------------------------------------------------------------


def _given(expression: Expression, names: Mapping[str, Json]) -> dict[str, Json]:
    """Return the values the expression needs; each path it surely reads must be there."""
    given: dict[str, Json] = {}
    for name in expression.names:
        root = name.path[0]
        if root not in given:
            value = _root(expression, name, names)
            if value is ABSENT:
                _lacking(expression, name, given)
                continue
            given[root] = None if value is SKIPPED else value
            if value is SKIPPED or not isinstance(value, Mapping):
                given[root + _ASKS_SKIPPED] = value is SKIPPED
        if name.sure and len(name.path) > 1:
            _walk(expression, name, given)
    return given


def _lacking(expression: Expression, name: Name, given: dict[str, Json]) -> None:
    """Let an expression see that a value is not there yet, where it may look no further."""
    root = name.path[0]
    if name.sure:
        _absent(expression, name)
    if all(len(n.path) > 1 for n in expression.names if n.path[0] == root):
        given[root] = {}  # so that `root.field | default(…)` can be asked


def _absent(expression: Expression, name: Name) -> NoReturn:
    raise ExpressionFault(
        f"{name.path[0]} has not run yet", text=expression.text,
        offset=expression.offset + name.offset, hint=f"{name} | default(…) would do",
    )  # fmt: skip


def _root(expression: Expression, name: Name, names: Mapping[str, Json]) -> Json:
    root = name.path[0]
    try:
        return names[root]
    except KeyError:
        raise ExpressionFault(
            f"unknown name {root}",
            text=expression.text, offset=expression.offset + name.offset, unknown=root,
            hint=did_you_mean(root, [str(known) for known in names]),
        ) from None  # fmt: skip


def _walk(expression: Expression, name: Name, names: Mapping[str, Json]) -> Json:
    value = _root(expression, name, names)
    if value is ABSENT:
        _absent(expression, name)
    if value is SKIPPED and len(name.path) == 1:
        return None
    for depth, key in enumerate(name.path[1:], start=1):
        try:
            value = _field(value, key)
        except (KeyError, AttributeError):
            if key == "skipped" and depth == 1:
                return False
            _missing(expression, name, depth, value)
    return value


def _field(value: Json, key: str) -> Json:
    if isinstance(value, Mapping):
        return value[key]
    found = getattr(value, key)
    if key.startswith("_") or callable(found):
        raise AttributeError(key)
    return found


def _missing(expression: Expression, name: Name, depth: int, value: Json) -> NoReturn:
    owner, full = ".".join(name.path[:depth]), ".".join(name.path[: depth + 1])
    known = [str(key) for key in value] if isinstance(value, Mapping) else []
    what = "is null" if value is None else f"has no {name.path[depth]}"
    raise ExpressionFault(
        f"{owner} {what}", text=expression.text, offset=expression.offset + name.offset,
        unknown=full, hint=did_you_mean(name.path[depth], known),
    )  # fmt: skip


def _as_text(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


# ---- evaluating -------------------------------------------------------------------------


def _environment(fuel: int) -> minijinja.Environment:
    environment = minijinja.Environment(
        undefined_behavior="strict",
        fuel=fuel,
        pycompat=False,
        auto_escape_callback=lambda _name: False,
    )
    for name in ("dict", "namespace", "debug"):
        environment.remove_global(name)
    return environment


_environments: Final = lru_cache(maxsize=8)(_environment)


def _spelled(expression: Expression, given: dict[str, Json]) -> str:
    """The text, with a name of its own for each ``x.skipped`` whose x has no fields."""
    text = expression.text
    for name in reversed(expression.names):  # so that the places before stay where they are
        asks = name.path[0] + _ASKS_SKIPPED
        if name.path[1:2] == ("skipped",) and asks in given:
            end = text.index("skipped", name.offset + len(name.path[0])) + len("skipped")
            text = text[: name.offset] + asks + text[end:]
    return text


def _evaluate(
    expression: Expression, prefix: str, suffix: str, given: dict[str, Json], fuel: int
) -> Json:
    source = prefix + _spelled(expression, given) + suffix
    try:
        return _environments(fuel).eval_expr(source, **given)
    except minijinja.TemplateError as error:
        raise _fault(error, expression, len(prefix)) from None


def _parse(expression: Expression, fuel: int) -> None:
    """Let minijinja read the expression. Without values it may well fail later: that is fine."""
    try:
        _environments(fuel).eval_expr(expression.text)
    except minijinja.TemplateError as error:
        if error.kind == "SyntaxError":
            raise _fault(error, expression, 0) from None


def _fault(error: minijinja.TemplateError, expression: Expression, shift: int) -> ExpressionFault:
    start = max((error.range or (shift, 0))[0] - shift, 0)
    before = expression.text.encode()[:start].decode(errors="ignore")
    if error.kind == "OutOfFuel":
        message = "the expression takes too long or makes too much"
    else:
        message = error.detail or str(error.message)
    return ExpressionFault(message, text=expression.text, offset=expression.offset + len(before))
