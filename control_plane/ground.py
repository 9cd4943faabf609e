"""What a server stands on before the rest of it is loaded: its port, its objects, its engine.

Unfinished runs go on from here, while the application is still being imported.
"""

from __future__ import annotations

import errno
import logging
import socket
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from control_plane.clock import Clock
from control_plane.settings import SettingFault, Settings, Sources
from runtime.data.folder import DataFolder
from runtime.data.place import NoClient, Place, settle_place, settled
from runtime.engine.engine import Engine
from runtime.workers.local import LocalPool

if TYPE_CHECKING:
    from runtime.workers.process import TemplateProcess

LOG: Final = logging.getLogger("trimtab.server")
PORTS_TRIED: Final = 100
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


class PortTaken(Exception):
    """Somebody listens on the port that was asked for."""


@dataclass(frozen=True, slots=True)
class Ground:
    """A bound port, and an engine that has gone on with what was unfinished."""

    sock: socket.socket
    pool: LocalPool
    engine: Engine


async def break_ground(
    opened: AsyncExitStack, folder: DataFolder, settings: Settings, sources: Sources, clock: Clock,
    template: TemplateProcess | None = None,
) -> Ground:  # fmt: skip
    """Bind the port and open the engine; ``opened`` closes both. ``template`` was started ahead.

    Raises:
        FolderInUse: another process owns the folder.
        PortTaken: somebody listens on the very port that was asked for.
        SettingFault: it would listen to others before there is any key, or objects are to lie
            behind a URL and the client for that is not installed.
    """
    folder.prepare()
    _may_listen(folder, settings)
    _settle_objects(folder, settings)
    sock = bind(settings.server.host, settings.server.port, _searches(sources))
    opened.callback(sock.close)
    pool = LocalPool(settings.workers.slots, folder, template=template)
    engine = await Engine.open(
        folder, pool, clock=clock, services={"data": str(folder.root)},
        attempt=settings.workers.attempt,
    )  # fmt: skip
    opened.push_async_callback(engine.close, settings.server.grace_s)
    return Ground(sock, pool, engine)


def _may_listen(folder: DataFolder, settings: Settings) -> None:
    host = settings.server.host
    if host not in LOOPBACK and not folder.keys.exists():
        raise SettingFault(
            f"refuses to listen on {host} before there is any key: "
            "make one with `trimtab keys create`, or start once on loopback"
        )


def _settle_objects(folder: DataFolder, settings: Settings) -> None:
    place = Place(**asdict(settings.objects)) if settings.objects.url else None
    before = settled(folder.objects)
    here = str(folder.objects)
    old, new = (known.url if known is not None else here for known in (before, place))
    if old != new and folder.journal.exists():
        LOG.warning("objects lie at %s now: what was written to %s has to be copied", new, old)
    try:
        settle_place(folder.objects, place)
    except NoClient as fault:
        raise SettingFault(str(fault)) from None


def _searches(sources: Sources) -> bool:
    """Whether another port will do: only where nobody named one."""
    return sources.get("server.port", "default") == "default"


def bind(host: str, port: int, search: bool) -> socket.socket:
    """Return a socket bound to the port, or to the next free one when ``search``.

    Raises:
        PortTaken: the port is taken and no other will do.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for candidate in range(port, port + (PORTS_TRIED if search and port else 1)):
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, candidate))
        except OSError as fault:
            sock.close()
            if not _taken(fault):
                raise PortTaken(f"cannot listen on {host}:{candidate}: {fault.strerror}") from None
            continue
        sock.set_inheritable(False)
        return sock
    raise PortTaken(f"somebody listens on {host}:{port} already; `--port 0` takes any free one")


def _taken(fault: OSError) -> bool:
    return fault.errno == errno.EADDRINUSE
