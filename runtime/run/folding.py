"""Folding: what the results of the batches of an `each` come to, without keeping them.

Batches end in any order, and what they come to does not depend on it: sums are exact, a
key of a merged mapping is the one of the latest item, and what has an order (a list, a
text) is put together in the order of items at the end.

>>> folded = Folded()
>>> for start, value in ((2, 0.1), (0, 0.2), (4, 0.3)):
...     folded.add(start, {"sum": {"add": value}, "all": {"append": value}})
>>> folded.value("sum", "add"), list(folded.value("all", "append"))
(0.6, [0.2, 0.1, 0.3])
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import chain
from typing import Final

from runtime.run.events import Json
from runtime.run.results import Results


@dataclass(slots=True)
class Fold:
    """What one name has come to so far. ``kind`` is the kind of its values, once known."""

    kind: str = ""
    total: Fraction = Fraction(0)
    whole: bool = True
    found: Json = None
    keys: dict[str, tuple[int, Json]] = field(default_factory=dict)
    """Of a merged mapping: each key with the first item of the batch it is from."""
    pieces: Results = field(default_factory=Results)

    def add(self, op: str, start: int, value: Json) -> None:
        """Take the value of the batch in that begins at an item."""
        self.kind = _kind(value) if op != "append" else "any"
        if op == "append" or (op == "add" and self.kind != "number"):
            self.pieces.add(start, value)
        elif op == "add":
            self.total += Fraction(value)
            self.whole = self.whole and isinstance(value, int)
        elif op == "merge":
            for key, new in value.items():
                if key not in self.keys or self.keys[key][0] <= start:
                    self.keys[key] = (start, new)
        elif self.found is None:
            self.found = value
        else:
            self.found = min(self.found, value) if op == "min" else max(self.found, value)

    def and_also(self, op: str, start: int, value: Json) -> Fold:
        """This and one more; this stays as it is."""
        if op == "append" or (op == "add" and _kind(value) != "number"):
            return replace(self, kind=_kind(value), pieces=self.pieces.and_also(start, value))
        more = replace(self, keys=dict(self.keys))
        more.add(op, start, value)
        return more

    def value(self, op: str) -> Json | Results:
        """What it has come to; what is appended is left as `Results`, which may be many."""
        if op == "append":
            return self.pieces
        if op == "merge":
            return {key: value for key, (_, value) in self.keys.items()}
        if op != "add":
            return self.found
        if self.kind == "number":
            return int(self.total) if self.whole else float(self.total)
        joined: Iterable[Json] = self.pieces
        return "".join(joined) if self.kind == "text" else list(chain.from_iterable(joined))


class Folded:
    """What the batches have come to so far, by the names of ``reduce``."""

    __slots__ = ("_folds",)

    def __init__(self) -> None:
        self._folds: dict[str, Fold] = {}

    def objection(self, folds: Mapping[str, Mapping[str, Json]]) -> str:
        """Why a batch's values do not go with what is there, or nothing when they do."""
        for name, fold in folds.items():
            ((op, value),) = fold.items()
            known = self._folds.get(name)
            if why := _objection(op, value, known.kind if known is not None else ""):
                return f"reduce {name}: {why}"
        return ""

    def add(self, start: int, folds: Mapping[str, Mapping[str, Json]]) -> None:
        """Take in the values of the batch that begins at an item."""
        for name, fold in folds.items():
            ((op, value),) = fold.items()
            self._folds.setdefault(name, Fold()).add(op, start, value)

    def and_also(self, start: int, folds: Mapping[str, Mapping[str, Json]]) -> Folded:
        """These and one batch more; these stay as they are."""
        more = Folded()
        more._folds = dict(self._folds)
        for name, fold in folds.items():
            ((op, value),) = fold.items()
            more._folds[name] = self._folds.get(name, Fold()).and_also(op, start, value)
        return more

    def value(self, name: str, op: str) -> Json | Results:
        """What a name has come to: null, or nothing of its kind, when no batch succeeded."""
        known = self._folds.get(name)
        if known is not None:
            return known.value(op)
        return Results() if op == "append" else {} if op == "merge" else None


_LARGEST: Final = 1e300
"""Numbers are smaller than this, so that no sum of them is infinite."""
_FIT: Final[dict[str, tuple[str, ...]]] = {
    "add": ("number", "text", "list"), "append": (), "merge": ("mapping",),
    "min": ("number", "text"), "max": ("number", "text"),
}  # fmt: skip
"""The kinds of values that a reducer takes; any kind when there are none."""


def _objection(op: str, value: Json, before: str) -> str:
    kind, fit = _kind(value), _FIT[op]
    if fit and kind not in fit:
        return f"{op} takes a {' or '.join(fit)}, and a batch gave {kind or 'no value'}"
    if fit and before and kind != before:
        return f"a batch gave a {kind}, where others gave a {before}"
    return ""


def _kind(value: Json) -> str:
    if isinstance(value, bool) or value is None:
        return "" if value is None else "true or false"
    if isinstance(value, int | float):
        return "number" if abs(value) < _LARGEST else "number that is too large"
    return "text" if isinstance(value, str) else "list" if isinstance(value, list) else "mapping"
