"""Named statements: every question that readers may ask, as files that ship with us.

A file ``sql/<name>.sql`` starts with ``-- <name>: what it is for.``; lines such as
``-- default limit = 100`` after it give parameters their value when the caller leaves
them out. The rest is the statement, with ``{name:Type}`` parameters. The recorder's endpoint
lets readers run these texts and no others, known by their hash.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

from runtime.record.access import RecordError

_DEFAULT: Final = re.compile(r"^--\s*default\s+(\w+)\s*=\s*(.+?)\s*$")
_FORMAT: Final = re.compile(r"\s+FORMAT\s+\w+\s*;?\s*$", re.IGNORECASE)
_PARAMETER: Final = re.compile(r"\{(\w+):")


class UnknownStatement(RecordError):
    """No statement of that name ships with us."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One question: its name, what it is for, its text and its defaults."""

    name: str
    purpose: str
    text: str
    defaults: Mapping[str, Any]

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names it takes, in order of appearance."""
        return tuple(dict.fromkeys(_PARAMETER.findall(self.text)))

    def bind(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return a value for each parameter, from ``given`` or the defaults.

        Raises:
            RecordError: one has no value, or a given name is not a parameter.
        """
        strange = sorted(set(given) - set(self.parameters))
        values = {**self.defaults, **given}
        missing = [name for name in self.parameters if name not in values]
        if strange or missing:
            raise RecordError(
                f"statement {self.name} takes {', '.join(self.parameters) or 'no parameter'}; "
                + (f"it does not know {', '.join(strange)}" if strange else "")
                + (f"it needs {', '.join(missing)}" if missing else "")
            )
        return values


def parse(name: str, source: str) -> Statement:
    """Return the statement that a file holds."""
    lines = source.splitlines()
    first = lines[0] if lines else ""
    if not first.startswith(f"-- {name}: "):
        raise RecordError(f"sql/{name}.sql: the first line must be `-- {name}: what it is for.`")
    found = (_DEFAULT.match(line) for line in lines)
    defaults = {m.group(1): json.loads(m.group(2)) for m in found if m}
    text = "\n".join(line for line in lines if not line.startswith("--")).strip().rstrip(";")
    return Statement(name, first.partition(": ")[2], text, defaults)


@cache
def load() -> Mapping[str, Statement]:
    """Return all statements that ship with us, by name."""
    folder = files("runtime.record").joinpath("sql")
    names = sorted(f.name for f in folder.iterdir() if f.name.endswith(".sql"))
    return {
        stem: parse(stem, folder.joinpath(f"{stem}.sql").read_text(encoding="utf-8"))
        for stem in (name.removesuffix(".sql") for name in names)
    }


def statement(name: str) -> Statement:
    """Return the statement of that name.

    Raises:
        UnknownStatement: there is none; the message lists those that there are.
    """
    try:
        return load()[name]
    except KeyError:
        raise UnknownStatement(f"no statement {name!r}; there are {', '.join(load())}") from None


def fingerprint(text: str) -> str:
    """Return the hash by which a statement is known, whatever format is asked of it."""
    return hashlib.sha256(_FORMAT.sub("", text.strip()).strip().encode()).hexdigest()


def allowed() -> frozenset[str]:
    """Return the hashes of all statements that readers may run."""
    return frozenset(fingerprint(s.text) for s in load().values())
