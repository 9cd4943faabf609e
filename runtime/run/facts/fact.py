"""A fact: what every event is made of. Frozen, quick to make, to write and to read.

A fact is a `msgspec.Struct`, which decodes straight from the journal's text. The garbage
collector does not look at one: it holds JSON values, which never point back at it.
"""

from __future__ import annotations

from typing import Any, Final, Self, TypeAlias

from msgspec import Struct, structs

Json: TypeAlias = Any
"""None, bool, int, float, str, or lists and string-keyed dicts of them."""

OUTCOMES: Final = ("succeeded", "failed", "timed_out", "lost", "cancelled")
ERROR_CLASSES: Final = (
    "transient", "timeout", "throttled", "permanent", "data", "resource", "lost",
    "unknown", "no_route", "no_quorum", "expression", "cancelled",
)  # fmt: skip


class Fact(Struct, frozen=True, gc=False, omit_defaults=True):
    """One event. Each has a ``TYPE`` (its name on the wire) and a ``VERSION``."""

    def but(self, **changes: Json) -> Self:
        """Return the same fact with some fields changed."""
        return structs.replace(self, **changes)


class Fault(Struct, frozen=True, gc=False):
    """What went wrong in an attempt or a run.

    ``where`` points into the playbook or its code (``file:line``); ``fingerprint`` is
    equal for faults of one cause (numbers and ids masked).
    """

    cls: str
    message: str
    where: str = ""
    traceback: str = ""
    fingerprint: str = ""
    retry_after_s: float | None = None

    def but(self, **changes: Json) -> Self:
        """Return the same fault with some fields changed."""
        return structs.replace(self, **changes)
