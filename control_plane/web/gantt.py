"""When each step waited and ran, as one strip of SVG per step on a common time scale.

Waiting for a worker is a thin outlined bar, running is a full one, so that the two are
told apart without colour. Tries that overlap get lanes; where there are too many to see,
the strip shows how many were in flight over time instead. Strips stretch to the page's
width; texts stand beside them in the table, where they can be read and copied.

>>> lanes([(0, 2), (1, 3), (2, 4)])
[0, 1, 0]
>>> flight([(0, 2), (1, 3)])
[(0, 1), (1, 2), (2, 1), (3, 0)]
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from control_plane.web.step_story import Held, StepStory
from control_plane.web.story import RunStory
from control_plane.web.svg import tag, text
from control_plane.web.tries import Try
from control_plane.web.words import clock_time, seconds, state_word

Span: TypeAlias = tuple[float, float]

WIDE: Final = 1000.0
LANE: Final = 12.0
MOST_LANES: Final = 8
MOST_BARS: Final = 500
DENSE_HEIGHT: Final = 44.0


@dataclass(frozen=True, slots=True)
class Row:
    """One step's line: the strip and the words beside it."""

    step: str
    state: str
    strip: str
    length: str
    waited: str
    notes: str


@dataclass(frozen=True, slots=True)
class Gantt:
    """The whole picture: rows, and the marks of the time scale."""

    rows: tuple[Row, ...]
    marks: tuple[str, ...]


def draw(story: RunStory, now: float, order: Sequence[str] = ()) -> Gantt:
    """Return the rows of every step that began, in the order given, else as they began."""
    start = story.submitted_at
    total = max(story.seconds(now), 0.001)
    names = [n for n in order if n in story.steps]
    names += [n for n in story.steps if n not in names]
    rows = tuple(_row(story.steps[n], start, total, now) for n in names)
    return Gantt(rows, tuple(seconds(total * i / 4) if i else "0 s" for i in range(5)))


def _row(step: StepStory, start: float, total: float, now: float) -> Row:
    return Row(
        step.name, step.shown, _strip(step, start, total, now), seconds(step.seconds(now)),
        seconds(step.queue_s) if step.finished else "", _notes(step),
    )  # fmt: skip


def _notes(step: StepStory) -> str:
    said = [_hours(step.held)] if step.held is not None else []
    said += [f"{step.scheduled:,} tries"] if step.scheduled > 1 else []
    said += [f"{step.retried:,} tried again"] if step.retried else []
    over = f"{step.over_budget:,} not tried again, over the retry budget"
    said += [over] if step.over_budget else []
    said += [f"{step.lost:,} lost"] if step.lost else []
    said += [f"{step.failed:,} failed"] if step.failed else []
    return ", ".join(said)


def _hours(held: Held) -> str:
    """What a step waits for, or how long it has waited for its hours."""
    hours = f"(start.hours {held.hours} {held.zone})"
    if held.begun_at is None:
        return f"waits for {clock_time(held.due)} {hours}"
    return f"waited {seconds(held.begun_at - held.since)} {hours}"


def _held(held: Held, start: float, scale: float, now: float) -> str:
    """The wait for hours: a thin bar before all tries."""
    x, wide = (held.since - start) * scale, (held.until(now) - held.since) * scale
    said = tag("title", {}, text(_hours(held)))
    at = {"x": x, "y": LANE * 0.3, "width": max(wide, 1.2), "height": LANE * 0.4}
    return tag("g", {}, said, tag("rect", {"class": "queue", **at}))


def _strip(step: StepStory, start: float, total: float, now: float) -> str:
    scale = WIDE / total
    tries = list(step.tries)
    before = _held(step.held, start, scale, now) if step.held is not None else ""
    if not tries and before:
        return _frame(before, LANE + 4, f"{step.name}: {_notes(step)}")
    if not tries:
        return _frame(_moment(step, start, scale), LANE + 4, f"{step.name}: routed")
    lane_of = lanes([(t.scheduled_at, t.until(now)) for t in tries])
    used = max(lane_of) + 1
    if len(tries) > MOST_BARS or used > MOST_LANES:
        return _dense(step, tries, start, scale, now)
    tall = max(LANE, 20.0 / used) if used < 3 else LANE
    bars = [
        _bar(t, lane * tall, tall, start, scale, now)
        for t, lane in zip(tries, lane_of, strict=True)
    ]
    said = f"{step.name}: {state_word(step.state)}, {seconds(step.seconds(now))}"
    return _frame(before + "".join(bars), used * tall + 2, said)


def _moment(step: StepStory, start: float, scale: float) -> str:
    x = ((step.first_at or start) - start) * scale
    return tag("rect", {"class": "run", "x": min(x, WIDE - 4), "y": 2, "width": 4, "height": LANE})


