"""What the control plane refuses, as one tree. The HTTP answer is chosen at the edge.

::

    ControlPlaneError
    ├── NotFound       there is no such thing
    ├── Forbidden      this principal may not do it: ``reason`` is a code
    ├── Conflict       it does not fit what has happened meanwhile: ``reason``, ``hint``
    └── Invalid        what was sent cannot be understood: ``errors``, all of them
"""

from __future__ import annotations

from collections.abc import Sequence


class ControlPlaneError(Exception):
    """Something asked of the control plane was refused; nothing was changed by it."""


class NotFound(ControlPlaneError):
    """There is no such thing."""

    def __init__(self, what: str, name: str) -> None:
        super().__init__(f"there is no {what} {name!r}")
        self.what, self.name = what, name


class Forbidden(ControlPlaneError):
    """This principal may not do it. ``reason`` is a code for machines."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Conflict(ControlPlaneError):
    """It does not fit what has happened meanwhile. ``hint`` says what to do now."""

    def __init__(self, reason: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.reason, self.hint = reason, hint


class Invalid(ControlPlaneError):
    """What was sent cannot be understood; ``errors`` names every fault at once."""

    def __init__(self, errors: Sequence[str]) -> None:
        super().__init__("; ".join(errors))
        self.errors = tuple(errors)
