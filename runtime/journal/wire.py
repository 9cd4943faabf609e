"""Event ↔ JSON text, as it stands in the journal.

Fields that keep their default are left out, and read back as the default, so a field
added later needs no upcaster. A changed meaning gets a new version and an entry in
``UPCASTERS``. The same bytes go to ClickHouse: what is compared is what was written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Any, Final

import msgspec

from runtime.run.events import TYPES, Event

_ENCODE = msgspec.json.Encoder().encode
_DECODE: Final[dict[tuple[str, int], Callable[[str | bytes], Event]]] = {
    (name, cls.VERSION): msgspec.json.Decoder(cls).decode for name, cls in TYPES.items()
}
"""By type and today's version."""

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]
UPCASTERS: Final[dict[tuple[str, int], Upcaster]] = {}
"""``(type, old version)`` → a function from that version's body to the next one's."""


class UnknownEvent(Exception):
    """The journal holds an event of a type or version that this release does not know."""


def _body_of(cls: type[Event]) -> Callable[[Any], dict[str, Any]]:
    """A function that gives an event's fields less those that keep their default.

    It is written out field by field and compiled: a loop over thirty fields would be the
    dearest part of a commit.
    """
    always: list[str] = []
    lines: list[str] = []
    defaults: dict[str, Any] = {}
    for f in fields(cls):
        default = f.default if f.default_factory is MISSING else f.default_factory()
        if default is MISSING:
            always.append(f"{f.name!r}: event.{f.name}")
            continue
        defaults[f"_{f.name}"] = default
        differs = "is not None" if default is None else f"!= _{f.name}"
        lines.append(f" value = event.{f.name}\n if value {differs}: body[{f.name!r}] = value")
    source = "\n".join(
        ["def body(event):", f" body = {{{', '.join(always)}}}", *lines, " return body"]
    )
    exec(source, defaults)  # noqa: S102 - made of the names of our own fields
    made: Callable[[Any], dict[str, Any]] = defaults["body"]
    return made


_BODIES: Final = {cls: _body_of(cls) for cls in TYPES.values()}


def encode(event: Event) -> bytes:
    """Return the event's body as JSON text."""
    return _ENCODE(_BODIES[type(event)](event))


def decode(type_: str, version: int, body: str | bytes) -> Event:
    """Return the event that ``body`` holds, brought up to today's version.

    Raises:
        UnknownEvent: the type is not known, or no upcaster leads to today's version.
    """
    today = _DECODE.get((type_, version))
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
