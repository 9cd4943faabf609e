"""Names and parameters as they stand in the address of a route."""

from __future__ import annotations

from urllib.parse import quote

from trimtab.faults import BadName, Json


def part(name: str, slash: str = "") -> str:
    """Return a name as part of a path."""
    if not name.strip("/. "):
        raise BadName(f"{name!r} is no id or name")
    return quote(name, safe=slash)


def given(**params: Json) -> dict[str, Json]:
    """Return those parameters that have a value."""
    return {name: value for name, value in params.items() if value is not None}
