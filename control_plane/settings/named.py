"""Each setting by its name, such as ``server.port``: its type, its words, what it may be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import Field, dataclass, fields
from typing import Any, Final, TypeAlias, cast

from control_plane.settings.allowed import May, anything
from control_plane.settings.groups import Settings

Scalar: TypeAlias = str | int | float | bool

PREFIX: Final = "TRIMTAB_"


class SettingFault(Exception):
    """A setting has no such name, or a value that it cannot have."""


@dataclass(frozen=True, slots=True)
class Named:
    """A setting as a person sees it."""

    name: str
    type: type
    default: Scalar
    text: str
    may: May = anything
    secret: bool = False

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return PREFIX + self.name.replace(".", "_").upper()


GROUPS: Final = cast("dict[str, type[Any]]", {f.name: f.default_factory for f in fields(Settings)})


def named() -> Iterator[Named]:
    """Yield every setting, in the order of the groups."""
    for group, cls in GROUPS.items():
        for f in fields(cls):
            yield _named(group, f)


def _named(group: str, f: Field[Any]) -> Named:
    default = cast("Scalar", f.default)
    return Named(
        f"{group}.{f.name}", type(default), default, f.metadata["text"], f.metadata["may"],
        f.metadata["secret"],
    )  # fmt: skip


def value_of(settings: Settings, name: str) -> Scalar:
    """Return the value of a setting by its name."""
    group, _, part = name.partition(".")
    found: Scalar = getattr(getattr(settings, group), part)
    return found


def coerce(name: str, value: Scalar, source: str) -> Scalar:
    """Return a value as the type its setting has.

    >>> coerce("record.enabled", "off", "flag")
    False
    """
    setting = next((s for s in named() if s.name == name), None)
    if setting is None:
        raise SettingFault(f"{source}: there is no setting `{name}`; see `trimtab config list`")
    try:
        typed = cast("Scalar", _TYPES[setting.type](value))
    except (ValueError, KeyError):
        typed, wanted = value, _WORDS[setting.type]
    else:
        wanted = setting.may(typed)
    if wanted:
        raise SettingFault(f"{source}: {name} wants {wanted}, not {typed!r}")
    return typed


def shown(name: str, value: Scalar) -> Scalar:
    """Return a value as it may be shown: a secret, or the password of an address, is hidden.

    >>> shown("record.qdrant_key", "s3cret"), shown("record.clickhouse", "ch://me:pw@host/db")
    ('(set, not shown)', 'ch://me:***@host/db')
    """
    if isinstance(value, str) and value and any(s.secret for s in named() if s.name == name):
        return "(set, not shown)"
    return re.sub(r"(://[^:/@]*):[^/]*@", r"\1:***@", value) if isinstance(value, str) else value


def _truth(value: Scalar) -> bool:
    words = {"true": True, "on": True, "yes": True, "1": True,
             "false": False, "off": False, "no": False, "0": False}  # fmt: skip
    return words[str(value).strip().lower()]


_TYPES: Final[dict[type, Any]] = {str: str, int: int, float: float, bool: _truth}
_WORDS: Final[dict[type, str]] = {
    str: "text", int: "a whole number", float: "a number", bool: "on or off",
}  # fmt: skip
