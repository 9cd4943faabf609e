"""From stages to events: a decision gathers what is written together, all or nothing.

A `Decision` walks the lifecycle's table move by move and collects events by stream; its
appends carry the length that each stream had when it was decided, so a decision about
what has meanwhile changed is refused by the journal and made again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from control_plane.review import plan
from control_plane.review.lifecycle import Hand, Move, State, step
from control_plane.review.proposal import Proposal, stream_of
from control_plane.review.reasons import Reason
from optimizer.verify import Finding
from runtime.journal.port import Append
from runtime.run.events import (
    Event,
    ExperimentEnded,
    ExperimentRamped,
    ExperimentStarted,
    Json,
    LessonRecorded,
    OutcomeRecorded,
    OverlayAppended,
    ProposalDrafted,
    ProposalMoved,
    VerdictReached,
)
from runtime.run.layers import digest

Lengths = Callable[[str], int]
"""How long a stream was when the decision was made."""


def experiment_stream(experiment: str) -> str:
    """Return the name of an experiment's stream."""
    return f"experiment/{experiment}"


def overlay_stream(playbook: str) -> str:
    """Return the name of a playbook's overlay stream."""
    return f"overlay/{playbook}"


@dataclass(slots=True)
class Decision:
    """What is about to be written about one proposal."""

    drafted: ProposalDrafted
    state: State
    at: float
    stage: int = 0
    policy_hash: str = ""
    events: dict[str, list[Event]] = field(default_factory=dict)

    @classmethod
    def about(cls, proposal: Proposal, at: float, policy_hash: str = "") -> Decision:
        """Begin a decision about a proposal as it stands."""
        return cls(proposal.drafted, proposal.state, at, proposal.stage, policy_hash)

    @classmethod
    def draft(cls, drafted: ProposalDrafted, at: float, policy_hash: str) -> Decision:
        """Begin the life of a proposal."""
        decision = cls(drafted, State.DRAFT, at, policy_hash=policy_hash)
        decision.add(decision.stream, drafted)
        return decision

    @property
    def stream(self) -> str:
        """The proposal's own stream."""
        return stream_of(self.drafted.proposal)

    @property
    def experiment(self) -> str:
        """The id of its experiment."""
        return "x-" + self.drafted.proposal.removeprefix("p-")

    def add(self, stream: str, event: Event) -> None:
        """Write this event too."""
        self.events.setdefault(stream, []).append(event)

    def move(self, move: Move, hand: Hand, reason: Reason, actor: str = "", **more: Any) -> None:
        """Make a move of the lifecycle's table.

        Raises:
            MoveNotAllowed, NotYours: the decision stays as it was.
        """
        source, self.state = self.state, step(self.state, move, hand)
        self.stage = more.pop("stage", self.stage)
        self.add(
            self.stream,
            ProposalMoved(
                self.drafted.proposal, move.value, source.value, self.state.value,
                actor or hand.value, reason.value, policy_hash=self.policy_hash,
                stage=self.stage, **more,
            ),
        )  # fmt: skip

    def appends(self, length: Lengths) -> list[Append]:
        """Return it as appends, each at the length that its stream has now."""
        return [
            Append(stream, length(stream), self.at, tuple(events))
            for stream, events in sorted(self.events.items())
        ]


# ---- stages -----------------------------------------------------------------------------------


def fail(decision: Decision, reason: Reason, facts: Mapping[str, Json], lesson: str) -> None:
    """The replay of history speaks against it: no live work is touched."""
    decision.move(Move.FAIL, Hand.EXPERIMENTS, reason, facts=dict(facts))
    teach(decision, reason, lesson)


def begin(
    decision: Decision, stage: plan.Begin, settings: Mapping[str, Json], *,
    base: Mapping[str, Json], bound: str, block_items: int, salt: str, reason: Reason,
    facts: Mapping[str, Json],
) -> None:  # fmt: skip
    """Start the experiment at its first shares; ``facts`` is what the replay said."""
    drafted = decision.drafted
    decision.move(Move.ENROL, Hand.EXPERIMENTS, reason, stage=1, facts=dict(facts))
    decision.add(
        experiment_stream(decision.experiment),
        ExperimentStarted(
            decision.experiment, drafted.proposal, drafted.playbook, drafted.step,
            drafted.knob_class, stage.design, dict(base),
            {name: dict(values) for name, values in stage.arms.items()}, dict(stage.shares),
            salt, bound, block_items, dict(settings),
        ),
    )  # fmt: skip


def ramp(decision: Decision, stage: plan.Ramp, finding: Finding) -> None:
    """Enter the next stage with a larger share."""
    shares = dict(stage.shares)
    decision.add(
        experiment_stream(decision.experiment),
        ExperimentRamped(decision.experiment, stage.stage, shares),
    )
    facts = {"units": finding.units, "shares": shares}
    decision.move(Move.RAMP, Hand.VERIFIER, Reason.ENOUGH_SAMPLES, stage=stage.stage, facts=facts)


