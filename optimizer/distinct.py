"""Distinct: which names a long column holds and where, without sorting every row's text.

A column of the record is long, and its texts are few or stand in stretches: the rows of a run
follow each other. So texts are compared with their neighbours, and only what is left is sorted.

>>> names, place = distinct(np.array(["b", "b", "a", "b"]))
>>> names.tolist(), place.tolist()
(['a', 'b'], [1, 1, 0, 1])
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]


def distinct(column: Array) -> tuple[Array, Array]:
    """Return the texts in order, and the place of each row's among them, as `numpy.unique`."""
    fresh = np.r_[True, column[1:] != column[:-1]][: len(column)]
    names, place = np.unique(column[fresh], return_inverse=True)
    return names, place[np.cumsum(fresh) - 1]


def among(column: Array, other: Array) -> Array:
    """Return which rows' texts are found in another column."""
    names, place = distinct(column)
    return np.asarray(np.isin(names, distinct(other)[0])[place])


def texts(column: Array) -> Array:
    """Return a column of objects as texts, "" for what is null."""
    values = column.tolist()
    place = {name: code for code, name in enumerate(dict.fromkeys(values))}
    names = np.array(["" if name is None else str(name) for name in place], dtype=str)
    return np.asarray(names[np.fromiter(map(place.__getitem__, values), int, len(values))])


def pieces(run: Array, number: Array) -> Array:
    """Return a number for each piece of work, in the order of the texts ``run/number``.

    >>> pieces(np.array(["r", "r", "q", "r"]), np.array([10, 9, 1, 10])).tolist()
    [1, 2, 0, 1]
    """
    names, of_run = distinct(run)
    _, ranked = np.unique(np.char.add(names, "/"), return_inverse=True)
    numbers, of_number = np.unique(number, return_inverse=True)
    _, place = np.unique(numbers.astype(str), return_inverse=True)
    codes = ranked[of_run] * max(len(numbers), 1) + place[of_number]
    return np.asarray(np.unique(codes, return_inverse=True)[1])
