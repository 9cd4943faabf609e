"""History: the one way to read the record, by named statements, as Arrow tables.

::

    history = History.open(folder)
    history.query("run_attempts", run=run_id)

Readers hold a token that can run these statements and nothing else. A recorder that
restarts is waited for; a statement is asked again, since reading twice is harmless.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Final

from runtime.data.folder import DataFolder
from runtime.record.access import (
    RecorderAway,
    RecordError,
    RecordSettings,
    await_caught_up,
    status,
)
from runtime.record.clickhouse import connect
from runtime.record.statements import load, statement

_PATIENCE_S: Final = 20.0
_ARROW: Final = {"output_format_arrow_low_cardinality_as_dictionary": 0}


class History:
    """Reads ClickHouse by named statements. May be shared by threads."""

    def __init__(self, folder: DataFolder, settings: RecordSettings) -> None:
        self._folder, self._settings = folder, settings
        self._client: Any = None
        self._lock = threading.Lock()

    @classmethod
    def open(cls, folder: DataFolder | Path | str) -> History:
        """Return a reader for a data folder. It connects with the first question."""
        folder = folder if isinstance(folder, DataFolder) else DataFolder(Path(folder))
        return cls(folder, RecordSettings.of(folder))

    def query(self, name: str, /, **params: Any) -> Any:
        """Ask a named statement and return its answer as a ``pyarrow.Table``.

        Raises:
            UnknownStatement: no statement has that name.
            RecorderAway: no recorder answered within 20 seconds.
            RecordError: the parameters or ClickHouse said no.
        """
        return self._asked(name, params, lambda client, text, values: client.query_arrow(
            text, parameters=values, settings=_ARROW
        ))  # fmt: skip

    def stream(self, name: str, /, **params: Any) -> BinaryIO:
        """Ask a named statement and return its answer as bytes still to come: an Arrow stream.

        They are ClickHouse's own, in blocks, so an answer of any length takes little memory.
        An error after the first block breaks the answer off. The caller closes it.

        Raises:
            UnknownStatement, RecorderAway, RecordError: as `query`.
        """
        answer: BinaryIO = self._asked(name, params, lambda client, text, values: (
            client.raw_stream(text, parameters=values, settings=_ARROW, fmt="ArrowStream")
        ))  # fmt: skip
        return answer

    def _asked(self, name: str, params: dict[str, Any], ask: Callable[..., Any]) -> Any:
        asked = statement(name)
        values = asked.bind(params)
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                return ask(self._connected(), asked.text, values)
            except Exception as error:
                if not _is_away(error):
                    raise RecordError(f"statement {name}: {error}") from error
                self._forget()
                if time.monotonic() > deadline:
                    raise RecorderAway(self._folder.root, str(error)) from error
                time.sleep(0.1)

    def rows(self, name: str, /, **params: Any) -> list[dict[str, Any]]:
        """Ask a named statement and return its rows as dicts, for small answers."""
        rows: list[dict[str, Any]] = self.query(name, **params).to_pylist()
        return rows

    def statements(self) -> dict[str, str]:
        """Return the statements that can be asked, each with what it is for."""
        return {name: s.purpose for name, s in load().items()}

    def cursor(self) -> dict[int, int]:
        """Return up to where ClickHouse holds the journal: ``{writer: pos}``."""
        said = status(self._folder)["sinks"]["clickhouse"]["cursor"]
        return {int(writer): pos for writer, pos in said.items()}

    def lag(self) -> dict[str, Any]:
        """Return how far the record is behind: per sink, in events and seconds."""
        return status(self._folder)

    def await_caught_up(self, cursor: dict[int, int], timeout_s: float = 30.0) -> None:
        """Wait until everything up to ``cursor`` can be read here; search may be behind."""
        await_caught_up(self._folder, cursor, timeout_s, ("clickhouse",))

    def close(self) -> None:
        """Close the connection."""
        self._forget()

    def _connected(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = connect(self._folder, "read", self._settings)
            return self._client

    def _forget(self) -> None:
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()


def _is_away(error: Exception) -> bool:
    """Whether nobody answered, as opposed to somebody answering no."""
    from clickhouse_connect.driver.exceptions import OperationalError

    unanswered = isinstance(error, OperationalError) and error.code is None
    return unanswered or isinstance(error, OSError)


__all__ = ["History", "await_caught_up"]
