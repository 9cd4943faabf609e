"""Drafts: from what a cycle of the optimizer returned to proposals, and back to its inputs.

The optimizer's playbook returns values and writes nothing. When one of its runs has
completed, each candidate of its result becomes a draft under an id that is a hash of run
and candidate, so taking a result in twice, or after a crash, drafts nothing twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from control_plane.docket import SPEAKS, Host, PlaybookVersion, harmless
from control_plane.errors import ControlPlaneError, NotFound
from control_plane.intake import OPEN
from control_plane.proposal_view import ProposalView
from control_plane.review.candidate import candidate_of
from control_plane.review.lifecycle import State
from control_plane.review.policy import describe
from control_plane.review.proposal import Proposal
from control_plane.review.reasons import Reason
from control_plane.reviews import ReviewService
from runtime.data.folder import DataFolder
from runtime.data.objects import Objects
from runtime.journal.port import RunRow
from runtime.playbook.faults import PlaybookFaults
from runtime.playbook.model import Playbook, Step
from runtime.run.events import Json, Recorded, RunCompleted
from runtime.run.layers import digest

_LOG: Final = logging.getLogger("trimtab.drafts")
OPTIMIZE: Final = "system/optimize"
CALIBRATE: Final = "system/calibrate"
OPTIMIZER: Final = "optimizer"
"""The principal that is the author of every cycle's proposals."""
RECENT: Final = 20
"""Cycles that are looked at again when the server starts."""
TOLD: Final = frozenset(
    {State.REJECTED, State.WITHDRAWN, State.BLOCKED, State.FAILED, State.LEARNED, State.KEPT}
)
"""Ends that the optimizer hears of, beside those roll-backs that say something."""


class EngineHost(Host, Protocol):
    """The engine, with the folder where large results lie."""

    @property
    def folder(self) -> DataFolder: ...


@dataclass(frozen=True, slots=True)
class Cycle:
    """What one cycle came to: its proposals, and a reason for all it did not propose."""

    run: str
    proposals: list[ProposalView]
    reasons: list[Json]
    refused: list[str]


class Drafts:
    """Turns results into drafts, and makes the inputs of the next cycle."""

    def __init__(
        self, host: EngineHost, reviews: ReviewService, *, clock: Callable[[], float],
        new_id: Callable[[], str],
    ) -> None:  # fmt: skip
        self._host, self._reviews = host, reviews
        self._clock, self._new_id = clock, new_id
        self._completed: asyncio.Queue[str] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._stop: Callable[[], None] | None = None

    async def start(self) -> None:
        """Take in what completed while nobody listened, and listen from now on."""
        self._stop = self._host.subscribe(self._hear)
        rows = self._host.journal.runs(
            state="completed", playbook=OPTIMIZE, system=True, limit=RECENT
        )
        for row in reversed(rows):
            self._completed.put_nowait(row.run)
        self._task = asyncio.create_task(self._take_in(), name="drafts")

    async def close(self) -> None:
        """Stop listening; what was not taken in is taken in at the next start."""
        if self._stop is not None:
            self._stop()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    # ---- results to drafts ----------------------------------------------------------------

    def _hear(self, news: Sequence[Recorded]) -> None:
        for recorded in news:
            if isinstance(recorded.event, RunCompleted):
                run = recorded.stream.removeprefix("run/")
                if _is_cycle(self._host.journal.run(run)):
                    self._completed.put_nowait(run)

    async def _take_in(self) -> None:
        while True:
            run = await self._completed.get()
            try:
                await self.take(run)
            except ControlPlaneError as refused:
                _LOG.warning("cycle %s: %s", run, refused)
            except Exception:
                _LOG.exception("cycle %s could not be taken in", run)

    async def take(self, run: str) -> Cycle:
        """Draft the candidates of a completed cycle; doing it again changes nothing.

        Raises:
            NotFound: there is no completed cycle of that id.
        """
        result = self._result(run)
        proposals, refused = [], []
        for value in result.get("candidates") or []:
            try:
                candidate = candidate_of(value)
                name = "p-" + digest([run, candidate.key, candidate.content])[:12]
                proposals.append(
                    await self._reviews.propose(
                        candidate, OPTIMIZER, frozenset({OPTIMIZER}), id=name, cycle=run
                    )
                )
            except ControlPlaneError as error:
                _LOG.warning("cycle %s returned no candidate: %s", run, error)
                refused.append(str(error))
        return Cycle(run, proposals, list(result.get("reasons") or []), refused)

    def _result(self, run: str) -> dict[str, Json]:
        row = self._host.journal.run(run)
        last = self._host.journal.event(f"run/{run}", row.length) if row is not None else None
        if not _is_cycle(row) or last is None or not isinstance(last.event, RunCompleted):
            raise NotFound("completed cycle", run)
        value = Objects(self._host.folder.objects).open(last.event.result)
        return value if isinstance(value, dict) else {}

    # ---- the inputs of a cycle --------------------------------------------------------------

    def workload(self) -> dict[str, Json]:
        """Return the inputs of a cycle that starts now."""
        return {
            "scopes": self.scopes(),
            "policy": describe(self._reviews.policy),
            "cycle": f"c-{self._new_id()}",
            "calibration": self.calibration(),
            **self.asked(),
        }

    def asked(self) -> dict[str, Json]:
        """Return what a reading of the record that is asked for now has to hold."""
        heads = self._host.journal.heads()
        return {
            "at": self._clock(),
            "cursor": {str(w): pos for w, pos in heads.items()},
            "described": self.described(),
        }

    def described(self) -> list[dict[str, Json]]:
        """Return what each step runs and what is said of it, by which steps resemble others."""
        catalogue = self._host.catalogue
        return [
            one for path in catalogue.paths() for one in _described(path, catalogue.latest(path))
        ]

    def calibration(self) -> dict[str, Json]:
        """Return what the latest calibration said, with its run; empty when there is none."""
        rows = self._host.journal.runs(
            state="completed", playbook=CALIBRATE, system=True, limit=1
        )  # fmt: skip
        for row in rows:
            last = self._host.journal.event(f"run/{row.run}", row.length)
            if last is not None and isinstance(last.event, RunCompleted):
                value = Objects(self._host.folder.objects).open(last.event.result)
                return {**value, "run": row.run} if isinstance(value, dict) else {}
        return {}

    def scopes(self) -> list[dict[str, Json]]:
        """Return every step that may be tuned, with what is known of it outside the record."""
        catalogue = self._host.catalogue
        return [
            scope
            for path in catalogue.paths()
            for scope in self._of_playbook(path, catalogue.latest(path))
        ]

    def _of_playbook(self, path: str, version: PlaybookVersion) -> list[dict[str, Json]]:
        try:
            playbook = version.playbook
        except PlaybookFaults:
            return []  # the list of playbooks says why it cannot be read
        steps = [step for step in playbook.steps if self._tunable(path, step)]
        return [self._scope(path, version, playbook, step) for step in steps]

    def _tunable(self, path: str, step: Step) -> bool:
        policy = self._reviews.policy
        return any(policy.denial(path, step.name, knob.name) is None for knob in step.tune)

    def _scope(
        self, path: str, version: PlaybookVersion, playbook: Playbook, step: Step
    ) -> dict[str, Json]:
        docket, bound = self._reviews.docket, version.bound(step.name)
        scope = docket.scope(path, step.name)
        mine = [p for p in docket.proposals.values() if p.scope == (path, step.name)]
        under_way = OPEN - {State.PROPOSED}
        return {
            "playbook": path,
            "version": version.registered.version,
            "versions": self._versions(path, step.name, bound),
            "step": step.name,
            "bound": bound,
            "defaults": version.defaults(step.name),
            "stable": dict(scope.stable) if scope is not None else {},
            "tune": [
                {"name": k.name, "min": k.min, "max": k.max, "choices": list(k.choices)}
                for k in step.tune
                if self._reviews.policy.denial(path, step.name, k.name) is None
            ],
            "objective": playbook.objective,
            "start": _start(step),
            "slo": {"p95_s": step.slo.p95_s, "success": step.slo.success},
            "memory_bytes": step.memory_bytes,
            "most_in_flight": _most_in_flight(playbook, step),
            "effect": step.effect,
            "live": any(p.holds_lock or p.state in under_way for p in mine),
            "last": [_told(p) for p in mine if self._speaks(p, bound)],
        }

    def _versions(self, path: str, step: str, bound: str) -> list[str]:
        """The versions in which the step is what it is today."""
        return [
            version.registered.version
            for version in self._host.catalogue.versions(path)
            if any(s.name == step for s in version.playbook.steps) and version.bound(step) == bound
        ]

    def _speaks(self, proposal: Proposal, bound: str) -> bool:
        """Whether the optimizer is to know of an earlier proposal."""
        age = self._clock() - proposal.since
        if proposal.bound != bound or age >= self._reviews.policy.snooze_s:
            return False
        if proposal.state is not State.ROLLED_BACK:
            return proposal.state in TOLD
        back = proposal.last("roll_back")
        return back is not None and Reason(back.event.reason) in SPEAKS


