"""The bounding engine: our shape with nothing in it, as a yardstick for the same minute.

One coordinator, two forked workers on pipes, an event log in SQLite with group commit: a
step's events are durable before its successor is sent. No playbook, expressions, retries,
configurations or recovery; two rows a step, up to 64 steps a message.
"""

from __future__ import annotations

import multiprocessing as mp
import sqlite3
import time
from collections import deque
from multiprocessing.connection import Connection, wait
from pathlib import Path

import msgspec

_PACK, _UNPACK = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder().decode
_JSON = msgspec.json.Encoder().encode
_FRAME = 64


def fanout_steps_per_s(folder: Path, steps: int = 1000) -> float:
    """Steps a second of so many steps at once, after a first round to warm up."""
    engine = _Bound(folder / "bound.db")
    engine.fan(200)
    at = time.perf_counter()
    engine.fan(steps)
    took = time.perf_counter() - at
    engine.close()
    return steps / took


class _Bound:
    def __init__(self, path: Path, workers: int = 2) -> None:
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.execute("pragma journal_mode = wal")
        self.db.execute("pragma synchronous = full")
        self.db.execute("create table e(step int, type text, at real, body blob)")
        self.rows: list[tuple[int, str, float, bytes]] = []
        self.workers: list[tuple[Connection, mp.process.BaseProcess]] = []
        context = mp.get_context("fork")
        for _ in range(workers):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs,), daemon=True)
            process.start()
            self.workers.append((ours, process))

    def fan(self, steps: int) -> None:
        ready = deque(range(steps))
        for n in ready:
            self._event(n, "scheduled", {"tool": "noop", "input": n})
        left, busy = steps, set[Connection]()
        while left:
            self._commit()
            for worker, _ in self.workers:
                if worker not in busy and ready:
                    size = min(len(ready), max(1, min(_FRAME, len(ready) // 2)))
                    worker.send_bytes(_PACK([ready.popleft() for _ in range(size)]))
                    busy.add(worker)
            heard = wait(list(busy))
            for worker in [w for w in busy if w in heard]:
                for n, value in _UNPACK(worker.recv_bytes()):
                    self._event(n, "finished", {"outcome": "succeeded", "result": value})
                    left -= 1
                busy.discard(worker)
        self._commit()

    def close(self) -> None:
        for worker, process in self.workers:
            worker.send_bytes(b"")
            process.join()
        self.db.close()

    def _event(self, step: int, kind: str, body: dict[str, object]) -> None:
        self.rows.append((step, kind, time.time(), _JSON(body)))

    def _commit(self) -> None:
        if self.rows:
            self.db.execute("begin immediate")
            self.db.executemany("insert into e values (?,?,?,?)", self.rows)
            self.db.execute("commit")
            self.rows.clear()


def _work(pipe: Connection) -> None:
    while frame := pipe.recv_bytes():
        pipe.send_bytes(_PACK([(n, n) for n in _UNPACK(frame)]))
