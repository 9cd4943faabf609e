"""Why a proposal moved: a closed list of codes, each with the words a person reads.

Every `proposal.moved` carries one of these codes and nothing else in its ``reason``; what
is particular to a case stands in ``note`` and ``facts``. A code is never given a new
meaning: a new reason gets a new code.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Reason(StrEnum):
    """The codes."""

    # the way in
    PASSED_GATE = "passed_gate"
    EVALUATED = "evaluated"
    DUPLICATE = "duplicate"
    SUPPRESSED = "suppressed"
    POLICY_OFF = "policy_off"
    # guardrails
    SCOPE_DENIED = "scope_denied"
    NOT_TUNABLE = "not_tunable"
    UNKNOWN_SCOPE = "unknown_scope"
    OUT_OF_BOUNDS = "out_of_bounds"
    STEP_TOO_LARGE = "step_too_large"
    NOT_WORTHWHILE = "not_worthwhile"
    NO_DATA = "no_data"
    NOT_REPEATABLE = "not_repeatable"
    NO_CHANGE = "no_change"
    MIXED_KNOBS = "mixed_knobs"
    INSUFFICIENT_SUPPORT = "insufficient_support"
    # decisions of people
    APPROVED = "approved"
    REJECTED = "rejected"
    RISKY = "risky"
    WRONG_EVIDENCE = "wrong_evidence"
    BAD_TIMING = "bad_timing"
    WITHDRAWN = "withdrawn"
    OPERATOR = "operator"
    # invalidation
    SUPERSEDED = "superseded"
    EXPIRED = "expired"
    BASE_MOVED = "base_moved"
    CODE_CHANGED = "code_changed"
    POLICY_CHANGED = "policy_changed"
    # the trial
    QUEUED = "queued"
    NO_SIMULATOR = "no_simulator"
    SHADOW_PASSED = "shadow_passed"
    LOCK_TAKEN = "lock_taken"
    SIMULATED = "simulated"
    CANNOT_SIMULATE = "cannot_simulate"
    SIMULATION_FAILED = "simulation_failed"
    SIMULATED_WORSE = "simulated_worse"
    ENOUGH_SAMPLES = "enough_samples"
    BETTER = "better"
    NO_WATCH = "no_watch"
    WATCHED = "watched"
    HARM = "harm"
    HORIZON = "horizon"
    GATES_UNMET = "gates_unmet"
    INCONCLUSIVE = "inconclusive"
    LEARNED = "learned"
    KILL_SWITCH = "kill_switch"
    # the way back
    EFFECT_SEEN = "effect_seen"
    NO_RUN_LIVE = "no_run_live"
    EFFECT_NOT_SEEN = "effect_not_seen"


WORDS: Final[dict[Reason, str]] = {
    Reason.PASSED_GATE: "every guardrail of the policy is met",
    Reason.EVALUATED: "the policy was evaluated",
    Reason.DUPLICATE: "the same change is already under review or live",
    Reason.SUPPRESSED: "the same change was rejected or rolled back, and nothing material is new",
    Reason.POLICY_OFF: "the policy takes no proposals",
    Reason.SCOPE_DENIED: "the policy denies changes here",
    Reason.NOT_TUNABLE: "the step does not declare this knob under tune",
    Reason.UNKNOWN_SCOPE: "no such playbook or step is registered",
    Reason.OUT_OF_BOUNDS: "a value lies outside the playbook's or the policy's bounds",
    Reason.STEP_TOO_LARGE: "the step is larger than allowed, and no experiment covered the value",
    Reason.NOT_WORTHWHILE: "the predicted gain is below the least worthwhile one",
    Reason.NO_DATA: "no prediction with an interval came with it; missing data never passes",
    Reason.NOT_REPEATABLE: "the step's effect happens once, so its retries are not tuned",
    Reason.NO_CHANGE: "nothing would change",
    Reason.MIXED_KNOBS: "a proposal changes one knob group of one step",
    Reason.INSUFFICIENT_SUPPORT: "history has too little support here: only an experiment may try",
    Reason.APPROVED: "a person approved it",
    Reason.REJECTED: "a person rejected it",
    Reason.RISKY: "a person found it too risky",
    Reason.WRONG_EVIDENCE: "a person found fault with the evidence",
    Reason.BAD_TIMING: "a person asked to wait",
    Reason.WITHDRAWN: "it was withdrawn",
    Reason.OPERATOR: "an operator asked for it",
    Reason.SUPERSEDED: "a newer proposal for the same knobs took its place",
    Reason.EXPIRED: "nobody decided in time",
    Reason.BASE_MOVED: "the values it starts from have changed",
    Reason.CODE_CHANGED: "the step's tool, code or knobs have changed",
    Reason.POLICY_CHANGED: "the policy was tightened and no longer allows it",
    Reason.QUEUED: "it waits for the lock of its step",
    Reason.NO_SIMULATOR: "there was no simulator, so the dry run was passed through",
    Reason.SHADOW_PASSED: "the dry run showed nothing against it",
    Reason.LOCK_TAKEN: "its step is free: history is replayed under it first",
    Reason.SIMULATED: "history replayed under it does not speak clearly against it",
    Reason.CANNOT_SIMULATE: "history cannot say what it would do, which is what a trial is for",
    Reason.SIMULATION_FAILED: "history could not be replayed, so it neither passed nor failed",
    Reason.SIMULATED_WORSE: "history replayed under it is clearly worse",
    Reason.ENOUGH_SAMPLES: "the stage has its samples and no sign of harm",
    Reason.BETTER: "it is proven better than the control",
    Reason.NO_WATCH: "the profile asks for no watch",
    Reason.WATCHED: "the watch is over and nothing spoke against it",
    Reason.HARM: "it is proven worse than the control",
    Reason.HORIZON: "the horizon was reached and neither bound was met",
    Reason.GATES_UNMET: "it is proven better, but not as widely as the policy asks for",
    Reason.INCONCLUSIVE: "an inconclusive trial is taken back",
    Reason.LEARNED: "every arm has its samples",
    Reason.KILL_SWITCH: "the kill switch was set",
    Reason.EFFECT_SEEN: "work is seen running with the stable values again",
    Reason.NO_RUN_LIVE: "no run is live that could still use it",
    Reason.EFFECT_NOT_SEEN: "the stable values were not seen in time",
}

REJECTIONS: Final = (
    Reason.REJECTED, Reason.RISKY, Reason.WRONG_EVIDENCE, Reason.BAD_TIMING,
)  # fmt: skip
"""The codes that a person may give for a rejection."""


def words(code: str) -> str:
    """Return what a code says to a person."""
    return WORDS[Reason(code)]
