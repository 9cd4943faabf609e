"""What is unsound about a playbook, said at its place in the YAML.

The soundness checker speaks of steps and firings; an author looks at lines and columns. An
unsound flow is one fault: at the arc that closes its circle, at the join that asks for too
much, or at the step that is left over, with the shortest way there.
"""

from __future__ import annotations

from typing import Final

from runtime.net.compile import compile_net
from runtime.net.soundness import refuse_unsound
from runtime.net.verdict import TEXTS, NotSound
from runtime.playbook.faults import PlaybookFault, PlaybookFaults
from runtime.playbook.model import Place, Playbook

_AT_JOIN: Final = (TEXTS["quorum_too_large"], TEXTS["join_on_cycle"])


def flow_faults(playbook: Playbook) -> list[PlaybookFault]:
    """Return why some run of a playbook could not end properly; nothing when each can."""
    try:
        refuse_unsound(playbook)
        compile_net(playbook)
    except NotSound as error:
        return [_fault(playbook, error)]
    return []


def refuse_flow(playbook: Playbook, name: str = "playbook.yaml") -> None:
    """Refuse a playbook some run of which could not end properly.

    Raises:
        PlaybookFaults: with the counterexample in the fault's message.
    """
    faults = flow_faults(playbook)
    if faults:
        raise PlaybookFaults(faults, name)


def _fault(playbook: Playbook, error: NotSound) -> PlaybookFault:
    place, path = _where(playbook, error)
    return PlaybookFault(place.line, place.column, path, str(error))


def _where(playbook: Playbook, error: NotSound) -> tuple[Place, str]:
    """The place of the arc between two of the steps, the last such; else of a step."""
    for source, target in reversed(list(zip(error.steps, error.steps[1:], strict=False))):
        found = playbook.step(source).places.get(f"next>{target}")
        if found is not None:
            return found, f"{_path(playbook, source)}.next"
    step = playbook.step(error.steps[-1] if len(error.steps) < 2 else error.steps[1])
    key = "join" if error.reason in _AT_JOIN else "step"
    return step.places.get(key, step.place), f"{_path(playbook, step.name)}.{key}"


def _path(playbook: Playbook, name: str) -> str:
    number = next(i for i, step in enumerate(playbook.steps) if step.name == name)
    return f"workflow[{number}]"
