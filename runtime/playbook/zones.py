"""Time zones by their names: whose clock tells the hours.

UTC is known everywhere; the others come from the machine, or from the package ``tzdata``
where it has none. A name that nobody knows is answered with the one that was meant, if
one is like it.

>>> str(zone_of("Europe/Berlin")), zone_of("Europe/Berlyn")
('Europe/Berlin', None)
>>> meant("Europe/Berlyn"), meant("berlin")
('did you mean Europe/Berlin?', 'did you mean Europe/Berlin?')
>>> meant("Olympus Mons")
'write it like Europe/Berlin or UTC'
"""

from __future__ import annotations

from datetime import UTC, tzinfo
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from runtime.playbook.faults import nearest
from runtime.playbook.part import Part

HINT: Final = "write it like Europe/Berlin or UTC"


@cache
def zone_of(name: str) -> tzinfo | None:
    """Return a time zone by its name, or None when this machine does not know it."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def meant(name: str) -> str:
    """Return which zone a name that is none may stand for, a city alone too."""
    known = {zone.lower().replace("_", " "): zone for zone in sorted(available_timezones())}
    if not known:
        return "there are no data of time zones here: pip install tzdata"
    cities: dict[str, str] = {}
    for words, zone in known.items():
        cities.setdefault(words.rpartition("/")[2], zone)
    asked = name.lower().replace("_", " ")
    found = known.get(asked) or cities.get(asked)
    found = found or known.get(nearest(asked, known)) or cities.get(nearest(asked, cities))
    return f"did you mean {found}?" if found else HINT


def read_zone(part: Part | None) -> str | None:
    """Return the name of a time zone that is known here."""
    name = part.text("time zone") if part is not None else None
    if part is not None and name is not None and zone_of(name) is None:
        part.refuse(f"no time zone is called {name}", meant(name))
    return name
