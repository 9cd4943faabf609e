"""Starting a run from the command line: on the server here, or in this very process."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from control_plane.cli.place import Here
from control_plane.cli.progress import Watcher, watcher
from control_plane.cli.signals import exit_code, on_signals
from control_plane.cli.talk import Code, Refusal, plain, say
from control_plane.cli.values import inputs, labels, overrides

if TYPE_CHECKING:
    from runtime.engine.engine import Engine
    from runtime.playbook.bundle import Bundle
    from runtime.run.events import Recorded
    from runtime.workers.process import TemplateProcess
    from trimtab import Client

ACTOR = "local"
ASK_S: Final = 0.2
"""How often a run in this process is asked how far it is."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asked for."""

    target: str
    sets: list[str]
    file: Path | None
    overrides: list[str]
    labels: list[str]
    version: str | None
    key: str | None
    detach: bool

    @property
    def path(self) -> Path | None:
        """The playbook's file, when the target is one."""
        path = Path(self.target)
        if path.is_file():
            return path
        if path.suffix in (".yaml", ".yml"):
            raise Refusal(
                f"there is no file {self.target}", command="trimtab playbook init",
                code=Code.NOT_FOUND,
            )  # fmt: skip
        return None


def run_there(place: Here, url: str, key: str | None, wanted: Wanted) -> Mapping[str, Any]:
    """Submit to a server and follow the run to its end."""
    from trimtab import Client

    with Client(url, key) as client:
        playbook, version = wanted.target, wanted.version
        if wanted.path is not None:
            registered = client.register(wanted.path)
            playbook, version = registered["path"], registered["version"]
        types = _types(client.playbook(playbook, version)["inputs"])
        line = client.submit(
            playbook, inputs(wanted.sets, wanted.file, types), version=version, key=wanted.key,
            overrides=overrides(wanted.overrides), labels=labels(wanted.labels),
        )  # fmt: skip
        say(f"run {line['run']} of {playbook} on {url}")
        return line if wanted.detach else _followed(client, line["run"])


def _followed(client: Client, run: str) -> Mapping[str, Any]:
    with watcher() as looking:
        for event in client.watch(run, said=looking.said):
            looking.take(event["type"], event["body"].get)
    return client.run(run)


def run_here(place: Here, wanted: Wanted) -> Mapping[str, Any]:
    """Run in this process tree, with the engine and journal a server would use.

    The first signal leaves the run to the next start, and the command exits with 130 or 143.
    """
    from runtime.workers.process import TemplateProcess

    seen: list[int] = []
    _ = wanted.path  # it refuses what is not there before anything is started
    template = TemplateProcess()  # it loads while we do
    try:
        return asyncio.run(_run_here(place, wanted, seen, template))
    except asyncio.CancelledError:
        sys.exit(exit_code(seen[0]))
    finally:
        template.control.close()  # if nobody took it, it goes


async def _run_here(
    place: Here, wanted: Wanted, seen: list[int], template: TemplateProcess
) -> Mapping[str, Any]:
    from runtime.engine.local import open_local

    _leave_on_signals(seen)
    settings, _ = place.settings()
    bundle = _bundle(wanted)
    opened = open_local(
        place.folder, settings.workers.slots, attempt=settings.workers.attempt,
        grace_s=settings.server.grace_s, template=template,
    )  # fmt: skip
    async with opened as engine:
        playbook, version = wanted.target, wanted.version
        if bundle is not None:
            registered = await engine.register(bundle, ACTOR)
            playbook, version = registered.path, registered.version
        with watcher() as looking:
            run = await _submit(engine, playbook, version, wanted, looking)
            say(f"run {run} of {playbook}")
            asking = asyncio.create_task(_ask(engine, run, looking))
            try:
                await _ended(engine, run)
            finally:
                asking.cancel()
        return _view(engine, run)


def _leave_on_signals(seen: list[int]) -> None:
    """Have the first signal cancel what this task waits for; ``seen`` gets its number."""
    task = asyncio.current_task()

    def drain(number: int) -> None:
        seen.append(number)
        if task is not None:
            task.cancel()

    on_signals(drain)


async def _ask(engine: Engine, run: str, looking: Watcher) -> None:
    """Ask what running attempts say of their progress, a few times a second."""
    while True:
        await asyncio.sleep(ASK_S)
        from control_plane.run_views import progress_of

        for said in progress_of(engine, run):
            looking.said(plain(said))


async def _ended(engine: Engine, run: str) -> None:
    try:
        await engine.wait(run)
    except asyncio.CancelledError:
        engine.drain()
        say(f"left run {run[-8:]}: it goes on at the next `trimtab dev` or `trimtab run`")
        say(f"next: trimtab dev, or end it with: trimtab run cancel {run[-8:]}")
        raise


async def _submit(
    engine: Engine, playbook: str, version: str | None, wanted: Wanted, looking: Watcher
) -> str:
    from runtime.engine.submit import Submit

    declared = engine.catalogue.get(playbook, version).playbook.inputs
    types = {entry.name: entry.type for entry in declared}
    others = {f"run/{row.run}" for row in engine.journal.runs(state="live", system=None)}
    engine.subscribe(lambda batch: _feed(batch, others, looking))
    return await engine.submit(Submit(
        playbook, inputs(wanted.sets, wanted.file, types), ACTOR, version, wanted.key,
        overrides(wanted.overrides), labels(wanted.labels), playbook.startswith("system/"),
    ))  # fmt: skip


def _bundle(wanted: Wanted) -> Bundle | None:
    from runtime.playbook.bundle import load

    path = wanted.path
    return None if path is None else load(path)


def _feed(batch: Sequence[Recorded], others: set[str], looking: Watcher) -> None:
    for recorded in batch:
        if recorded.stream in others or not recorded.stream.startswith("run/"):
            continue
        event = recorded.event
        looking.take(event.TYPE, partial(getattr, event))


def _view(engine: Engine, run: str) -> Mapping[str, Any]:
    from control_plane.runs import Runs

    view: Mapping[str, Any] = plain(Runs(engine.journal).get(run))
    return view


def _types(declared: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    return {entry["name"]: entry["type"] for entry in declared}
