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
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final

import minijinja

from runtime.playbook.faults import ExpressionFault
from runtime.playbook.model import Json
from runtime.playbook.syntax import (
    CONSTANTS,
    Expression,
    Name,
    bare_parts,
    read_expression,
    template_parts,
)
from runtime.playbook.values import ASKS_SKIPPED, given_to, walk

FUEL: Final = 200_000
"""Steps of the evaluator that one expression may take."""
RESULT_LIMIT: Final = 1 << 20
"""Characters of a rendered text."""


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
        return bool(self._value(read_expression(text), names, condition=True))

    def check(self, text: str, *, bare: bool = False) -> None:
        """Raise ExpressionFault when a template (or a ``bare`` expression) is malformed."""
        for part in bare_parts(text) if bare else template_parts(text):
            if isinstance(part, Expression):
                _parse(part, self._fuel)

    def names(self, text: str, *, bare: bool = False) -> Iterator[Name]:
        """Yield the names that a well-formed template or expression refers to."""
        for part in bare_parts(text) if bare else template_parts(text):
            if isinstance(part, Expression):
                yield from (
                    Name(name.path, name.offset + part.offset, name.sure) for name in part.names
                )

    def _text(self, text: str, names: Mapping[str, Json]) -> Json:
        parts = template_parts(text.removesuffix("\n"))
        if len(parts) == 1 and isinstance(parts[0], Expression):
            return self._value(parts[0], names)
        parts = template_parts(text)
        done = [p if isinstance(p, str) else _as_text(self._value(p, names)) for p in parts]
        if sum(map(len, done)) > RESULT_LIMIT:
            raise ExpressionFault(f"the text would be longer than {RESULT_LIMIT} characters")
        return "".join(done)

    def _value(
        self, expression: Expression, names: Mapping[str, Json], *, condition: bool = False
    ) -> Json:
        if expression.constant:
            return CONSTANTS[expression.text]
        if expression.is_path:
            return walk(expression, expression.names[0], names)
        given = given_to(expression, names)
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
        asks = name.path[0] + ASKS_SKIPPED
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
