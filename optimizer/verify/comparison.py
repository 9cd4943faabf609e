"""A comparison: what is learned of one candidate beside the control, unit by unit.

Harm is watched in up to three ways with one e-value over them; the gain is estimated for
blocks and bet upon for pairs; of blocks there is also what share of the items failed for
good. It holds no rule: when a comparison is enough is `verification`'s.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from optimizer.sequential import ArmOdds, Difference, Gain, LogTime, SignBet, log_mean_exp


@dataclass(slots=True)
class Harm:
    """Three ways in which a candidate may harm, and one e-value over them: their mean."""

    failures: ArmOdds = field(default_factory=ArmOdds)
    time: LogTime = field(default_factory=LogTime)
    tail: ArmOdds | None = None
    log_e: float = 0.0
    log_e_max: float = 0.0

    def logs(self) -> dict[str, float]:
        """Return the log e-value of each kind of harm that is watched."""
        logs = {"failures": self.failures.log_e, "time": self.time.odds.log_e}
        if self.tail is not None:
            logs["tail"] = self.tail.log_e
        return logs

    def settle(self) -> None:
        """Combine the kinds after a unit came in."""
        self.log_e = log_mean_exp(list(self.logs().values()))
        self.log_e_max = max(self.log_e_max, self.log_e)

    def kind(self) -> str:
        """Name the kind with the most evidence."""
        logs = self.logs()
        return max(logs, key=lambda name: logs[name])


@dataclass(slots=True)
class Comparison:
    """One candidate against the control: everything that is learned about it."""

    harm: Harm
    gain: Gain = field(default_factory=Gain)
    priced: dict[float, Gain] = field(default_factory=dict)
    """The gain if failing for good lost so many times as much."""
    losses: Difference = field(default_factory=Difference)
    sign: SignBet = field(default_factory=SignBet)
    lost: SignBet = field(default_factory=SignBet)
    differences: list[float] = field(default_factory=list)
    harmful: str = ""
    in_stage: dict[int, int] = field(default_factory=dict)