def _described(path: str, version: PlaybookVersion) -> list[dict[str, Json]]:
    try:
        playbook = version.playbook
    except PlaybookFaults:
        return []
    return [
        {
            "playbook": path,
            "step": step.name,
            "tool": str(step.tool.get("kind", "")),
            "code": digest([dict(step.tool), dict(version.registered.files)]),
            "text": f"{path} {step.name} {playbook.description} {_said(step.tool)}",
        }
        for step in playbook.steps
        if step.tool
    ]


def _said(tool: Mapping[str, Json]) -> str:
    return " ".join(str(tool[key]) for key in ("call", "query", "url", "command") if key in tool)


def _start(step: Step) -> dict[str, Json]:
    """How long a step may wait for hours of the day, and on whose clock."""
    start = step.start
    if start is None:
        return {}
    return {"at_most_s": start.at_most_s, "zone": start.zone, "spread_s": start.spread_s}


def _most_in_flight(playbook: Playbook, step: Step) -> int | None:
    """How many attempts of a step the playbook's own limits let through at once."""
    limits = [playbook.limits[name].in_flight for name in step.uses if name in playbook.limits]
    return min((most for most in limits if most is not None), default=None)


def _is_cycle(row: RunRow | None) -> bool:
    return row is not None and row.system and row.playbook == OPTIMIZE


def _told(proposal: Proposal) -> dict[str, Json]:
    """An earlier proposal, as the optimizer hears of it."""
    drafted = proposal.drafted
    back = proposal.last("roll_back")
    return {
        "proposal": proposal.id,
        "kind": drafted.kind,
        "state": proposal.state.value,
        "reason": back.event.reason if back is not None else proposal.reason,
        "knob_class": drafted.knob_class,
        "content": drafted.content,
        "diff": drafted.diff,
        "harmless": {name: [one.low, one.high] for name, one in harmless(proposal).items()},
        "at": proposal.since,
        "predicted": drafted.predicted,
        "realised": proposal.outcome.realised if proposal.outcome is not None else None,
        "covered": proposal.outcome.covered if proposal.outcome is not None else None,
    }
