"""The state of each step of a playbook in a run, of those too that nothing happened to."""

from __future__ import annotations

from control_plane.web.story import RunStory
from runtime.net.legend import arcs_of
from runtime.playbook.model import Playbook


def step_states(playbook: Playbook, story: RunStory) -> dict[str, str]:
    """Return each step's state: as the story shows it, ``waiting`` or ``skipped``.

    A step is skipped when no token can reach it any more: the run has ended, or every
    step that leads to it is over and took another way.
    """
    states = {s.name: _state_of(story, s.name) for s in playbook.steps}
    inputs: dict[str, set[str]] = {s.name: set() for s in playbook.steps}
    for step in playbook.steps:
        for arc in arcs_of(step):
            inputs.get(arc.to, set()).add(step.name)
    changed = True
    while changed:
        changed = False
        for name in [n for n, state in states.items() if state == "waiting"]:
            if story.ended or _is_cut_off(name, inputs[name], states, story):
                states[name], changed = "skipped", True
    return states


def _state_of(story: RunStory, name: str) -> str:
    return story.steps[name].shown if name in story.steps else "waiting"


def _is_cut_off(name: str, inputs: set[str], states: dict[str, str], story: RunStory) -> bool:
    if not inputs:
        return False
    return all(
        states[source] == "skipped"
        or (
            states[source] in ("succeeded", "caught", "failed", "cancelled")
            and name not in (story.steps[source].arcs or [])
        )
        for source in inputs
    )
