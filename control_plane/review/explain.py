"""Stages in words: what an approval will set in motion, as a reviewer reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

from control_plane.review.plan import Begin, Keep, Learn, Queue, Ramp, Shadow, Stage, Watch
from control_plane.review.policy import Gates
from optimizer.knobs import said
from runtime.run.events import Json


def explain(stages: tuple[Stage, ...]) -> list[str]:
    """Say in words what each stage does."""
    return [_say(stage) for stage in stages]


def _say(stage: Stage) -> str:
    match stage:
        case Queue():
            return f"wait until no other proposal is live on {stage.playbook}#{stage.step}"
        case Shadow():
            return _say_shadow(stage)
        case Begin():
            return _say_begin(stage)
        case Ramp():
            shares = _shares(stage.shares)
            return f"stage {stage.stage}: {shares}, until {stage.min_candidate} candidate blocks"
        case Watch() if stage.seconds == 0:
            return "watch: passed through, the profile asks for none"
        case Watch():
            return f"watch for {stage.seconds / 3600:g} h: {_shares(stage.shares)}"
        case Keep():
            when = f"keep, when proven better{_gates(stage.gates)}"
            one = len(stage.knobs) == 1
            become = "becomes the stable value" if one else "become the stable values"
            return f"{when}: {_values(stage.knobs)} {become}"
        case Learn():
            return f"end when each arm has {stage.units} blocks; no value is changed"
        case _:
            assert_never(stage)


def _say_shadow(stage: Shadow) -> str:
    replay = f"shadow: the latest {stage.runs} runs are replayed under it, no live work is touched"
    if stage.max_worse is None:
        return f"{replay}; what they say is told, and the experiment goes on"
    more = f"{stage.max_worse:.0%} more {stage.objective}"
    return f"{replay}; it ends here if they clearly took over {more}, else it is tried"


def _say_begin(stage: Begin) -> str:
    tried = "; ".join(f"{name} with {_values(values)}" for name, values in stage.arms.items())
    until = f"until {stage.min_candidate} candidate blocks"
    if stage.design == "switchback":
        return f"stage 1: control and {tried} alternate in drained blocks, {until} each"
    lost = f"; a batch that fails for good counts as {stage.lost_s:.3g} s more, in either"
    beside = f"stage 1: {tried}, beside the control ({_shares(stage.shares)}), {until}"
    return beside + (lost if stage.lost_s else "")


def _gates(gates: Gates) -> str:
    asked = [f" on {gates.nodes} machines"] * (gates.nodes > 1)
    asked += [f" begun on {gates.days} days"] * (gates.days > 1)
    asked += [" over a whole day"] * gates.daily_cycle
    asked += [f" for {gates.hold_s / 60:g} minutes"] * (gates.hold_s > 0)
    return " and".join(asked)


def _shares(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{name} on {share:.0%} of the blocks" for name, share in shares.items())


def _values(knobs: Mapping[str, Json]) -> str:
    return ", ".join(f"{name} = {said(name, value)}" for name, value in knobs.items())
