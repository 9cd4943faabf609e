"""The process: every part opened in order, served, and closed in the other order.

::

    server = await open_server(folder, settings, sources)
    await server.until(stop)  # an asyncio.Event, set by a signal
    await server.close()

``trimtab dev``, the demo and the tests all start it here. Closing ends event streams
first, so that no browser holds the process, and takes the grace and a few seconds at most.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import uvicorn
from litestar import Litestar

from control_plane.app import build_app
from control_plane.auth import Principal, open_keys, read_key
from control_plane.capacity import Capacity
from control_plane.clock import Clock, wall
from control_plane.drafts import Drafts
from control_plane.experiments import ExperimentService
from control_plane.ground import Ground, PortTaken, bind, break_ground
from control_plane.loop import CALIBRATE, OPTIMIZE, Loop
from control_plane.metrics import Metrics
from control_plane.parts import Parts
from control_plane.playbooks import Playbooks
from control_plane.readings import Readings
from control_plane.review.profiles import load as load_policy
from control_plane.reviews import ReviewService
from control_plane.runs import Runs
from control_plane.schedule import Schedules
from control_plane.schedule_table import Table
from control_plane.settings import SettingFault, Settings, Sources
from control_plane.shadows import Shadows
from control_plane.streams import Streams
from control_plane.upkeep import Upkeep
from control_plane.watch import Watch
from control_plane.web.build import site_of
from control_plane.web.router import problem_page, web_router
from runtime.data.folder import DataFolder, write_json
from runtime.engine.engine import Engine
from runtime.journal.sqlite import SqliteReader
from runtime.record.supervise import RecorderProcess
from runtime.run.events import ScheduleSet
from runtime.telemetry.otlp import NoOtel

LOG: Final = logging.getLogger("trimtab.server")
RECORDER_GRACE_S: Final = 1.5


class _Uvicorn(uvicorn.Server):
    """Leaves signals to whoever runs the loop."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@dataclass(slots=True)
class Server:
    """A running process tree."""

    parts: Parts
    app: Litestar
    url: str
    _http: _Uvicorn
    _serving: asyncio.Task[None]
    _stack: AsyncExitStack

    @property
    def admin_key(self) -> str | None:
        """The key of the first start, while it is kept in the folder."""
        return read_key(self.parts.folder.admin_key)

    def sign_in_link(self) -> str:
        """Return a link that signs a browser in as the admin, once."""
        key = self.admin_key
        who = self.parts.keys.who(key) if key else None
        if who is None:
            raise SettingFault("there is no admin key to sign in with; use `trimtab sign-in`")
        return self.link_for(who)

    def link_for(self, who: Principal) -> str:
        """Return a one-time sign-in link for a principal."""
        token = self.parts.keys.link(who, self.parts.settings.auth.link_minutes)
        return f"{self.url}/sign-in?token={token}"

    async def until(self, stop: asyncio.Event) -> None:
        """Serve until ``stop`` is set, or a part that nothing works without is gone.

        Raises:
            Exception: what ended the journal or the HTTP server.
        """
        waiting = asyncio.ensure_future(stop.wait())
        dead = asyncio.shield(self.parts.engine.dead)
        ends: list[asyncio.Future[Any]] = [waiting, dead, self._serving]
        done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        for ended in done:
            ended.result()

    async def close(self) -> None:
        """Begin nothing more, let what runs end within the grace, leave the folder to the next."""
        self.parts.engine.drain()
        await self._stack.aclose()


async def open_server(
    folder: DataFolder,
    settings: Settings,
    sources: Sources | None = None,
    *,
    clock: Clock = wall,
    ticking: bool = True,
    ground: Ground | None = None,
) -> Server:
    """Open every part and serve.

    ``ticking`` off starts no schedule by itself; ``ground`` is what was begun ahead, and
    stays its beginner's to close.

    Raises:
        FolderInUse: another process owns the folder.
        PortTaken: somebody listens on the very port that was asked for.
        SettingFault: it would listen to others before there is any key, or objects are to lie
            behind a URL and the client for that is not installed.
    """
    sources = sources or {}
    async with AsyncExitStack() as opened:
        ground = ground or await break_ground(opened, folder, settings, sources, clock)
        parts = await _open_parts(opened, folder, settings, sources, clock, ground)
        app = _app(parts)
        http, serving = await _serve(opened, app, ground.sock, settings)
        if ticking:
            await _start_schedules(parts)
            parts.upkeep.start()
            parts.capacity.start()
            if parts.recorder is not None:
                parts.watch.start()
        url = _url(ground.sock)
        _announce(opened, folder, url)
        opened.callback(parts.streams.close)
        return Server(parts, app, url, http, serving, opened.pop_all())


