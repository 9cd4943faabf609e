"""Trimtab from Python: submit runs, follow them, read proposals and decide on them.

::

    from trimtab import Client

    with Client() as trimtab:  # the server of the data folder here
        run = trimtab.submit("healthcare/patient_cohort", {"min_age": 65})
        print(trimtab.wait(run["run"])["state"])

Answers are the API's JSON. A refusal raises `ApiError` with the server's problem; no
server raises `Unreachable`. Playbook authors import ``trimtab.errors`` from here to say
of which class a failure is, `progress` to say how far they are, `spend` what they paid.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Final

from runtime import errors
from runtime.tools.progress import progress
from runtime.tools.spending import spend

if TYPE_CHECKING:
    from trimtab.client import Client
    from trimtab.faults import ApiError, BadName, ClientError, TookTooLong, Unreachable

sys.modules[f"{__name__}.errors"] = errors

_ROOMS: Final = {
    "Client": "client", "ApiError": "faults", "BadName": "faults", "ClientError": "faults",
    "TookTooLong": "faults", "Unreachable": "faults",
}  # fmt: skip
"""Loaded when they are asked for: a step that says `progress` needs no client."""


def __getattr__(name: str) -> object:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """Name what is loaded later too, as notebooks complete names by it."""
    return sorted({*globals(), *_ROOMS})


__all__ = [
    "ApiError", "BadName", "Client", "ClientError", "TookTooLong", "Unreachable", "errors",
    "progress",
    "spend",
]  # fmt: skip
