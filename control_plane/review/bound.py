"""What an approval is bound to, and whether it still holds.

A person approves what they read: diff, evidence, the values it starts from, and the
policy. The hash of these four is written with the approval. ``base`` is of the proposal's
own keys alone: if one of them has moved the proposal is stale, and is never merged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from runtime.run.events import Json, OverlayAppended, ProposalDrafted
from runtime.run.layers import digest


def bound_hash(drafted: ProposalDrafted, base: Mapping[str, Json], policy_hash: str) -> str:
    """Return the hash that an approval is bound to."""
    return digest(
        {
            "scope": [drafted.playbook, drafted.step],
            "kind": drafted.kind,
            "diff": drafted.diff,
            "evidence": drafted.evidence,
            "base": dict(base),
            "policy": policy_hash,
        }
    )


def base_of(drafted: ProposalDrafted, stable: Mapping[str, Json]) -> dict[str, Json]:
    """Return the stable values that the proposal's own keys have now."""
    return {line["knob"]: stable.get(line["knob"]) for line in drafted.diff}


def has_moved(drafted: ProposalDrafted, stable: Mapping[str, Json]) -> bool:
    """Whether one of the proposal's own keys has another stable value than it started from."""
    return base_of(drafted, stable) != {k: drafted.base.get(k) for k in drafted.base}


def owners(appended: Iterable[OverlayAppended], step: str) -> dict[str, str]:
    """Return which proposal gave each knob of a step the value it has on the head.

    Setting a change back gives a knob back to whoever owned it before.
    """
    held: dict[str, list[str]] = {}
    for event in appended:
        for name in event.knobs if event.step == step else ():
            stack = held.setdefault(name, [])
            if stack and stack[-1] == event.proposal:
                stack.pop()
            else:
                stack.append(event.proposal)
    return {name: stack[-1] for name, stack in held.items() if stack}