async def _open_parts(
    opened: AsyncExitStack, folder: DataFolder, settings: Settings, sources: Sources, clock: Clock,
    ground: Ground,
) -> Parts:  # fmt: skip
    engine, pool = ground.engine, ground.pool
    keys = open_keys(folder, clock)
    opened.callback(keys.close)
    recorder = RecorderProcess(folder) if settings.record.enabled else None
    opened.push_async_callback(_end_processes, engine, recorder, settings.server.grace_s)
    if recorder is not None:
        await recorder.start(ready_s=None)
        engine.subscribe(lambda _: recorder.notify())
    reviews, experiments, drafts = await _open_review(opened, engine, settings, clock)
    readings = Readings(folder)
    opened.callback(readings.close)
    loop = Loop(engine, drafts.workload, clock, drafts.asked)
    await loop.register()
    schedules = Schedules(
        engine, Table(folder.schedules), clock,
        {OPTIMIZE: drafts.workload, CALIBRATE: drafts.asked},
    )  # fmt: skip
    schedules.open()
    opened.push_async_callback(schedules.close)
    upkeep = Upkeep(engine, settings.retention, clock)
    opened.push_async_callback(upkeep.close)
    metrics = _open_metrics(engine, recorder, settings, clock)
    opened.push_async_callback(metrics.close)
    watch = Watch(engine, readings, settings.watch, clock)
    opened.push_async_callback(watch.close)
    capacity = Capacity(engine, settings.workers.slots, settings.watch.capacity_minutes, clock)
    opened.push_async_callback(capacity.close)
    return Parts(
        settings, sources, folder, clock, keys, engine, pool, recorder,
        Runs(engine.journal, folder.journal),
        Playbooks(engine.catalogue, engine.layers), readings, reviews, experiments, drafts,
        schedules, loop, Streams(engine, settings.limits.streams), upkeep,
        metrics, watch, capacity,
    )  # fmt: skip


def _open_metrics(
    engine: Engine, recorder: RecorderProcess | None, settings: Settings, clock: Clock
) -> Metrics:
    try:
        metrics = Metrics(engine, recorder, settings, clock)
    except NoOtel as fault:
        raise SettingFault(str(fault)) from None
    metrics.start()
    return metrics


async def _open_review(
    opened: AsyncExitStack, engine: Engine, settings: Settings, clock: Clock
) -> tuple[ReviewService, ExperimentService, Drafts]:
    reviews = ReviewService(
        engine, load_policy(settings.review.profile), clock=clock,
        new_id=lambda: secrets.token_hex(6),
    )  # fmt: skip
    opened.callback(reviews.close)
    await reviews.start()
    shadows = Shadows(
        lambda: closing(SqliteReader.open(engine.folder.journal)), settings.workers.slots
    )
    experiments = ExperimentService(
        engine, reviews, clock, lambda: secrets.token_hex(8), shadows
    )  # fmt: skip
    opened.push_async_callback(experiments.close)
    await experiments.start()
    drafts = Drafts(engine, reviews, clock=clock, new_id=lambda: secrets.token_hex(6))
    opened.push_async_callback(drafts.close)
    await drafts.start()
    return reviews, experiments, drafts


async def _end_processes(engine: Engine, recorder: RecorderProcess | None, grace_s: float) -> None:
    """End workers and recorder side by side; what the recorder lacks it reads next time."""
    ending = [engine.close(grace_s)]
    if recorder is not None:
        ending.append(recorder.stop(RECORDER_GRACE_S))
    await asyncio.gather(*ending)


async def _start_schedules(parts: Parts) -> None:
    """Start ticking; the first time, with the schedules of the optimizer."""
    optimize = parts.settings.optimize
    await parts.schedules.start()
    ours = (("optimize", optimize.cron, OPTIMIZE), ("calibrate", optimize.calibrate, CALIBRATE))
    for name, cron, playbook in ours:
        if cron and parts.engine.journal.length(f"schedule/{name}") == 0:
            await parts.schedules.set(ScheduleSet(
                name, cron, optimize.zone, playbook, {}, "trimtab"
            ))  # fmt: skip


def _app(parts: Parts) -> Litestar:
    return build_app(parts, [web_router(site_of(parts))], problem_page)


async def _serve(
    opened: AsyncExitStack, app: Litestar, sock: socket.socket, settings: Settings
) -> tuple[_Uvicorn, asyncio.Task[None]]:
    http = _Uvicorn(uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, ws="none",
        http="httptools", lifespan="on", timeout_graceful_shutdown=1,
    ))  # fmt: skip
    serving = asyncio.create_task(http.serve(sockets=[sock]))

    async def end() -> None:
        http.should_exit = True
        await asyncio.wait([serving])

    opened.push_async_callback(end)
    while not http.started:
        if serving.done():
            serving.result()
        await asyncio.sleep(0.005)
    return http, serving


def _announce(opened: AsyncExitStack, folder: DataFolder, url: str) -> None:
    write_json(folder.server_json, {"pid": os.getpid(), "url": url})
    opened.callback(folder.server_json.unlink, missing_ok=True)


def _url(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104
    return f"http://{f'[{shown}]' if ':' in shown and shown[0] != '[' else shown}:{port}"


__all__ = ["PortTaken", "Server", "bind", "open_server"]
