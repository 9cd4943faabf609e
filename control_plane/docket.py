"""The docket: every proposal, overlay and experiment, as far as it is committed.

A fold of the review's streams, kept up to date by the engine's news, with the length of
each stream beside it: what is decided from the docket is appended at those lengths, so
a decision about what has moved is refused and made again. Decisions are made one at a
time (`deciding`), which is what keeps one step from having two live proposals.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

from control_plane.review.apply import Decision
from control_plane.review.bound import base_of, bound_hash, has_moved, owners
from control_plane.review.gate import Covered, Earlier, Scope
from control_plane.review.lifecycle import SETTLED, State
from control_plane.review.policy import Policy
from control_plane.review.policy_file import parse
from control_plane.review.proposal import Proposal, begin
from control_plane.review.reasons import REJECTIONS, Reason
from runtime.engine.errors import UnknownPlaybook
from runtime.journal.port import Append, JournalReader, in_order
from runtime.playbook.model import Playbook
from runtime.run.events import (
    ExperimentEnded,
    ExperimentPaused,
    ExperimentRamped,
    ExperimentResumed,
    ExperimentStarted,
    Json,
    KillSet,
    OverlayAppended,
    PlaybookRegistered,
    PolicySet,
    ProposalDrafted,
    Recorded,
)
from runtime.run.layers import Layers

LAYERS: Final = (
    OverlayAppended, ExperimentStarted, ExperimentRamped, ExperimentPaused,
    ExperimentResumed, ExperimentEnded, KillSet,
)  # fmt: skip
FOLDED: Final = ("proposal/", "overlay/", "experiment/", "kill", "policy/")
SPEAKS: Final = frozenset(
    {Reason.HARM, Reason.INCONCLUSIVE, Reason.OPERATOR, Reason.SIMULATED_WORSE, *REJECTIONS}
)
"""Ends that say something about the change itself, not about what happened around it."""


class PlaybookVersion(Protocol):
    """A version of a playbook, as the review needs it."""

    @property
    def registered(self) -> PlaybookRegistered: ...

    @property
    def playbook(self) -> Playbook: ...

    def bound(self, step: str) -> str: ...

    def defaults(self, step: str) -> dict[str, Json]: ...


class Versions(Protocol):
    """The catalogue, as the review needs it."""

    def paths(self) -> list[str]: ...

    def latest(self, path: str) -> PlaybookVersion: ...

    def versions(self, path: str) -> Sequence[PlaybookVersion]: ...


class Host(Protocol):
    """The engine, as the review needs it."""

    @property
    def journal(self) -> JournalReader: ...

    @property
    def catalogue(self) -> Versions: ...

    async def append(self, appends: Sequence[Append]) -> list[Recorded]: ...

    def subscribe(self, listener: Callable[[Sequence[Recorded]], None]) -> Callable[[], None]: ...


class Docket:
    """What is under review, and what was decided. Read it freely; write by `write`."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.deciding = asyncio.Lock()
        self.proposals: dict[str, Proposal] = {}
        self.layers = Layers()
        self.policies: dict[str, str] = {}
        self.policy_in_force = ""
        self._appended: dict[str, list[OverlayAppended]] = {}
        self._lengths: dict[str, int] = {}
        self._parsed: dict[str, Policy] = {}
        self.take(in_order(host.journal, *FOLDED))
        self._stop = host.subscribe(self.take)

    def close(self) -> None:
        """Hear no more news."""
        self._stop()

    # ---- folding ------------------------------------------------------------------------

    def take(self, news: Sequence[Recorded]) -> None:
        """Take what was committed into account; what is known already is passed over."""
        for recorded in news:
            if not recorded.stream.startswith(FOLDED):
                continue
            if recorded.stream_seq > self.length(recorded.stream):
                self._lengths[recorded.stream] = recorded.stream_seq
                self._fold(recorded)

    def _fold(self, recorded: Recorded) -> None:
        event = recorded.event
        if isinstance(event, ProposalDrafted):
            self.proposals[event.proposal] = begin(recorded)
        elif recorded.stream.startswith("proposal/"):
            self.proposals[recorded.stream.removeprefix("proposal/")].evolve(recorded)
        elif isinstance(event, PolicySet):
            self.policies[event.policy_hash] = event.text
            self.policy_in_force = event.policy_hash
        elif isinstance(event, LAYERS):
            self.layers.evolve(event)
            if isinstance(event, OverlayAppended):
                self._appended.setdefault(event.playbook, []).append(event)

    # ---- asking -------------------------------------------------------------------------

    def length(self, stream: str) -> int:
        """How long a stream is, as far as it was taken into account."""
        return self._lengths.get(stream, 0)

    def unsettled(self) -> Iterator[Proposal]:
        """Proposals to which something may still happen by itself, oldest approval first."""
        found = [p for p in self.proposals.values() if p.state not in SETTLED]
        yield from sorted(found, key=lambda p: (p.approval.at if p.approval else 0.0, p.id))

    def lock_holders(self, playbook: str, step: str) -> list[Proposal]:
        """The proposals that hold the lock of a step."""
        return [p for p in self.proposals.values() if p.scope == (playbook, step) and p.holds_lock]

    def live(self) -> list[Proposal]:
        """The proposals that may be touching real work."""
        return [p for p in self.proposals.values() if p.is_live]

    def starts_since(self, at: float) -> int:
        """How many trials began after that moment."""
        begun = (p.last("start") for p in self.proposals.values())
        return sum(1 for moved in begun if moved is not None and moved.at > at)

    def scope(self, playbook: str, step: str) -> Scope | None:
        """What catalogue and overlays say of a step today, or None when it is not there."""
        try:
            version = self.host.catalogue.latest(playbook)
            declared = version.playbook.step(step)
        except (UnknownPlaybook, KeyError):
            return None
        bound, defaults = version.bound(step), version.defaults(step)
        stable = {**defaults, **self.layers.stable(playbook, step, bound)}
        zone = declared.start.zone if declared.start is not None else "UTC"
        return Scope(playbook, step, bound, defaults, stable, declared.tune, declared.effect, zone)

    def previous(self, proposal: Proposal, bound: str) -> dict[str, Json]:
        """What the overlay holds of a proposal's own keys now (None: nothing in force).

        An entry that was approved for other code than ``bound`` is not in force, and is
        not what a way back may lead to.
        """
        entries = self.layers.stable(*proposal.scope, bound)
        return {line["knob"]: entries.get(line["knob"]) for line in proposal.drafted.diff}

    def overlay_of(self, proposal: Proposal) -> OverlayAppended | None:
        """The entry with which a proposal was kept, or None."""
        return next(
            (
                e
                for e in self._appended.get(proposal.drafted.playbook, ())
                if e.proposal == proposal.id
            ),
            None,
        )

    def owners(self, playbook: str, step: str) -> dict[str, str]:
        """Which proposal gave each knob its stable value."""
        return owners(self._appended.get(playbook, ()), step)

    def has_moved(self, proposal: Proposal) -> bool:
        """Whether a proposal's own keys moved, or an approval is bound to something else."""
        scope = self.scope(*proposal.scope)
        if scope is None or has_moved(proposal.drafted, scope.stable):
            return True
        approval = proposal.approval
        if approval is None:
            return False
        base = base_of(proposal.drafted, scope.stable)
        now = bound_hash(proposal.drafted, base, approval.event.policy_hash)
        return now != approval.event.bound_hash

    def policy(self, policy_hash: str) -> Policy | None:
        """The policy of that hash, when it was ever in force."""
        if policy_hash not in self._parsed and policy_hash in self.policies:
            self._parsed[policy_hash] = parse(self.policies[policy_hash], policy_hash)
        return self._parsed.get(policy_hash)

    def covered(self, scope: Scope) -> dict[str, Covered]:
        """Between which values of each knob this step was tried without harm."""
        found: dict[str, Covered] = {}
        for proposal in self.proposals.values():
            if proposal.scope != (scope.playbook, scope.step) or proposal.bound != scope.bound:
                continue
            for name, now in harmless(proposal).items():
                known = found.get(name, now)
                found[name] = Covered(min(known.low, now.low), max(known.high, now.high))
        return found

    def earlier(self, content: str) -> list[Earlier]:
        """Decisions that speak against this content."""
        return [
            past
            for past in map(_earlier, self.proposals.values())
            if past is not None and self.proposals[past.proposal].drafted.content == content
        ]

    # ---- writing ------------------------------------------------------------------------

    async def write(self, *decisions: Decision) -> list[Recorded]:
        """Write decisions together, all or nothing.

        Raises:
            StreamMoved: something they are about has changed; nothing was written.
        """
        appends = [append for d in decisions for append in d.appends(self.length)]
        return await self.host.append(appends)


