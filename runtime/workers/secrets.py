"""Secrets: names until the last moment, and never in what a worker says.

A playbook writes ``{secret: name}`` and declares the name. The worker puts the value in
its place, from the environment variable ``TRIMTAB_SECRET_<NAME>``, right before the tool
runs, and masks it in everything that leaves the attempt, also where it was quoted for an
address or for JSON. A table is never rewritten: one that holds a secret is refused.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

import msgspec

from runtime.data import reference
from runtime.errors import Permanent
from runtime.tools.variables import SECRET_PREFIX
from runtime.workers.protocol import Report, Task

MASK: Final = "•••"
SHORTEST: Final = 4
"""Fewer characters than this stand in any table by accident: it is not searched for them."""


def values(names: tuple[str, ...]) -> dict[str, str]:
    """Name → value, for the names that have one."""
    found = {name: os.environ.get(variable(name), "") for name in names}
    return {name: value for name, value in found.items() if value}


def variable(name: str) -> str:
    """The environment variable that holds a secret."""
    return SECRET_PREFIX + name.upper().replace("-", "_").replace(".", "_")


def reveal(task: Task, known: dict[str, str]) -> Task:
    """The task with every ``{secret: name}`` of its tool and arguments filled in.

    Raises:
        Permanent: the playbook does not declare the name, or it has no value.
    """
    tool, args = _fill(task.tool, task.secrets, known), _fill(task.args, task.secrets, known)
    return msgspec.structs.replace(task, tool=tool, args=args)


class Mask:
    """Takes the values of secrets out of what leaves an attempt. False when there are none."""

    def __init__(self, values: Iterable[str]) -> None:
        words = {form for value in values for form in _forms(value)}
        longest = sorted(words, key=len, reverse=True)
        self._text = re.compile("|".join(map(re.escape, longest))) if longest else None
        encoded = b"|".join(re.escape(w.encode()) for w in longest if len(w) >= SHORTEST)
        self._bytes = re.compile(encoded) if encoded else None

    def __bool__(self) -> bool:
        return self._text is not None

    def json(self, value: Any) -> Any:
        """A JSON value without them."""
        if self._text is None:
            return value
        if isinstance(value, str):
            return self._text.sub(MASK, value)
        if reference.is_reference(value):
            return value  # a hash, which a short secret may stand in by accident
        if isinstance(value, dict):
            return {self.json(name): self.json(part) for name, part in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.json(part) for part in value]
        return value

    def table(self, table: Any) -> None:
        """Refuse an Arrow table that holds one.

        Raises:
            Permanent: some column does; the message says which.
        """
        if self._bytes is None:
            return
        for name, column in zip(table.schema.names, table.columns, strict=True):
            if any(self._bytes.search(buffer) for buffer in _buffers(column)):
                raise Permanent(f"column {name!r} of the result holds a secret; leave it out")

    def blob(self, data: bytes) -> None:
        """Refuse bytes that hold one.

        Raises:
            Permanent: they do.
        """
        if self._bytes is not None and self._bytes.search(data):
            raise Permanent("bytes of the result hold a secret; leave it out")

    def report(self, report: Report) -> Report:
        """The report without them; its result was masked before it was stored."""
        return msgspec.structs.replace(
            report,
            stdout=self.json(report.stdout),
            fault=self.json(report.fault),
            checks=self.json(report.checks),
        )


NOTHING: Final = Mask(())
"""The mask of an attempt that knows no secret."""


def _buffers(column: Any) -> Iterator[Any]:
    for chunk in getattr(column, "chunks", [column]):
        yield from filter(None, chunk.buffers())
        if hasattr(chunk, "dictionary"):
            yield from filter(None, chunk.dictionary.buffers())


def _forms(value: str) -> set[str]:
    """A secret as it is, and as addresses and JSON write it."""
    words = {value, *_passwords(value)}
    quoted = {form for w in words for form in (quote(w), quote(w, safe=""), quote_plus(w))}
    return {*words, *(msgspec.json.encode(w).decode()[1:-1] for w in words), *quoted}


def _passwords(value: str) -> set[str]:
    """The password within a secret that is an address, as it stands there and as it is meant."""
    if "://" not in value:
        return set()
    try:
        parts = urlsplit(value)
    except ValueError:
        return set()
    asked = [v for name, v in parse_qsl(parts.query) if name.lower() == "password"]
    found = [word for word in (parts.password, *asked) if word]
    return {form for word in found for form in (word, unquote(word))}


def _fill(value: Any, declared: tuple[str, ...], known: dict[str, str]) -> Any:
    if isinstance(value, dict):
        if value.keys() == {"secret"}:
            return _value(value["secret"], declared, known)
        return {name: _fill(part, declared, known) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_fill(part, declared, known) for part in value]
    return value


def _value(name: Any, declared: tuple[str, ...], known: dict[str, str]) -> str:
    if name not in declared:
        raise Permanent(f"secret {name!r} is not declared: add it to the playbook's `secrets`")
    if name not in known:
        raise Permanent(f"secret {name!r} has no value: set {variable(name)} for the server")
    return known[name]
