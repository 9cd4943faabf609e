"""The recorder process: follows the journal, owns the embedded engines, answers readers.

``python -m runtime.record.recorder DATA_FOLDER``. One asyncio loop serves HTTP on loopback
(ClickHouse's protocol, ``/search``, ``/status``, ``/caught-up``); one thread a sink carries
the journal. A byte on standard input says that the journal has grown; its end says that
the server is gone, and then the recorder finishes the batch under way, closes both
engines and exits. It takes ``recorder.lock`` before it touches either engine's folder: a
second process that as much as opens an Edge shard breaks the first.
"""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import gc
import hmac
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

from runtime.data.folder import DataFolder, half_written, read_json, write_json
from runtime.journal.sqlite import SqliteReader
from runtime.record.access import ROLES, SINKS, RecordSettings, Role, tokens
from runtime.record.clickhouse import ClickHouseSink, connect
from runtime.record.embedded import Engine
from runtime.record.endpoint import Endpoint, Receive, Send, reply
from runtime.record.feed import POINTS_WITHIN_S, WITHIN_S, Feed, describe
from runtime.record.index import VectorIndex
from runtime.record.loopback import BodyTooLarge, listening_at, read_body, say_no, token_of
from runtime.record.statements import allowed

LOCKED: Final = 3
"""Exit code when another recorder has the folder."""
_LOCK_WAIT_S: Final = 2.0
_THREADS: Final = 32
_MEMORY_MB: Final = 1_500
_GIVE_BACK_S: Final = 10.0
_NICE: Final = 5
"""Runs come first: the record may lag behind, they may not."""
_GARBAGE: Final = (50_000, 20, 100)
"""A batch makes hundreds of thousands of small values and no cycles among them."""


class FolderHasRecorder(Exception):
    """Another recorder owns this data folder's record."""


@contextmanager
def owned(folder: DataFolder, wait_s: float = _LOCK_WAIT_S) -> Iterator[None]:
    """Hold the recorder's lock of a data folder.

    Raises:
        FolderHasRecorder: another process has held it for ``wait_s``.
    """
    deadline = time.monotonic() + wait_s
    with folder.recorder_lock.open("a+") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    pid = (read_json(folder.recorder_json) or {}).get("pid", "unknown")
                    raise FolderHasRecorder(
                        f"{folder.root} already has a recorder (pid {pid}); "
                        "stop the server that started it, or use another data folder"
                    ) from None
                time.sleep(0.05)
        yield


