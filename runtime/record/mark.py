"""A mark: what one event says about one search point, and how marks of a point are merged.

A point is what its marks come to, in any cut and any number of times: the payload carries
up to where it has counted. Ids are hashes of what a point stands for, so all events that
say the same mark one point.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from runtime.run.events import Recorded

_SPACE: Final = uuid.UUID("6f1a2c1e-93b5-5d6e-8f57-7472696d7461")


@dataclass(frozen=True, slots=True)
class Mark:
    """What one event says about one point.

    ``payload`` holds what can be filtered by; ``kind``, ``text``, the counts and the way
    back to the journal are added when it is merged.
    """

    point: str
    kind: str
    text: str
    payload: dict[str, Any]
    writer: int
    pos: int
    at: float
    stream: str
    stream_seq: int


@lru_cache(maxsize=20_000)
def point_id(kind: str, *names: str) -> str:
    """Return the id of the point that stands for this."""
    return str(uuid.uuid5(_SPACE, "\x1f".join((kind, *names))))


def merge(payload: dict[str, Any] | None, marks: Iterable[Mark]) -> dict[str, Any]:
    """Return a point's payload after marks of it.

    A mark that was counted already changes nothing; marks of one writer come in order.
    """
    counted = dict(payload["counted"]) if payload else {}
    fresh = []
    for mark in marks:
        if counted.get(str(mark.writer), 0) < mark.pos:
            counted[str(mark.writer)] = mark.pos
            fresh.append(mark)
    if not fresh:
        return payload or {}
    times = [mark.at for mark in fresh]
    latest = _payload(max(fresh, key=lambda mark: (mark.writer, mark.pos)))
    count = len(fresh)
    if payload:
        times += [payload["first_at"], payload["last_at"]]
        count += payload["count"]
        latest = payload if payload["place"] > latest["place"] else latest
    return latest | {
        "count": count, "first_at": min(times), "last_at": max(times), "counted": counted,
    }  # fmt: skip


def _payload(mark: Mark) -> dict[str, Any]:
    return {
        "playbook": "", "step": "", "state": "", **mark.payload, "kind": mark.kind,
        "text": mark.text, "stream": mark.stream, "stream_seq": mark.stream_seq,
        "place": [mark.writer, mark.pos],
    }  # fmt: skip


def mark_of(r: Recorded, point: str, kind: str, text: str, **payload: Any) -> Mark:
    """Return the mark of an event; ``text`` is what the point says to people."""
    return Mark(point, kind, text.strip(), payload, r.writer, r.pos, r.at, r.stream, r.stream_seq)
