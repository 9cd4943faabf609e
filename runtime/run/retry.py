"""Retry: given how a try ended, when to try again, or never.

Delays grow as the policy says and are spread by full jitter (AWS Architecture Blog,
"Exponential Backoff And Jitter"); a server's Retry-After is a floor under them. A lost
worker is not the work's fault: it does not count as a try, but a piece of work at which
`MAX_LOSSES` workers died in a row is poison and fails.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from runtime.playbook.model import Effect, Retry
from runtime.run.events import Fault, Json

MAX_LOSSES: Final = 5
_LOST_WAIT_S: Final = 0.05


def delay_s(policy: Retry, tries: int, fault: Fault, chance: float) -> float:
    """Return the seconds before the next try, after ``tries`` tries; ``chance`` is in [0, 1).

    >>> policy = Retry(attempts=4, initial_s=1.0, max_s=10.0)
    >>> [delay_s(policy, n, Fault("transient", ""), 0.999) // 1 for n in (1, 2, 3, 9)]
    [0.0, 1.0, 3.0, 9.0]
    >>> delay_s(policy, 1, Fault("throttled", "", retry_after_s=2.0), 0.0)
    2.0
    """
    grown = {
        "constant": policy.initial_s,
        "linear": policy.initial_s * tries,
        "exponential": policy.initial_s * 2.0 ** min(tries - 1, 30),
    }[policy.backoff]
    backoff = min(grown, policy.max_s)
    spread = backoff * chance if policy.jitter == "full" else backoff
    if fault.retry_after_s is not None:
        return fault.retry_after_s + (spread if policy.jitter == "full" else 0.0)
    return spread


def in_force(policy: Retry, values: Mapping[str, Json]) -> Retry:
    """Return the policy with the values that its knobs have in a configuration.

    A configuration from before there was such a knob leaves the author's value.

    >>> in_force(Retry(), {"retry.on": ["throttled"], "retry.initial": 5.0}).on
    ('throttled',)
    """
    on, initial = values.get("retry.on"), values.get("retry.initial")
    if on is None and initial is None:
        return policy
    first = policy.initial_s if initial is None else float(initial)
    return replace(
        policy, on=policy.on if on is None else tuple(on), initial_s=first,
        max_s=max(policy.max_s, first),
    )  # fmt: skip


def budget_in_force(policy: Retry, values: Mapping[str, Json]) -> float | None:
    """Return the share of first tries that may be tried again, with a knob's value; None for all.

    >>> budget_in_force(Retry(budget=0.1), {}), budget_in_force(Retry(), {"retry.budget": 0.2})
    (0.1, 0.2)
    """
    share = values.get("retry.budget", policy.budget)
    return None if share is None else float(share)


def next_try_at(
    policy: Retry, effect: Effect, *, attempts: int, number: int, losses: int, deaths: int,
    outcome: str, fault: Fault, leased: bool, at: float, chance: float,
) -> float | None:  # fmt: skip
    """Return when to try again (seconds since the epoch), or None for never.

    ``attempts`` is the limit in force, ``number`` the try that ended, ``losses`` how many
    tries were lost before it, ``deaths`` how many of those with a worker that died.
    """
    if outcome == "lost":
        if effect == "once" and leased:
            return None
        return at + _LOST_WAIT_S * deaths if deaths < MAX_LOSSES else None
    if effect == "once" and fault.cls in ("timeout", "unknown"):
        return None
    counted = number - losses
    if fault.cls not in policy.on or counted >= attempts:
        return None
    return at + delay_s(policy, counted, fault, chance)
