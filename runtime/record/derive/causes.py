"""What a fault says, without what varies between its occurrences."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final

from runtime.record.masking import HTTP, mask
from runtime.run.budget import without_note
from runtime.run.events import Fault

_HTTP: Final = re.compile(HTTP, re.IGNORECASE)
_PHRASES: Final = {str(status.value): status.phrase for status in HTTPStatus}


def fault_text(step: str, fault: Fault) -> str:
    """Return what a fault says, without what varies between its occurrences.

    An HTTP error is named, since people ask for "too many requests" more often than for 429.
    That a retry budget was spent is no part of the cause.
    """
    said = without_note(fault.message)
    where = f" at {fault.where}" if fault.where else ""
    code = _HTTP.search(said)
    named = f" ({_PHRASES[code[1]]})" if code and code[1] in _PHRASES else ""
    return mask(f"{step}: {fault.cls}: {said}{named}{where}")


def cause(step: str, fault: Fault) -> str:
    """Return the fault's fingerprint; its masked text stands in where the tool gave none."""
    return fault.fingerprint or fault_text(step, fault)
