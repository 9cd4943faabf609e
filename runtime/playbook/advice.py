"""Advice: what the author of a sound playbook may want to think of. Nothing here is refused.

>>> from runtime.playbook.model import Playbook, Retry, Step
>>> many = Step("ask", {"kind": "http"}, retry=Retry(attempts=5))
>>> [one.message for one in advice(Playbook("a/b", (many,)))]
['in an outage these attempts make 5 times its load']
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from runtime.playbook.faults import PlaybookFault
from runtime.playbook.model import Playbook, Step

MANY: Final = 3
"""Attempts up to which an outage is left to bear its retries."""
TOGETHER: Final = frozenset({"transient", "timeout", "throttled"})
"""Classes of error of which all tries may fail at once."""


def advice(playbook: Playbook) -> list[PlaybookFault]:
    """Return what is worth a thought, each at its place, in the order of the text."""
    steps = (*playbook.steps, *playbook.finally_)
    return sorted(one for step in steps for one in _of(step))


def _of(step: Step) -> Iterator[PlaybookFault]:
    retry = step.retry
    if step.tool is None or retry.attempts <= MANY or retry.budget is not None:
        return
    if TOGETHER.isdisjoint(retry.on):
        return
    place = step.places.get("retry.attempts") or step.places.get("retry") or step.place
    message = f"in an outage these attempts make {retry.attempts} times its load"
    hint = "retry: {budget: 10%} lets a tenth of first tries be tried again"
    yield PlaybookFault(place.line, place.column, f"{step.name}.retry.attempts", message, hint)
