"""What an answer cost, read from the answer itself: dollars, tokens, calls of a service.

A playbook says where they are, each as a number or as an expression over the answer::

    spend: {tokens: "{{ body.usage.total_tokens }}", usd: "{{ body.usage.cost }}", calls: 1}

Every answer that is no error counts, so each page of several; one whose amount is null costs
nothing. An amount that cannot be read fails the attempt: a cost that is not known must show.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, Protocol

from runtime.errors import Permanent
from runtime.playbook.expressions import Expressions
from runtime.playbook.faults import ExpressionFault

AMOUNTS: Final = ("usd", "tokens", "calls")


class Spender(Protocol):
    """Takes what was spent: an attempt's log."""

    def spend(self, usd: float = 0.0, *, tokens: int = 0, calls: int = 0) -> None: ...


class Charges:
    """Reads what answers cost, as a block of a playbook says."""

    def __init__(self, block: Any) -> None:
        if not isinstance(block, dict | None):
            raise Permanent("tool http: `spend` must be a map")
        self._block: dict[str, Any] = block or {}
        self._expressions = Expressions()

    def tell(self, answer: Mapping[str, Any], log: Spender) -> None:
        """Tell the log what an answer cost.

        Raises:
            Permanent: an amount is not in the answer, or is none.
        """
        if not self._block:
            return
        read = {name: self._read(name, answer) for name in AMOUNTS if name in self._block}
        log.spend(
            read.get("usd", 0.0), tokens=round(read.get("tokens", 0)),
            calls=round(read.get("calls", 0)),
        )  # fmt: skip

    def _read(self, name: str, answer: Mapping[str, Any]) -> float:
        said = self._block[name]
        try:
            value: Any = self._expressions.render(said, answer)
        except ExpressionFault as fault:
            told = f"{fault.message}; {fault.hint}" if fault.hint else fault.message
            raise Permanent(f"`spend.{name}` {said} of the answer: {told}") from fault
        amount = _number(value)
        if amount is None:
            raise Permanent(f"`spend.{name}` {said} gave {value!r}, which is no amount")
        return amount


def _number(value: Any) -> float | None:
    """Return an amount; null is nothing, and a service may write a number as text."""
    if value is None:
        return 0.0
    try:
        amount = float(value) if isinstance(value, int | float | str) else math.nan
    except ValueError:
        return None
    return amount if 0 <= amount < math.inf and not isinstance(value, bool) else None
