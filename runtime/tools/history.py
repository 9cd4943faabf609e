"""The ``history`` tool: one named statement over the record, for system runs alone.

The statements ship with us (``runtime/record/sql``); a playbook names one and binds its
parameters through ``with``. Only a system run may read, because the record holds
what every run of the installation did.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from runtime.data.folder import DataFolder
from runtime.errors import Permanent
from runtime.tools.port import Call, Outcome


class HistoryTool:
    """Reads the record by a named statement; the result is a table."""

    kind: ClassVar[str] = "history"

    def run(self, call: Call) -> Outcome:
        return Outcome(history_of(call).query(call.text("query"), **call.args))


def history_of(call: Call) -> Any:
    """The record's reader, if this attempt may have it.

    Raises:
        Permanent: it may not.
    """
    if not call.task.system:
        raise Permanent("the record is read by system runs only; this run is an ordinary one")
    return _reader(Path(call.task.objects).parent)


@cache
def _reader(root: Path) -> Any:
    """One reader a process: its connection serves every attempt."""
    from runtime.record.history import History

    return History.open(DataFolder(root))
