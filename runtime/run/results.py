"""Results: what the batches of an `each` gave, in the order of their items, mostly packed.

A dict of a million small values would weigh more than all else in the server. So the
lowest of what has come are packed away, some hundreds at a time, as compressed JSON, and
unpacked a few at a time when the step is gathered.

>>> results = Results()
>>> for start in (2, 0, 1):
...     results.add(start, start * 10)
>>> len(results), list(results), list(results.and_also(3, "last"))
(3, [0, 10, 20], [0, 10, 20, 'last'])
"""

from __future__ import annotations

import heapq
import json
import zlib
from collections.abc import Iterator
from typing import Final

from runtime.run.events import Json

_PACK: Final = 512
"""How many results one pack holds."""
_QUICK: Final = 1


class Results:
    """Results by the first item of their batch."""

    __slots__ = ("_fresh", "_packs")

    def __init__(self) -> None:
        self._fresh: dict[int, Json] = {}
        self._packs: list[tuple[int, bytes]] = []
        """The first item of each pack, and its results as pairs."""

    def __len__(self) -> int:
        return len(self._fresh) + _PACK * len(self._packs)

    def __iter__(self) -> Iterator[Json]:
        """Every result, in the order of items."""
        heap = list(self._fresh.items())
        heapq.heapify(heap)  # starts differ, so values are never compared
        for first, pack in sorted(self._packs):
            while heap and heap[0][0] < first:
                yield heapq.heappop(heap)[1]
            for start, value in json.loads(zlib.decompress(pack)):
                heapq.heappush(heap, (start, value))
        while heap:
            yield heapq.heappop(heap)[1]

    def add(self, start: int, value: Json) -> None:
        """A batch that begins at item ``start`` gave this."""
        self._fresh[start] = value
        if len(self._fresh) >= 2 * _PACK:
            self._pack()

    def and_also(self, start: int, value: Json) -> Results:
        """These and one more; these stay as they are."""
        more = Results()
        more._packs, more._fresh = list(self._packs), {**self._fresh}
        more.add(start, value)
        return more

    def _pack(self) -> None:
        """Pack the lowest: what is still to come lies mostly above them."""
        lowest = sorted(self._fresh)[:_PACK]
        pairs = [[start, self._fresh.pop(start)] for start in lowest]
        text = json.dumps(pairs, separators=(",", ":")).encode()
        self._packs.append((lowest[0], zlib.compress(text, _QUICK)))
