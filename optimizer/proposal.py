"""A candidate: what the optimizer would try, with the evidence that speaks for it.

It is a value and holds no handle that writes; the control plane makes a draft of it. Two
candidates with the same ``key`` are about the same knobs of the same step; with the same
``content`` they are the same change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

from runtime.run.layers import digest

Json: TypeAlias = Any
Kind: TypeAlias = Literal["change", "experiment"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One proposal to be.

    ``diff`` is ``[{knob, from, to}]`` for a change, ``[{knob, from, values}]`` for an
    experiment, which predicts nothing (``predicted`` is empty): it is there to learn.
    ``base`` holds the stable values of the knobs in ``diff``.
    """

    kind: Kind
    playbook: str
    step: str
    knob_class: str
    objective: str
    diff: list[dict[str, Json]]
    base: dict[str, Json]
    evidence: dict[str, Json]
    predicted: dict[str, dict[str, float]]
    note: str = ""

    @property
    def key(self) -> str:
        """The hash of scope and knob group: one such proposal is live at a time."""
        return digest([self.playbook, self.step, self.knob_class])

    @property
    def content(self) -> str:
        """The hash of the change itself."""
        return digest([self.playbook, self.step, self.diff])

    def to_json(self) -> dict[str, Json]:
        """Return the candidate as it stands in the result of the optimize playbook."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Json]) -> Candidate:
        """Return the candidate that `to_json` wrote."""
        return cls(**{name: value[name] for name in cls.__slots__ if name in value})