def harmless(proposal: Proposal) -> dict[str, Covered]:
    """Return the values around its base that a proposal found harmless, by knob."""
    if proposal.state not in (State.LEARNED, State.KEPT):
        return {}
    dropped = set(proposal.verdict.statistics.get("dropped", ())) if proposal.verdict else set()
    found = {}
    for line in proposal.drafted.diff:
        before = line["from"]
        values = line.get("values", [line.get("to")])
        if not all(isinstance(v, int | float) for v in [before, *values]):
            continue
        bad = [v for i, v in enumerate(values, 1) if f"candidate.{i}" in dropped]
        low = max((v for v in bad if v < before), default=float("-inf"))
        high = min((v for v in bad if v > before), default=float("inf"))
        good = [before, *(v for v in values if v not in bad and low < v < high)]
        found[line["knob"]] = Covered(min(good), max(good))
    return found


def _earlier(proposal: Proposal) -> Earlier | None:
    """The decision that ended a proposal, when it says something about the change."""
    if proposal.state not in (State.REJECTED, State.ROLLED_BACK, State.FAILED):
        return None
    moved = proposal.last("reject") or proposal.last("roll_back") or proposal.last("fail")
    if moved is None or Reason(moved.event.reason) not in SPEAKS:
        return None
    drafted = proposal.drafted
    return Earlier(
        proposal.id, proposal.state.value, moved.event.reason, moved.at, proposal.bound,
        drafted.predicted, drafted.evidence.get("regime"),
    )  # fmt: skip
