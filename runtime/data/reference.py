"""A reference: what travels in place of a large value.

It is a plain JSON dict, so that it lives in events, expressions and arguments like any
other value; the bytes stay in the object store under their hash.

>>> ref = make("ab" * 32, "arrow", ARROW, 10, rows=2, schema={"age": "int64"})
>>> name(ref) == "ab" * 32 + ".arrow", is_reference(ref)
(True, True)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, TypeGuard

if TYPE_CHECKING:
    from mmap import mmap

ARROW: Final = "application/vnd.apache.arrow.file"
PARQUET: Final = "application/vnd.apache.parquet"
JSON: Final = "application/json"
INLINE_LIMIT: Final = 64 * 1024
"""JSON up to this many bytes travels as itself."""

_NAME: Final = re.compile(r"[0-9a-f]{64}\.[a-z]+")
_IN_JSON: Final = re.compile(rb'"\$ref":"([0-9a-f]{64}\.[a-z]+)"')

Reference = dict[str, Any]


def make(
    sha256: str,
    ext: str,
    media: str,
    size: int,
    *,
    rows: int | None = None,
    schema: dict[str, str] | None = None,
) -> Reference:
    """Return the reference to the object of that hash."""
    return {
        "$ref": f"{sha256}.{ext}",
        "media": media,
        "schema": schema,
        "rows": rows,
        "bytes": size,
        "sha256": sha256,
    }


def is_reference(value: object) -> TypeGuard[Reference]:
    """Whether a value stands for an object of the store."""
    return isinstance(value, dict) and "$ref" in value and "sha256" in value


def is_table(value: object) -> TypeGuard[Reference]:
    """Whether a value stands for an Arrow or Parquet table."""
    return is_reference(value) and value.get("media") in (ARROW, PARQUET)


def name(ref: Reference) -> str:
    """What the object is called in its store.

    Raises:
        ValueError: it is not a hash with an extension, so it may lead anywhere.
    """
    called = ref["$ref"]
    if not isinstance(called, str) or not is_name(called):
        raise ValueError(f"not the name of an object: {called!r}")
    return called


def is_name(text: str) -> bool:
    """Whether an object may be called so."""
    return _NAME.fullmatch(text) is not None


def names_in(data: bytes | mmap) -> set[str]:
    """The objects that compact JSON refers to.

    A quote inside a text is escaped, so that nothing but a reference looks like one.
    """
    return {found.decode() for found in _IN_JSON.findall(data)}


def references(value: object) -> Iterator[Reference]:
    """Every reference inside a JSON value, outermost first."""
    if is_reference(value):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from references(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from references(part)
