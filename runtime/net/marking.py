"""The marking: where tokens wait, and what they have set in motion.

It is the whole state of a run's flow. `runtime.net.net` moves the tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from runtime.net.loops import Loop


@dataclass(slots=True)
class Marking:
    """The tokens that wait, per step: source → live or dead.

    ``ready`` steps may fire, in order; ``starved`` ones never can, because too few live
    tokens are left to come; ``fired`` ones have, and absorb what still comes.
    """

    waiting: dict[str, dict[str, bool]] = field(default_factory=dict)
    ready: list[str] = field(default_factory=list)
    starved: list[str] = field(default_factory=list)
    fired: set[str] = field(default_factory=set)
    again: set[str] = field(default_factory=set)
    looping: set[str] = field(default_factory=set)
    """Heads that a back edge has made ready, and heads of the loops that are under way."""
    active: set[str] = field(default_factory=set)
    """Steps that have taken their tokens and not ended."""
    held: set[str] = field(default_factory=set)
    left: set[str] = field(default_factory=set)
    """Heads of loops that will begin again, and of loops that are over, once it is quiet there."""
    lost: set[str] = field(default_factory=set)
    """Joins that have fired and cancel what is still under way for their sake."""

    def tokens(self) -> dict[str, str]:
        """Every waiting token by its place ``source>step``, for people and for hashing."""
        return {
            f"{source}>{step}": "live" if live else "dead"
            for step, tokens in sorted(self.waiting.items())
            for source, live in sorted(tokens.items())
        }

    def text(self) -> str:
        """The waiting tokens and the steps that may fire, as they go into a run's trace."""
        waiting = sorted(self.waiting.items()) if self.waiting else ()
        tokens = [
            f"{source}>{step}={'live' if live else 'dead'}"
            for step, tokens in waiting
            for source, live in sorted(tokens.items())
        ]
        return f"{','.join(tokens)}|{','.join(self.ready)}"

    def begun(self, step: str) -> bool:
        """Whether a live token waits for the step to be able to fire."""
        may = step in self.ready or step in self.starved or step in self.fired
        return not may and any(self.waiting.get(step, {}).values())

    def is_in_round(self, head: str) -> bool:
        """Whether a loop's end sends the dead tokens of its exits, or has sent them."""
        return head in self.looping or head in self.left

    def is_quiet(self, steps: frozenset[str], head: str = "") -> bool:
        """Whether none of the steps runs or has a token, less those that come to the head."""
        if not (steps.isdisjoint(self.active) and steps.isdisjoint(self.ready)):
            return False
        waits = (name for name in self.waiting if name != head)
        return steps.isdisjoint(self.starved) and steps.isdisjoint(waits)

    def forget(self, step: str) -> None:
        """Take from a step that it may fire."""
        for steps in (self.ready, self.starved):
            if step in steps:
                steps.remove(step)
        self.again.discard(step)


@dataclass(slots=True)
class Moved:
    """What a step's tokens did: steps that are skipped, loops that begin again."""

    skipped: list[str] = field(default_factory=list)
    again: list[Loop] = field(default_factory=list)