class Recorder:
    """Joins the parts of the record and runs them until told to stop."""

    def __init__(self, folder: DataFolder) -> None:
        self._folder, self._settings = folder, RecordSettings.of(folder)
        self._tokens = tokens(folder)
        self._engine = (
            None
            if self._settings.clickhouse
            else Engine(folder.clickhouse, (self._settings.memory_mb or _MEMORY_MB) << 20)
        )
        _die_of_faults()
        self._endpoint = None if self._engine is None else Endpoint(self._engine, allowed())
        self._vectors = VectorIndex(folder, self._settings)
        kept_as, s = self._settings.places(), self._settings
        self._feeds = [
            Feed(
                name,
                kept_as[name],
                folder.journal,
                folder.recorder_db,
                open_sink,
                say,
                ours,
                within_s,
            )
            for name, open_sink, ours, within_s in (
                ("clickhouse", self._clickhouse, s.clickhouse is None, WITHIN_S),
                ("qdrant", self._vectors.sink, s.qdrant is None, POINTS_WITHIN_S),
            )
        ]
        self._began = time.time()

    async def run(self) -> None:
        """Serve and feed until standard input ends."""
        import uvicorn

        # Those who wait to be caught up hold a thread each: a few of them must not stop a search.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS))
        listening = listening_at((read_json(self._folder.recorder_json) or {}).get("port", 0))
        config = uvicorn.Config(
            self, log_level="warning", access_log=False, lifespan="off", timeout_keep_alive=75,
            timeout_graceful_shutdown=2,
        )  # fmt: skip
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        write_json(
            self._folder.recorder_json, {"pid": os.getpid(), "port": listening.getsockname()[1]}
        )
        for feed in self._feeds:
            feed.start()
        giving_back = asyncio.create_task(_give_back())
        await self._until_told(serving)
        giving_back.cancel()
        await asyncio.to_thread(self._close_feeds)
        server.should_exit = True
        await serving
        self._vectors.close()
        if self._engine is not None:
            self._engine.close()

    async def _until_told(self, serving: asyncio.Task[None]) -> None:
        """Wake the feeds with each byte on standard input; return at its end."""
        heard = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(heard), sys.stdin)
        while not serving.done():
            listen = asyncio.ensure_future(heard.read(4096))
            done, _ = await asyncio.wait({listen, serving}, return_when=asyncio.FIRST_COMPLETED)
            if listen not in done:
                listen.cancel()
                return
            if not listen.result():
                return
            for feed in self._feeds:
                feed.wake()

    def _close_feeds(self) -> None:
        for feed in self._feeds:
            feed.tell_to_stop()
        for feed in self._feeds:
            if not feed.stop():
                say(f"{feed.name}: still busy; its open batch is mended at the next start")

    def _clickhouse(self) -> ClickHouseSink:
        client = connect(self._folder, "write", self._settings)
        return ClickHouseSink(client, self._settings)

    # ---- HTTP -------------------------------------------------------------------------

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        if scope["path"] == "/ping":
            await reply(send, 200, b"Ok.\n", {"content-type": "text/plain"})
            return
        role = self._role(scope)
        try:
            # Without a token nothing is read: what a stranger sends must not fill memory.
            sent = b"" if role is None else await read_body(receive)
        except BodyTooLarge as error:
            await say_no(send, 413, str(error))
            return
        own = {
            "/status": self._status,
            "/caught-up": self._caught_up,
            "/search": lambda asked: {"hits": self._vectors.search(**asked)},
            "/facets": lambda asked: {"facets": self._vectors.facets(**asked)},
            "/similar": lambda asked: {"hits": self._vectors.similar(**asked)},
            "/causes": lambda asked: {"causes": self._vectors.causes(**asked)},
            "/points": lambda asked: {"ids": self._vectors.ids()},
            "/reindex": self._reindex,
        }
        if scope["path"] in own:
            await self._own(own[scope["path"]], role, sent, send)
        elif self._endpoint is not None:
            await self._endpoint(scope, sent, role, receive, send)
        else:
            await say_no(send, 404, "ClickHouse is a server here (settings.json); ask it itself")

    async def _own(self, answer: Any, role: Role | None, body: bytes, send: Send) -> None:
        if role is None:
            await say_no(send, 401, "send a token of tokens.json as `Authorization: Bearer …`")
            return
        try:
            asked = json.loads(body or b"{}")
            said = await asyncio.to_thread(answer, asked)
        except (ValueError, KeyError, TypeError) as error:
            await say_no(send, 400, f"{type(error).__name__}: {error}")
            return
        except Exception as error:
            # An engine or a model that cannot answer: the reader is told why, the log the rest.
            say(traceback.format_exc())
            await say_no(send, 500, f"{type(error).__name__}: {error}")
            return
        await reply(send, 200, json.dumps(said).encode(), {"content-type": "application/json"})

    def _role(self, scope: dict[str, Any]) -> Role | None:
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        params = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        offered = token_of(headers) or params.get("password", "")
        for role in ROLES:
            if hmac.compare_digest(offered.encode(), self._tokens[role].encode()):
                return role
        return None

    def _status(self, asked: Mapping[str, Any] | None = None) -> dict[str, Any]:
        source = SqliteReader.open(self._folder.journal) if self._folder.journal.exists() else None
        try:
            sinks = {f.name: describe(f, source) if source else {} for f in self._feeds}
            heads = source.heads() if source else {}
        finally:
            if source is not None:
                source.close()
        return {
            "pid": os.getpid(), "up_s": time.time() - self._began, "sinks": sinks,
            "heads": {str(w): pos for w, pos in heads.items()},
            "behind_events": max((s.get("behind_events", 0) for s in sinks.values()), default=0),
            "behind_s": max((s.get("behind_s", 0.0) for s in sinks.values()), default=0.0),
        }  # fmt: skip

    def _caught_up(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        cursor = {int(w): int(pos) for w, pos in asked["cursor"].items()}
        feeds = [f for f in self._feeds if f.name in asked.get("sinks", SINKS)]
        deadline = time.monotonic() + min(float(asked.get("wait_s", 0.0)), 10.0)
        done = [f.caught_up(cursor, max(0.0, deadline - time.monotonic())) for f in feeds]
        return self._status() | {"caught_up": all(done)}

    def _reindex(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Have the points made anew beside those that serve."""
        (feed,) = (f for f in self._feeds if f.name == "qdrant")
        return {"begun": feed.renew()}


async def _give_back() -> None:
    """Return memory that batches and questions have left free, now and then.

    The allocator keeps what was once used, for each thread anew: after catching up that is
    more than the recorder needs all in all.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc alone has it
    while trim is not None:
        await asyncio.sleep(_GIVE_BACK_S)
        await asyncio.to_thread(trim, 0)


def _yield_to_runs() -> None:
    """Let runs come first where both want a processor: the record can be late, they cannot.

    Linux weighs whole sessions against each other before it looks at what is nice within
    one, so a recorder with a session of its own makes that one nice as well.
    """
    os.nice(_NICE)
    if hasattr(os, "SCHED_BATCH"):
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    if os.getsid(0) == os.getpid():
        with suppress(OSError):
            Path("/proc/self/autogroup").write_text(str(_NICE), encoding="ascii")


def _die_of_faults() -> None:
    """Let a fault of native code end the process, so that it is started again.

    ClickHouse's own handlers, set when it opens, keep a faulty thread asleep with the
    interpreter's lock: the process then neither answers nor sees that the server is gone.
    A full disk is enough for that: a page of a mapped file with no block is a SIGBUS.
    """
    for fault in (signal.SIGBUS, signal.SIGSEGV, signal.SIGILL, signal.SIGFPE, signal.SIGABRT):
        signal.signal(fault, signal.SIG_DFL)


def say(text: str) -> None:
    """Write a line to the recorder's log."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    print(f"{stamp} {text}", file=sys.stderr, flush=True)  # noqa: T201 the log is stderr


def main(argv: list[str]) -> int:
    """Run the recorder of the data folder named on the command line."""
    if len(argv) != 2:
        say("usage: python -m runtime.record.recorder DATA_FOLDER")
        return 2
    os.environ["TZ"] = "UTC"
    # Arrow's own pool keeps what it had; what it takes from the system can be given back.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    time.tzset()
    gc.set_threshold(*_GARBAGE)
    _yield_to_runs()
    folder = DataFolder(Path(argv[1]).resolve())
    try:
        with owned(folder):
            for left in half_written(folder.recorder_json):
                left.unlink(missing_ok=True)
            asyncio.run(Recorder(folder).run())
    except FolderHasRecorder as error:
        say(str(error))
        return LOCKED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