def _bar(one: Try, y: float, tall: float, start: float, scale: float, now: float) -> str:
    from_x = (one.scheduled_at - start) * scale
    mid = one.started_at if one.started_at is not None else one.until(now)
    mid_x, to_x = (mid - start) * scale, (one.until(now) - start) * scale
    parts = [tag("title", {}, text(_says(one, now)))]
    if mid_x - from_x > 0.3:
        at = {"x": from_x, "y": y + tall * 0.3, "width": mid_x - from_x, "height": tall * 0.4}
        parts.append(tag("rect", {"class": "queue" if one.outcome else "flying", **at}))
    if one.started_at is not None:
        wide = max(to_x - mid_x, 1.2)
        at = {"x": min(mid_x, WIDE - wide), "y": y + 1, "width": wide, "height": tall - 2}
        parts.append(tag("rect", {"class": f"run{_kind(one)}", **at}))
    return tag("g", {}, *parts)


def _kind(one: Try) -> str:
    ended = " bad" if one.is_bad else " let-go" if one.let_go else ""
    return ended + (" candidate" if one.arm not in (None, "control") else "")


def _says(one: Try, now: float) -> str:
    what = f"batch {one.batch}, " if one.batch >= 0 else ""
    end = state_word(one.outcome) if one.outcome else "in flight"
    said = f"{what}try {one.number}: {end}, {seconds(one.until(now) - one.scheduled_at)}"
    if one.started_at is not None:
        said += f", waited {seconds(one.started_at - one.scheduled_at)}"
    if one.arm:
        said += f", arm {one.arm}"
    return said + (f"; {one.fault.cls}: {one.fault.message[:120]}" if one.fault else "")


def _dense(step: StepStory, tries: list[Try], start: float, scale: float, now: float) -> str:
    """How many tries were in flight over time, with a mark for each that failed."""
    steps = flight([(t.scheduled_at, t.until(now)) for t in tries])
    most = max(n for _, n in steps)
    unit = (DENSE_HEIGHT - 8) / most
    path, last = [f"M{(steps[0][0] - start) * scale:.1f} {DENSE_HEIGHT:g}"], 0.0
    for at, n in _thinned(steps, scale):
        path.append(f"H{(at - start) * scale:.1f}V{DENSE_HEIGHT - n * unit:.1f}")
        last = at
    path.append(f"H{(last - start) * scale:.1f}V{DENSE_HEIGHT:g}Z")
    bad = [t.until(now) for t in tries if t.is_bad]
    ticks = [
        tag(
            "rect",
            {"class": "run bad", "x": (at - start) * scale, "y": 0, "width": 2, "height": 6},
        )
        for at in bad[-MOST_BARS:]
    ]
    said = f"{step.name}: {len(tries):,} tries, at most {most} at once"
    return _frame(
        tag("path", {"class": "run", "d": "".join(path)}) + "".join(ticks), DENSE_HEIGHT, said
    )


def _thinned(steps: list[tuple[float, int]], scale: float) -> list[tuple[float, int]]:
    """Keep, of changes closer than a unit of the picture, the one with the most in flight."""
    kept: list[tuple[float, int]] = []
    for at, n in steps:
        if kept and (at - kept[-1][0]) * scale < 1.0:
            kept[-1] = (kept[-1][0], max(kept[-1][1], n))
        else:
            kept.append((at, n))
    return [*kept, (steps[-1][0], 0)]


def _frame(inner: str, height: float, says: str) -> str:
    about = {"class": "strip", "viewBox": f"0 0 {WIDE:g} {height:g}", "height": round(height),
             "preserveAspectRatio": "none", "role": "img", "aria-label": says}  # fmt: skip
    return tag("svg", about, inner)


def lanes(spans: Sequence[Span]) -> list[int]:
    """Give each span the lowest lane that is free when it begins. Spans come in order."""
    free: list[int] = []
    busy: list[tuple[float, int]] = []
    out = []
    for begin, end in spans:
        while busy and busy[0][0] <= begin:
            heapq.heappush(free, heapq.heappop(busy)[1])
        lane = heapq.heappop(free) if free else len(busy)
        heapq.heappush(busy, (end, lane))
        out.append(lane)
    return out


def flight(spans: Sequence[Span]) -> list[tuple[float, int]]:
    """Return how many spans were open from each moment of change on."""
    changes = sorted([(a, 1) for a, _ in spans] + [(b, -1) for _, b in spans])
    out: list[tuple[float, int]] = []
    open_now = 0
    for at, delta in changes:
        open_now += delta
        if out and out[-1][0] == at:
            out[-1] = (at, open_now)
        else:
            out.append((at, open_now))
    return out
