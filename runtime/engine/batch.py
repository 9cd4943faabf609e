"""What an expression of an ``each`` step knows of its batch: ``batch``, and ``item``.

``item`` is the one item of a batch of one. Items that travel by reference are opened by the
worker alone, so an expression cannot look at them; a function that takes ``items`` can.

>>> tried = Try("a", "s", 1, 1, 1, 0.0, "", 1, 1, 0, None, None, "")
>>> batch_names(tried, ["x", "y"])["item"]
'y'
"""

from __future__ import annotations

from typing import Any

from runtime.playbook.faults import ExpressionFault
from runtime.run.events import Json
from runtime.run.state import Try


class _Batch(dict[str, Any]):
    """Says why there is no ``item``, where there is none."""

    def __missing__(self, name: str) -> Any:
        if name != "item":
            raise KeyError(name)
        if self["batch"]["count"] != 1:
            why = f"this batch has {self['batch']['count']} items"
        else:
            why = "the items travel by reference"
        raise ExpressionFault(f"item is not known: {why}", hint="let the tool take items")


def batch_names(tried: Try, source: Json) -> dict[str, Json]:
    """Return what the try of a batch adds to the names of its run."""
    batch = {"index": tried.batch, "start": tried.start, "count": tried.items}
    names = _Batch(batch=batch)
    if tried.items == 1 and isinstance(source, list):
        names["item"] = source[tried.start]
    return names
