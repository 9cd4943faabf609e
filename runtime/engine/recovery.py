"""Recovery: after a crash the fold of the journal brings every unfinished run back.

What was in flight is `lost`; a forked run is brought to life in the same way.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Sequence
from typing import Any, Final

from runtime.engine.actor import ENDING, UNREADABLE, Actor, settle, unreadable
from runtime.engine.catalogue import Version
from runtime.engine.effects import Effects
from runtime.ids import run_stream
from runtime.journal.port import RunRow, in_order
from runtime.run.decide import Decision, Ended
from runtime.run.events import Fault, RunEvent, RunFailed
from runtime.run.evolve import evolve
from runtime.run.state import RunState

_LOG: Final = logging.getLogger("trimtab.engine")
FOLDED: Final = ("playbook/", "config/", "overlay/", "experiment/", "kill")
"""Streams that are folded when the engine opens."""


class Recovery(Effects):
    """Folds what the journal holds and goes on with it."""

    def _fold(self) -> None:
        for recorded in in_order(self.journal, *FOLDED):
            self._fold_one(recorded)
        for published in self.journal.of_type("product.published"):
            event: Any = published.event
            self._dispatch.products.seen(event.product, event.number)

    def _recover(self) -> None:
        """Go on with every run that has not ended: what was in flight is lost."""
        for row in reversed(self.journal.runs(state="live", system=None, limit=1_000_000)):
            try:
                self._actors[row.run] = self._folded(row.run)
            except UNREADABLE as error:
                self._give_up(row, error)
                continue
            self._go_on(self._actors[row.run])
        for actor in list(self._actors.values()):
            for tried in [t for t in actor.state.attempts.values() if t.kind == "playbook"]:
                self._begin_child(actor, tried)
            if actor.state.status in ENDING:
                self._cancel_below(actor)

    def _go_on(self, actor: Actor) -> None:
        """Go on with a run after a restart."""
        self._act(actor, Decision.begin)
        for experiment in sorted(_tried_in(actor.state) & self._taken_back):
            self._act(actor, lambda d, x=experiment: d.rescue(x))  # type: ignore[misc]
        fault = Fault("lost", "the server was restarted while this ran")
        in_flight = [t.attempt for t in actor.state.attempts.values() if not t.waits_here]
        for attempt in in_flight:
            lost = Ended(attempt, "lost", fault)
            self._act(actor, lambda d, lost=lost: d.ended(lost))  # type: ignore[misc]
        self._act(actor, Decision.due)
        self._arm(actor)

    def _give_up(self, row: RunRow, error: Exception) -> None:
        """End a run whose playbook this version of the runtime cannot read any more."""
        _LOG.error("run %s is ended: %s", row.run, error)
        fault = Fault("permanent", unreadable(row.playbook, error))
        self._put([self._stamp(run_stream(row.run), row.length, RunFailed("", fault))])

    async def _go_on_from(self, run: str, version: Version, made: Sequence[RunEvent]) -> None:
        """Write a forked run's history down and go on from it."""
        actor = self._actor(run, version)
        self._actors[run] = actor
        for event in made:
            evolve(actor.state, event, self._clock())
        written: asyncio.Future[None] = self._loop.create_future()
        append = self._stamp(run_stream(run), 0, *made)
        self._put([append], lambda: settle(written, None))
        await written
        fault = Fault("lost", "it was in flight where the run was forked")
        for tried in [t for t in actor.state.attempts.values() if not t.waits_here]:
            self._act(actor, lambda d, a=tried.attempt: d.ended(Ended(a, "lost", fault)))  # type: ignore[misc]
        self._act(actor, Decision.begin)
        self._act(actor, Decision.due)
        self._arm(actor)

    def _copy_scratch(self, run: str, new: str) -> None:
        """Copy a run's scratch folder for the run that goes on from it."""
        if self.folder.run(run).is_dir():
            shutil.copytree(self.folder.run(run), self.folder.run(new), dirs_exist_ok=True)


def _tried_in(state: RunState) -> set[str]:
    """The experiments that blocks of a run's unfinished steps were drawn for."""
    blocks = (block for _, each in state.active_each() for block in each.blocks)
    return {block.experiment for block in blocks if block.experiment is not None}
