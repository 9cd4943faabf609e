"""Every error that a command may meet, as a refusal with its exit code.

By module and name, because importing what raises them would make every command slow.
"""

from __future__ import annotations

import errno
from typing import Any, Final

from control_plane.cli.talk import Code, Refusal

_BY_STATUS: Final = {
    400: Code.USAGE, 401: Code.REFUSED, 403: Code.REFUSED, 404: Code.NOT_FOUND,
    409: Code.CONFLICT, 422: Code.USAGE, 429: Code.TIMEOUT, 503: Code.UNREACHABLE,
}  # fmt: skip
_BY_NAME: Final[dict[str, tuple[Code, str]]] = {
    "trimtab.faults.Unreachable": (Code.UNREACHABLE, "trimtab dev"),
    "trimtab.faults.BadName": (Code.USAGE, ""),
    "trimtab.faults.TookTooLong": (Code.TIMEOUT, ""),
    "control_plane.errors.NotFound": (Code.NOT_FOUND, ""),
    "control_plane.errors.Forbidden": (Code.REFUSED, ""),
    "control_plane.errors.Conflict": (Code.CONFLICT, ""),
    "control_plane.errors.Invalid": (Code.USAGE, ""),
    "control_plane.settings.named.SettingFault": (Code.USAGE, "trimtab config list"),
    "control_plane.cron.CronFault": (Code.USAGE, ""),
    "control_plane.auth.KeyFault": (Code.USAGE, ""),
    "control_plane.ground.PortTaken": (Code.CONFLICT, "trimtab dev --port 0"),
    "runtime.journal.port.FolderInUse": (Code.CONFLICT, "trimtab status"),
    "runtime.journal.port.JournalUnreadable": (Code.FAILED, ""),
    "runtime.data.folder.FolderUnusable": (Code.FAILED, ""),
    "runtime.engine.price_file.BadCatalogue": (Code.USAGE, ""),
    "control_plane.review.policy_file.PolicyFaults": (Code.USAGE, ""),
    "runtime.engine.errors.UnknownPlaybook": (Code.NOT_FOUND, "trimtab playbook list"),
    "runtime.engine.errors.UnknownRun": (Code.NOT_FOUND, "trimtab run list"),
    "runtime.engine.errors.BadWorkload": (Code.USAGE, ""),
    "runtime.engine.errors.BadOverride": (Code.USAGE, ""),
    "runtime.engine.errors.KeyConflict": (Code.CONFLICT, ""),
    "runtime.playbook.faults.PlaybookFaults": (Code.FAILED, ""),
    "runtime.playbook.faults.BundleFault": (Code.FAILED, ""),
    "runtime.record.access.RecorderAway": (Code.UNREACHABLE, "trimtab doctor"),
    "runtime.record.access.RecordBehind": (Code.TIMEOUT, "trimtab doctor"),
}


def refusal_of(fault: Exception) -> Refusal | None:
    """Return an error as a refusal, or None when nobody foresaw it."""
    if isinstance(fault, Refusal):
        return fault
    names = [f"{cls.__module__}.{cls.__qualname__}" for cls in type(fault).__mro__]
    if "trimtab.faults.ApiError" in names:
        return _refused(fault)
    if (full := _full_disk(fault)) is not None:
        return full
    for name in names:
        if name in _BY_NAME:
            code, command = _BY_NAME[name]
            hint = str(getattr(fault, "hint", ""))
            return Refusal(str(fault), hint=hint, command=command, code=code)
    return None


def _full_disk(fault: BaseException | None) -> Refusal | None:
    """Return the refusal of a disk that has no room, or None when it is something else."""
    while fault is not None:
        full = isinstance(fault, OSError) and fault.errno in (errno.ENOSPC, errno.EDQUOT)
        if full or getattr(fault, "sqlite_errorname", "").startswith("SQLITE_FULL"):
            told = "the disk that holds the data folder is full"
            return Refusal(told, hint="free some room and start it again; nothing was lost")
        fault = fault.__cause__
    return None


def _refused(fault: Any) -> Refusal:
    """Return the server's problem: what it says, every fault, its hint."""
    lines = [str(fault)]
    for error in fault.problem.get("errors", []):
        place = f"{error['line']}:{error['column']} " if error.get("line") else ""
        path, message = error.get("path") or error.get("key") or "", error.get("message", "")
        if message not in lines[0]:
            lines.append(f"  {place}{f'{path}: ' if path else ''}{message}")
    code = _BY_STATUS.get(fault.status, Code.FAILED)
    return Refusal("\n".join(lines), hint=fault.hint, code=code)
