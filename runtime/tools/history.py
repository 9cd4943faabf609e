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
from runtime.errors import Permanent, Transient
from runtime.tools.port import Call, Outcome


class HistoryTool:
    """Reads the record by a named statement; the result is a table."""

    kind: ClassVar[str] = "history"

    def run(self, call: Call) -> Outcome:
        reader, name = history_of(call), call.text("query")
        from runtime.record.access import RecorderAway, RecordError

        try:
            return Outcome(reader.query(name, **call.args))
        except RecorderAway as error:
            raise Transient(str(error)) from error
        except RecordError as error:
            raise Permanent(str(error)) from error


def history_of(call: Call) -> Any:
    """The record's reader, if this attempt may have it.

    Raises:
        Permanent: it may not.
    """
    only_for_system(call)
    return _reader(Path(call.task.objects).parent)


def only_for_system(call: Call) -> None:
    """Refuse an ordinary run.

    Raises:
        Permanent: it is one.
    """
    if not call.task.system:
        raise Permanent("the record is read by system runs only; this run is an ordinary one")


@cache
def _reader(root: Path) -> Any:
    """One reader a process: its connection serves every attempt."""
    from runtime.record.history import History

    return History.open(DataFolder(root))
