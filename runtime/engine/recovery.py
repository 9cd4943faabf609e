"""Recovery: after a crash the fold of the journal brings every unfinished run back.

What was in flight is `lost`, and tried again as its effect allows.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from runtime.engine.actor import ENDING, UNREADABLE, Actor, Parked, unreadable
from runtime.engine.children import parent_of
from runtime.engine.effects import Effects
from runtime.ids import run_stream
from runtime.journal.port import RunRow, in_order
from runtime.run.decide import OUT_OF_TIME, Decision, Ended
from runtime.run.events import Fault, RunSubmitted
from runtime.run.state import RunState, Try

_LOG: Final = logging.getLogger("trimtab.engine")
FOLDED: Final = ("playbook/", "config/", "overlay/", "experiment/", "kill", "poison/")
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
                self._park(row, error)
                continue
        for actor in list(self._actors.values()):
            try:
                self._go_on(actor)
            except Exception:  # it is parked, and keeps no other run from going on
                _LOG.exception("run %s cannot go on", actor.state.run)
        for actor in list(self._actors.values()):
            for tried in [t for t in actor.state.attempts.values() if t.kind == "playbook"]:
                self._begin_child(actor, tried)
            if actor.state.status in ENDING:
                self._cancel_below(actor)
            elif actor.state.parent is not None:
                self._cancel_orphan(actor, actor.state.parent)

    def _cancel_orphan(self, actor: Actor, attempt: str) -> None:
        """Cancel a run whose parent gave it up just before the server died."""
        run, _ = parent_of(attempt)
        above = self._actors.get(run)
        if run in self.parked:
            return
        if above is None or attempt not in above.state.attempts:
            self._cancel(actor, f"run {run}", f"run {run} waits no longer")

    def _go_on(self, actor: Actor) -> None:
        """Go on with a run after a restart."""
        self._act(actor, Decision.begin)
        for rescue in self._rescues(actor):
            self._act(actor, rescue)
        flying = [t for t in actor.state.attempts.values() if not t.waits_here]
        ends = [_gone(actor.state, tried) for tried in flying]
        self._act(actor, lambda d: d.all_ended(ends))
        self._act(actor, Decision.due)
        self._arm(actor)

    def _park(self, row: RunRow, error: Exception) -> None:
        """Let a run wait whose version cannot be read here: what it needs may come back."""
        why = unreadable(row.playbook, error)
        _LOG.error("run %s waits: %s", row.run, why)
        first = self.journal.event(run_stream(row.run), 1)
        parent = first.event.parent if first and isinstance(first.event, RunSubmitted) else None
        status: Any = row.state
        self.parked[row.run] = Parked(row.playbook, why, status, row.length, parent)


def _gone(state: RunState, tried: Try) -> Ended:
    """How a try ended that went down with the server; it may have been out of time by then."""
    if tried.step in state.expired:
        return Ended(tried.attempt, "timed_out", Fault("timeout", OUT_OF_TIME))
    return Ended(tried.attempt, "lost", Fault("lost", "the server was restarted while this ran"))
