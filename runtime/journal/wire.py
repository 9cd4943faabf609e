"""Event ↔ JSON text, as it stands in the journal.

Fields that keep their default are left out, and read back as the default, so a field
added later needs no upcaster. A changed meaning gets a new version and an entry in
``UPCASTERS``. The same bytes go to ClickHouse: what is compared is what was written.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import NODEFAULT, structs

from runtime.run.events import TYPES, Event

_ENCODE = msgspec.json.Encoder().encode


class _Decoders(dict[tuple[str, int], "Callable[[str | bytes], Event] | None"]):
    """By type and today's version, each made when it is first asked for."""

    def __missing__(self, key: tuple[str, int]) -> Callable[[str | bytes], Event] | None:
        cls = TYPES.get(key[0])
        known = cls is not None and key[1] == cls.VERSION
        if not known:
            return None
        made = self[key] = msgspec.json.Decoder(cls).decode
        return made


_DECODE: Final = _Decoders()

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]
UPCASTERS: Final[dict[tuple[str, int], Upcaster]] = {}
"""``(type, old version)`` → a function from that version's body to the next one's."""


class UnknownEvent(Exception):
    """The journal holds an event of a type or version that this release does not know."""


def _tidy_of(cls: type[Event]) -> Callable[[Any], dict[str, Any]]:
    """A function that names the fields of an event that equal their default without being it.

    msgspec leaves out what *is* the default, or an empty list or dict of the plain kind; we
    leave out what equals it. Only floats, longer texts and containers can tell the two apart.
    The function is written out field by field and compiled: it runs for every event.
    """
    lines: list[str] = []
    defaults: dict[str, Any] = {}
    for f in structs.fields(cls):
        name = f.name
        if f.default_factory is not NODEFAULT:
            kind = f.default_factory.__name__
            lines.append(f" if not event.{name} and type(event.{name}) is not {kind}:")
            lines.append(f"  found[{name!r}] = {kind}()")
        elif isinstance(f.default, float) or (isinstance(f.default, str) and f.default):
            defaults[f"_{name}"] = f.default
            lines.append(f" if event.{name} == _{name} and event.{name} is not _{name}:")
            lines.append(f"  found[{name!r}] = _{name}")
    exec("\n".join(["def tidy(event):", " found = {}", *lines, " return found"]), defaults)  # noqa: S102 - made of the names of our own fields
    made: Callable[[Any], dict[str, Any]] = defaults["tidy"]
    return made


class _Tidying(dict[type[Event], "Callable[[Any], dict[str, Any]]"]):
    """By kind of event, each made when it is first asked for."""

    def __missing__(self, cls: type[Event]) -> Callable[[Any], dict[str, Any]]:
        made = self[cls] = _tidy_of(cls)
        return made


_TIDY: Final = _Tidying()


def encode(event: Event) -> bytes:
    """Return the event's body as JSON text."""
    untidy = _TIDY[type(event)](event)
    return _ENCODE(structs.replace(event, **untidy) if untidy else event)


def decode(type_: str, version: int, body: str | bytes) -> Event:
    """Return the event that ``body`` holds, brought up to today's version.

    Raises:
        UnknownEvent: the type is not known, or no upcaster leads to today's version.
    """
    today = _DECODE[type_, version]
    return today(body) if today is not None else _upcast(type_, version, body)


def _upcast(type_: str, version: int, body: str | bytes) -> Event:
    try:
        cls = TYPES[type_]
    except KeyError:
        raise UnknownEvent(f"{type_} (version {version})") from None
    data = msgspec.json.decode(body)
    while version < cls.VERSION:
        step = UPCASTERS.get((type_, version))
        if step is None:
            raise UnknownEvent(f"{type_} version {version} has no upcaster")
        data, version = step(data), version + 1
    if version != cls.VERSION:
        raise UnknownEvent(f"{type_} version {version} is newer than this release")
    return msgspec.convert(data, cls)
