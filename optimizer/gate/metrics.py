"""What a step's metrics say at the gate, where it ran under its incumbent alone.

The expert of the search (see `optimizer.search.expert`) is one more part of a tendency: it has
seen what the step did with memory, CPU and bytes under the incumbent, and says how the others
stand from there. Its weight is what it earned on other families beside the tendency without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.gate.tendency import Tendency
from optimizer.search.expert import Expert, Likely, joined
from optimizer.search.forest import measured
from optimizer.search.history import History
from optimizer.search.posterior import Posterior
from optimizer.search.space import Space

Array: TypeAlias = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """A tendency with what metrics add to it; without an expert it is the tendency itself."""

    tendency: Tendency
    expert: Expert | None = None
    metrics: Array | None = None
    """Those of the step that asks, by setting."""

    def about(self, incumbent: int) -> Posterior:
        """Return how every setting stands from the incumbent, in warped log distance."""
        belief, metrics = self.tendency.about(incumbent), self.metrics
        if self.expert is None or metrics is None or not measured(metrics[incumbent]):
            return belief
        said = self.expert.about(incumbent, metrics[incumbent])
        return joined(np.log(belief.weights), belief.mean, belief.variance, said)[1]


def expert_of(space: Space, history: History) -> Expert | None:
    """Return the expert that a history bears out beside its tendency, or None."""

    def rival(rest: History) -> Likely:
        tendency = Tendency.of(space, rest)
        return lambda index, told, _outcomes: tendency.likely(index, told)

    return Expert.of(space, history, rival)
