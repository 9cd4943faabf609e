"""``trimtab dev`` and ``serve``: the process tree, until a signal ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from importlib import import_module
from typing import TYPE_CHECKING, Annotated

import typer

from control_plane.cli.here import Here, KeyFile, here
from control_plane.cli.output import Format, Output, Row, emit_one, say
from control_plane.cli.signals import on_signals
from control_plane.clock import local, wall

if TYPE_CHECKING:
    from control_plane.ground import Ground
    from control_plane.settings import Settings, Sources
    from runtime.workers.process import TemplateProcess

Host = Annotated[str | None, typer.Option(help="Address to listen on (server.host).")]
Port = Annotated[int | None, typer.Option(help="Port; 0 takes any free one (server.port).")]
Slots = Annotated[int | None, typer.Option(min=1, help="Attempts at once (workers.slots).")]
Profile = Annotated[str | None, typer.Option(help="Policy in force (review.profile).")]


def dev(
    ctx: typer.Context, port: Port = None, slots: Slots = None, profile: Profile = None
) -> None:
    """Run server, recorder and workers on this machine, and print a sign-in link.

    SIGTERM or Ctrl-C lets what runs end within `server.grace_s` and exits with 0; what is
    cut off goes on at the next start. A second one ends at once, with 143 or 130.
    """
    place = here(ctx)
    settings, sources = place.settings(
        server_port=port, workers_slots=slots, review_profile=profile
    )
    _run(place, settings, sources, link=True)


def serve(
    ctx: typer.Context, host: Host = None, port: Port = None, slots: Slots = None,
    profile: Profile = None,
) -> None:  # fmt: skip
    """Run the same process tree as a service; other addresses than loopback need keys.

    It ends on SIGTERM as `dev` does.
    """
    place = here(ctx)
    settings, sources = place.settings(
        server_host=host, server_port=port, workers_slots=slots, review_profile=profile
    )
    _run(place, settings, sources, link=False)


def sign_in(ctx: typer.Context, key_file: KeyFile = None, output: Output = Format.TABLE) -> None:
    """Print a link that signs a browser in, once."""
    from trimtab import Client, Unreachable

    place = here(ctx)
    url = place.server()
    if url is None:
        raise Unreachable("no server owns this data folder")
    with Client(url, place.key(key_file)) as client:
        emit_one({"url": client.sign_in_link()}, output, lambda t: [t["url"]])


def status(ctx: typer.Context, key_file: KeyFile = None, output: Output = Format.TABLE) -> None:
    """Show what the server, its workers and its recorder are doing."""
    from trimtab import Client, Unreachable

    place = here(ctx)
    url = place.server()
    if url is None:
        raise Unreachable(f"no server owns {place.folder.root}")
    with Client(url, place.key(key_file)) as client:
        told = {"url": url, **client.status(), "workers": client.workers()}
    emit_one(told, output, status_lines)


def status_lines(told: Row) -> Iterator[str]:
    """Yield what a person is told of a server's status."""
    engine, record, workers = told["engine"], told["record"], told["workers"]
    yield f"server    {told['url']}"
    yield f"runs      {engine['runs']} live, {engine['in_flight']} attempts in flight"
    yield f"journal   {engine['stalled'] or 'takes events'}"
    if "problem" in record:
        yield f"record    {record['problem']}"
    else:
        yield f"record    {record['behind_events']} events behind, {record['behind_s']:.1f} s"
    yield f"killed    {', '.join(told['killed']) or 'nothing'}"
    yield from _pool_lines(engine["pool"])
    for parked in engine["parked"]:
        yield f"waits     run {parked['run']}: {parked['why']}"
    for poison in engine["poison"]:
        yield f"poison    {poison['playbook']} {poison['step']}: {poison['told']}"
    idle = sum(worker["state"] == "idle" for worker in workers)
    yield f"workers   {len(workers)}, {idle} idle"
    for worker in workers:
        if worker["state"] != "idle":
            since = f"since {local(worker['since'])}"
            yield f"  {worker['name']:<10} {worker['state']} {worker['attempt'] or ''} {since}"


def _pool_lines(pool: Row) -> Iterator[str]:
    if pool["state"] == "paused":
        yield f"pool      paused for {pool['for_s']:.0f} s: {pool['last_death']}"


def _run(place: Here, settings: Settings, sources: Sources, *, link: bool) -> None:
    import logging

    from control_plane.names import check_names

    say(f"data folder {place.folder.root}: {place.why}")
    check_names(thoroughly=True)
    level = settings.server.log_level.upper()
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    asyncio.run(_serve(place, settings, sources, link))


async def _serve(place: Here, settings: Settings, sources: Sources, link: bool) -> None:
    from runtime.workers.process import TemplateProcess

    template = TemplateProcess()  # it loads while we do
    try:
        await _served(place, settings, sources, link, template)
    finally:
        template.control.close()  # if nobody took it, it goes


async def _served(
    place: Here, settings: Settings, sources: Sources, link: bool, template: TemplateProcess
) -> None:
    from control_plane.ground import break_ground

    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    on_signals(lambda _: stop.set())
    async with AsyncExitStack() as opened:
        ground = await break_ground(opened, place.folder, settings, sources, wall, template)
        await loop.run_in_executor(None, import_module, "control_plane.serve")  # as runs go on
        await _until(place, settings, sources, link, ground, stop)


async def _until(
    place: Here, settings: Settings, sources: Sources, link: bool, ground: Ground,
    stop: asyncio.Event,
) -> None:  # fmt: skip
    from control_plane.serve import open_server

    server = await open_server(place.folder, settings, sources, ground=ground)
    try:
        say(f"trimtab serves {place.folder.root} at {server.url}")
        if link:
            say(f"sign in, once: {server.sign_in_link()}")
            say("next: trimtab playbook init && trimtab run hello.yaml      (Ctrl-C ends it)")
        await server.until(stop)
        grace_s = settings.server.grace_s
        say(f"ending: what runs has {grace_s:g} s; a second signal ends it at once")
    finally:
        await server.close()
