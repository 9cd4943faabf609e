"""Errors that a playbook's code may raise to say what kind of failure it met.

The class decides what the runtime does next: a `Transient` fault is worth another try, a
`Permanent` one is not. Anything else that a tool raises is given a class by its type
(`runtime.tools.faults`).

::

    ToolError
    ├── Transient          gone by itself, perhaps: a connection, a busy service
    ├── Throttled          told to slow down; knows how long to wait
    ├── TimedOut           took too long
    ├── Permanent          will fail the same way again
    ├── DataError          the data is wrong, not the code
    ├── ResourceExhausted  no memory or no disk
    └── UnknownEffect      it may or may not have taken effect
"""

from __future__ import annotations

from typing import ClassVar


class ToolError(Exception):
    """The tool failed."""

    cls: ClassVar[str] = "permanent"
    retry_after_s: float | None = None
    names: tuple[str, ...] = ()
    """What a tool's ``errors:`` map may call it beside its type: a status, an exit code."""


class Transient(ToolError):
    """The failure may be gone at the next try."""

    cls = "transient"


class Throttled(ToolError):
    """A service asked for fewer requests; try again after ``retry_after`` seconds."""

    cls = "throttled"

    def __init__(self, message: str = "throttled", retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after


class TimedOut(ToolError):
    """It took too long."""

    cls = "timeout"


class Permanent(ToolError):
    """Another try would fail in the same way."""

    cls = "permanent"


class DataError(ToolError):
    """The data is not what it should be."""

    cls = "data"


class ResourceExhausted(ToolError):
    """Memory or disk ran out."""

    cls = "resource"


class UnknownEffect(ToolError):
    """It may have taken effect; a person has to look."""

    cls = "unknown"
