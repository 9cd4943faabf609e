"""A recorder that kills itself with -9 the first time it comes to a named point.

``python dying_recorder.py DATA_FOLDER POINT``. Everything else is the recorder as it ships.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from runtime.record import clickhouse, embedded, recorder
from runtime.record.clickhouse import ClickHouseSink
from runtime.record.ledger import Ledger


def die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _before(owner: Any, name: str, when: Callable[..., bool] = lambda *_: True) -> None:
    real = getattr(owner, name)

    def dying(*args: Any, **more: Any) -> Any:
        if when(*args):
            die()
        return real(*args, **more)

    setattr(owner, name, dying)


def _after(owner: Any, name: str, when: Callable[..., bool] = lambda *_: True) -> None:
    real = getattr(owner, name)

    def dying(*args: Any, **more: Any) -> Any:
        done = real(*args, **more)
        if when(*args):
            die()
        return done

    setattr(owner, name, dying)


def _of(table: str) -> Callable[..., bool]:
    return lambda _, sent, *__: bool(sent.name == table)


class _HalfSent:
    """An insert that is given its bytes and never finished."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def append(self, data: Any) -> None:
        self._stream.append(data)
        die()


def _mid_insert() -> None:
    real = embedded._insert

    class Half:
        def __init__(self, connection: Any) -> None:
            self._connection = connection

        def send_insert(self, sql: str, form: str) -> Any:
            stream = self._connection.send_insert(sql, form)
            return _HalfSent(stream) if "attempt" in sql else stream

    embedded._insert = lambda connection, request, begun: real(  # type: ignore[assignment]
        Half(connection), request, begun
    )


def _one_at_a_time() -> None:
    """Insert one table after the other, so that a death leaves some written and others not."""
    clickhouse._HANDS = 1  # type: ignore[misc]


def _before_an_insert() -> None:
    _one_at_a_time()
    _before(ClickHouseSink, "_send", _of("transition"))


def _between_tables() -> None:
    _one_at_a_time()
    _after(ClickHouseSink, "_send", _of("event"))


POINTS: dict[str, Callable[[], None]] = {
    "before the range is stored": lambda: _before(Ledger, "begin"),
    "after the range is stored": lambda: _after(Ledger, "begin"),
    "before an insert": _before_an_insert,
    "in the middle of an insert": _mid_insert,
    "between two tables": _between_tables,
    "after an insert": lambda: _after(ClickHouseSink, "_send", _of("attempt")),
    "before the cursor moves": lambda: _before(Ledger, "settle"),
    "after the cursor moved": lambda: _after(Ledger, "settle"),
    "before it is mended": lambda: _before(ClickHouseSink, "mend"),
    "after it is mended": lambda: _after(ClickHouseSink, "mend"),
}  # fmt: skip


if __name__ == "__main__":
    POINTS[sys.argv[2]]()
    sys.exit(recorder.main(sys.argv[:2]))
