"""Recalled: results that are dear to make, kept for as long as few others were asked since.

They are known by what they were made from, not by who asked: a search on a history that was
searched before, such as the same step's on the next day or with other noise, is set up at once.

>>> squares = Recalled(1)
>>> squares.of(b"3", lambda: 9), squares.of(b"3", lambda: 0), len(squares)
(9, 9, 1)
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
T = TypeVar("T")


class Recalled(Generic[T]):
    """The ``most`` results that were asked for last. Nobody may change them."""

    def __init__(self, most: int) -> None:
        self._most, self._kept = most, OrderedDict[bytes, T]()

    def __len__(self) -> int:
        return len(self._kept)

    def of(self, key: bytes, make: Callable[[], T]) -> T:
        """Return the result of that name, made when it is not there.

        Threads that ask for it side by side may make it twice; each gets the same.
        """
        found = self._kept.pop(key, None)
        result = make() if found is None else found
        self._kept[key] = result  # what was asked for last stands last
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return result


def name_of(arrays: Sequence[Array], *words: object) -> bytes:
    """Return a short name of what arrays and words hold, for `Recalled.of`."""
    digest = hashlib.sha256(repr(words).encode())
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.digest()
