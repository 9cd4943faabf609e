"""What every decision rests on: the state, the edge to ask, and the events so far.

The parts of `runtime.run.decide` are stacked on this: tries (`trying`), batches of an
``each`` (`batches`), firing and concluding (`firing`), and the commands on top.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Protocol

from runtime.playbook.model import Playbook, Step
from runtime.run.budget import Budget
from runtime.run.events import Fault, Json, RunEvent
from runtime.run.evolve import evolve
from runtime.run.layers import Experiment, Resolved
from runtime.run.route import Route
from runtime.run.state import Each, RunState

GOING_ON: Final = ("running", "paused")
"""States of a run in which a step that ends is routed, and a failed try tried again."""


class Edge(Protocol):
    """What a decision may ask of the world. Answers are recorded, so nothing is asked twice."""

    def now(self) -> float:
        """Seconds since the epoch."""
        ...

    def chance(self) -> float:
        """A number in [0, 1)."""
        ...

    def route(self, state: RunState, step: Step, value: Json, fault: Fault | None) -> Route | None:
        """Where the tokens of a step go that ended with ``value``, or finally failed."""
        ...

    def holds(self, state: RunState, step: Step, text: str, value: Json) -> bool | Fault:
        """Whether a condition holds, with ``value`` as what the step gave."""
        ...

    def render(self, state: RunState, step: Step) -> dict[str, Json] | Fault:
        """The step's inputs: its tool block and ``with``, rendered."""
        ...

    def items(self, state: RunState, step: Step) -> tuple[int, Json] | Fault:
        """How many items an ``each`` step has, and their list or reference."""
        ...

    def fold(self, state: RunState, step: Step, result: Json) -> dict[str, Json] | Fault:
        """What a batch gives to each name of its step's ``reduce``: name → {reducer: value}."""
        ...

    def gather(self, state: RunState, step: Step, each: Each) -> Json:
        """The value of a finished ``each`` step, spilled to a reference when it is large."""
        ...

    def configure(
        self, state: RunState, step: Step, experiment: Experiment | None, arm: str | None
    ) -> Resolved:
        """The configuration a step, or a block of it, runs with from now on."""
        ...

    def effective(self, config: str) -> dict[str, Json]:
        """The values of a configuration by its hash."""
        ...

    def experiment(self, state: RunState, step: Step) -> Experiment | None:
        """The live experiment that may enrol this run's units of the step, or None."""
        ...

    def is_live(self, experiment: str) -> bool:
        """Whether an experiment still runs."""
        ...

    def opens(self, step: Step, hours: str, at: float) -> float:
        """The first time from ``at`` on that is within hours of the day, in the step's zone."""
        ...

    def closes(self, step: Step, hours: str, at: float) -> float:
        """The first time from ``at`` on that is outside of these hours, in the step's zone."""
        ...

    def budget(self, step: Step, arm: tuple[str, str]) -> Budget:
        """The retry budget of a step that has one, shared by all runs of the playbook.

        ``arm`` is an experiment and its arm, both empty outside of one.
        """
        ...


@dataclass(frozen=True, slots=True)
class Ended:
    """How a try ended, as the worker and the pool tell it.

    ``facts`` are the measured fields of `AttemptFinished`, by name.
    """

    attempt: str
    outcome: str
    fault: Fault | None = None
    result: Json = None
    facts: dict[str, Json] = field(default_factory=dict)
    beside: tuple[RunEvent, ...] = ()
    """Events that became true with it: a product published, a check that failed."""
    cut_off: bool = False
    """Whether it was ended while it ran, because it was over a limit."""


class Deciding:
    """The events of one command, in the making."""

    def __init__(self, state: RunState, playbook: Playbook, edge: Edge) -> None:
        self.state, self.edge, self.at = state, edge, edge.now()
        self.playbook = playbook
        self.events: list[RunEvent] = []

    @property
    def going_on(self) -> bool:
        """Whether steps that end are still routed."""
        return self.state.status in GOING_ON

    def is_beside(self, name: str) -> bool:
        """Whether a step is a compensation or one of ``finally``: no token reaches it."""
        return name in self.state.net.beside

    def _emit(self, event: RunEvent) -> None:
        evolve(self.state, event, self.at)
        self.events.append(event)
