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
_DECODERS: Final = {name: msgspec.json.Decoder(cls) for name, cls in TYPES.items()}

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]
UPCASTERS: Final[dict[tuple[str, int], Upcaster]] = {}
"""``(type, old version)`` → a function from that version's body to the next one's."""


class UnknownEvent(Exception):
    """The journal holds an event of a type or version that this release does not know."""


def _defaults(cls: type[Event]) -> list[tuple[str, Any]]:
    out: list[tuple[str, Any]] = []
    for f in fields(cls):
        default = f.default if f.default is not MISSING else MISSING
        if f.default_factory is not MISSING:
            default = f.default_factory()
        out.append((f.name, default))
    return out


_FIELDS: Final = {cls: _defaults(cls) for cls in TYPES.values()}


def encode(event: Event) -> bytes:
    """Return the event's body as JSON text."""
    body = {}
    for name, default in _FIELDS[type(event)]:
        value = getattr(event, name)
        if default is MISSING or value != default:
            body[name] = value
    return _ENCODE(body)


def decode(type_: str, version: int, body: bytes) -> Event:
    """Return the event that ``body`` holds, brought up to today's version.

    Raises:
        UnknownEvent: the type is not known, or no upcaster leads to today's version.
    """
    try:
        cls = TYPES[type_]
    except KeyError:
        raise UnknownEvent(f"{type_} (version {version})") from None
    if version == cls.VERSION:
        event: Event = _DECODERS[type_].decode(body)
        return event
    data = msgspec.json.decode(body)
    while version < cls.VERSION:
        step = UPCASTERS.get((type_, version))
        if step is None:
            raise UnknownEvent(f"{type_} version {version} has no upcaster")
        data, version = step(data), version + 1
    if version != cls.VERSION:
        raise UnknownEvent(f"{type_} version {version} is newer than this release")
    return msgspec.convert(data, cls)
