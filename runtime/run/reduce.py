"""Reducers: how a value set by several steps becomes one, whichever sets it first.

>>> combine("add", None, 2), combine("add", 40, 2)
(2, 42)
>>> combine("append", ["a"], "b"), combine("merge", {"x": 1}, {"y": 2})
(['a', 'b'], {'x': 1, 'y': 2})
>>> combine("min", 3, 2), combine("max", None, 2)
(2, 2)
"""

from __future__ import annotations

from runtime.run.events import Json


def combine(op: str, old: Json, new: Json) -> Json:
    """Return the new value of a key; ``old`` is None when nothing has been set.

    Raises:
        TypeError: the values do not go together.
    """
    if op == "append":
        return [*(old or []), new]
    if old is None:
        return new
    match op:
        case "add":
            return old + new
        case "merge":
            return {**old, **new}
        case "min":
            return min(old, new)
        case "max":
            return max(old, new)
    raise ValueError(f"no reducer is called {op}")