def drop(decision: Decision, shares: Mapping[str, float], finding: Finding) -> None:
    """Take harmful arms out of an experiment; the others go on."""
    decision.add(
        experiment_stream(decision.experiment),
        ExperimentRamped(decision.experiment, decision.stage, dict(shares)),
    )
    facts = {"dropped": finding.statistics.get("dropped", []), "shares": dict(shares)}
    decision.move(Move.RAMP, Hand.VERIFIER, Reason.HARM, facts=facts)


def watch(decision: Decision, stage: plan.Watch) -> None:
    """Proven better: run it almost everywhere, or pass through when no watch is asked for."""
    if stage.seconds == 0:
        decision.move(Move.PROMOTE, Hand.VERIFIER, Reason.BETTER)
        return
    number = decision.stage + 1
    decision.add(
        experiment_stream(decision.experiment),
        ExperimentRamped(decision.experiment, number, dict(stage.shares)),
    )
    decision.move(Move.PROMOTE, Hand.VERIFIER, Reason.BETTER, stage=number)


def keep(
    decision: Decision, stage: plan.Keep, finding: Finding, *, previous: Mapping[str, Json],
    bound: str, approver: str, reason: Reason,
) -> None:  # fmt: skip
    """Make the values the stable ones: overlay, end, verdict and outcome in one append."""
    drafted = decision.drafted
    decision.add(
        overlay_stream(drafted.playbook),
        OverlayAppended(
            drafted.playbook, drafted.step, dict(stage.knobs), dict(previous), bound,
            drafted.proposal, drafted.author, approver, "kept",
        ),
    )  # fmt: skip
    end(decision, "kept")
    conclude(decision, finding)
    decision.move(Move.KEEP, Hand.VERIFIER, reason)


def learn(decision: Decision, finding: Finding, lesson: str) -> None:
    """Every arm has its samples: end with what was measured."""
    end(decision, "learned")
    conclude(decision, finding)
    decision.move(Move.LEARN, Hand.VERIFIER, Reason.LEARNED)
    teach(decision, Reason.LEARNED, lesson)


def roll_back(
    decision: Decision, hand: Hand, reason: Reason, *, finding: Finding | None = None,
    actor: str = "", note: str = "", experiment_live: bool = True,
) -> None:  # fmt: skip
    """Take it back: end the experiment, so that everything new runs the stable values.

    In shadow none has begun, so none is ended.
    """
    if experiment_live and decision.state is not State.SHADOW:
        end(decision, reason.value)
    if finding is not None:
        conclude(decision, finding)
    decision.move(Move.ROLL_BACK, hand, reason, actor, note=note)


def set_back(
    decision: Decision, *, previous: Mapping[str, Json], now: Mapping[str, Json], bound: str,
    approver: str, reason: str,
) -> None:  # fmt: skip
    """Set a kept proposal's own keys back to what they were before it."""
    drafted = decision.drafted
    decision.add(
        overlay_stream(drafted.playbook),
        OverlayAppended(
            drafted.playbook, drafted.step, dict(previous), dict(now), bound,
            drafted.proposal, drafted.author, approver, reason,
        ),
    )  # fmt: skip


def settle(decision: Decision, reason: Reason, why: Reason, lesson: str) -> None:
    """It is seen to be gone: rolled back, with what that taught."""
    decision.move(Move.SETTLE, Hand.EXPERIMENTS, reason)
    teach(decision, why, lesson)


# ---- parts of stages ----------------------------------------------------------------------------


def end(decision: Decision, reason: str) -> None:
    """End the experiment."""
    decision.add(
        experiment_stream(decision.experiment), ExperimentEnded(decision.experiment, reason)
    )


def conclude(decision: Decision, finding: Finding) -> None:
    """Write the verdict, and when it is final predicted against realised."""
    drafted = decision.drafted
    decision.add(
        decision.stream,
        VerdictReached(
            drafted.proposal, decision.experiment, finding.verdict, finding.reason,
            dict(finding.units), dict(finding.statistics), finding.final,
        ),
    )  # fmt: skip
    told = drafted.predicted.get(drafted.objective)
    if drafted.kind == "change" and told and finding.final:
        decision.add(decision.stream, outcome(drafted, told, finding))


def outcome(
    drafted: ProposalDrafted, told: Mapping[str, Json], finding: Finding
) -> OutcomeRecorded:
    """Return predicted against realised."""
    realised = finding.statistics.get("realised")
    covered = None
    if realised is not None and {"lower", "upper"} <= told.keys():
        covered = bool(told["lower"] <= realised <= told["upper"])
    return OutcomeRecorded(
        drafted.proposal, drafted.knob_class, drafted.objective, dict(told), realised,
        list(finding.statistics.get("gain_ci") or []), covered, dict(finding.units),
    )  # fmt: skip


def teach(decision: Decision, reason: Reason, text: str) -> None:
    """Write what is to be remembered."""
    drafted = decision.drafted
    lesson = "l-" + digest([drafted.proposal, reason.value])[:12]
    decision.add(
        decision.stream,
        LessonRecorded(
            lesson, drafted.proposal, drafted.playbook, drafted.step, drafted.knob_class,
            text, reason.value, drafted.content,
        ),
    )  # fmt: skip
