"""The loop's own controls: start the optimizer, set the kill switch.

The optimizer is a playbook that ships with us. Its inputs are made at the moment it
starts, from the catalogue, the layers and the proposals as they are then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from control_plane.appending import append_last
from control_plane.clock import Clock
from control_plane.errors import NotFound
from control_plane.shipped import shipped
from runtime.engine.engine import Engine, Submit
from runtime.run.events import Json, KillSet

OPTIMIZE: Final = "system/optimize"
CALIBRATE: Final = "system/calibrate"
SHIPPED_BY: Final = "trimtab"


class Loop:
    """Starts cycles, and stops what they changed."""

    def __init__(
        self, engine: Engine, workload: Callable[[], dict[str, Json]], clock: Clock,
        asked: Callable[[], dict[str, Json]],
    ) -> None:  # fmt: skip
        self._engine, self._workload, self._clock = engine, workload, clock
        self._asked = asked

    async def register(self) -> None:
        """Enter the system playbooks that ship with this release in the catalogue."""
        for bundle in shipped("system"):
            await self._engine.register(bundle, SHIPPED_BY)

    async def optimize(self, actor: str) -> str:
        """Start one cycle and return its run."""
        return await self._engine.submit(Submit(
            playbook=OPTIMIZE, workload=self._workload(), actor=actor, system=True,
        ))  # fmt: skip

    async def calibrate(self, actor: str) -> str:
        """Replay the record to see how far stated chances can be trusted; return the run."""
        return await self._engine.submit(Submit(
            playbook=CALIBRATE, workload=self._asked(), actor=actor, system=True,
        ))  # fmt: skip

    def inputs(self) -> dict[str, Json]:
        """Return what a cycle that starts now would be given."""
        return self._workload()

    async def kill(self, scope: str, on: bool, actor: str, reason: str) -> list[str]:
        """Set or release the kill switch; returns the scopes on which it is set."""
        if on:
            self._must_be(scope)
        event = KillSet(scope, on, actor, reason)
        await append_last(self._engine, "kill", event, self._clock)
        return sorted(self._engine.layers.killed)

    def _must_be(self, scope: str) -> None:
        """Refuse a scope that stops nothing: a typing error is worst where somebody is in haste.

        Raises:
            UnknownPlaybook: there is no such playbook.
            NotFound: the playbook has no such step.
        """
        path, hash_, step = scope.partition("#")
        if scope == "*":
            return
        playbook = self._engine.catalogue.latest(path).playbook
        if hash_ and step not in [known.name for known in playbook.steps]:
            raise NotFound("step", scope)
