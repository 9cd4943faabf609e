"""The net of a playbook as a picture: steps are boxes, places are circles, tokens are dots.

A layout gives positions only: Graphviz where it is installed, else a plain layered
drawing of our own. What is drawn from it is the same: an SVG whose boxes carry a sign
and a word for their state beside the colour. Layouts are kept per shape of net, so a
live run only pays for the drawing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeAlias

from control_plane.web.svg import clip, label, tag, text
from control_plane.web.words import sign, state_word
from runtime.net.legend import Drawn, arcs_of, join_words
from runtime.playbook.model import Playbook, Step

Point: TypeAlias = tuple[float, float]
Size: TypeAlias = tuple[float, float]
Link: TypeAlias = tuple[str, str]

BOX_HEIGHT: Final = 58.0
CIRCLE: Final = 9.0
MARGIN: Final = 16.0
LAYER_GAP: Final = 34.0
ROW_GAP: Final = 26.0
START: Final = "@start"
END: Final = "@end"


@dataclass(frozen=True, slots=True)
class Shape:
    """What is laid out: boxes and circles with their sizes, and the links between them."""

    sizes: tuple[tuple[str, Size], ...]
    links: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything is: centres of nodes, and the points that each link passes."""

    width: float
    height: float
    centres: Mapping[str, Point]
    paths: Mapping[Link, tuple[Point, ...]]
    curved: bool


@dataclass(frozen=True, slots=True)
class StepView:
    """What the picture says about one step: its state and a line of detail."""

    state: str = "waiting"
    detail: str = ""
    share: float | None = None
    arcs: tuple[str, ...] | None = None


def draw(playbook: Playbook, views: Mapping[str, StepView], engine: str | None = None) -> str:
    """Return the picture. ``engine`` is ``graphviz`` or ``layered``; None takes the best."""
    layout = lay_out(shape_of(playbook), engine)
    parts = [_links(layout), *_places(playbook, views, layout)]
    parts += [
        _box(s, views.get(s.name, StepView()), layout.centres[s.name]) for s in playbook.steps
    ]
    box = f"0 0 {layout.width + 2 * MARGIN:.0f} {layout.height + 2 * MARGIN:.0f}"
    inner = tag("g", {"transform": f"translate({MARGIN:g} {MARGIN:g})"}, *parts)
    about = {
        "class": "net", "viewBox": box, "width": round(layout.width + 2 * MARGIN),
        "height": round(layout.height + 2 * MARGIN), "role": "img",
        "aria-label": _alt(playbook, views),
    }  # fmt: skip
    return tag("svg", about, _arrow(), inner)


def shape_of(playbook: Playbook) -> Shape:
    """Return the net's shape: a circle on every arc, one before all and one after each end."""
    sizes: list[tuple[str, Size]] = [(START, (2 * CIRCLE, 2 * CIRCLE))]
    links: list[Link] = [(START, playbook.steps[0].name)]
    for step in playbook.steps:
        sizes.append((step.name, (_box_width(step.name), BOX_HEIGHT)))
        for arc in arcs_of(step):
            place = place_of(step.name, arc)
            sizes.append((place, _place_size(arc)))
            links += [(step.name, place), (place, arc.to)]
        if not step.arcs:
            sizes.append((END + step.name, (2 * CIRCLE, 2 * CIRCLE)))
            links.append((step.name, END + step.name))
    return Shape(tuple(sizes), tuple(links))


def place_of(source: str, arc: Drawn) -> str:
    """Return the name of the place on an arc. Two arcs may lead to the same step."""
    return f"@{source}>{arc.to}>{arc.words}"


def lay_out(shape: Shape, engine: str | None = None) -> Layout:
    """Return positions by the named engine, or by the best there is."""
    if engine == "layered" or (engine is None and not has_graphviz()):
        return layered(shape)
    return graphviz(shape)


@lru_cache(maxsize=1)
def has_graphviz() -> bool:
    """Whether pygraphviz, whose wheels carry Graphviz, can be imported here."""
    try:
        import pygraphviz  # noqa: F401 - only whether it is there
    except ImportError:
        return False
    return True


# ---- Graphviz ---------------------------------------------------------------------------


@lru_cache(maxsize=256)
def graphviz(shape: Shape) -> Layout:
    """Let Graphviz's ``dot`` place the nodes, left to right."""
    import pygraphviz

    graph = pygraphviz.AGraph(
        directed=True, strict=False, rankdir="LR", nodesep=".2", ranksep=".3"
    )
    names = {name: f"n{i}" for i, (name, _) in enumerate(shape.sizes)}
    for name, (width, height) in shape.sizes:
        kind = {"shape": "box", "fixedsize": "true", "label": ""}
        graph.add_node(names[name], width=width / 72, height=height / 72, **kind)
    for source, target in shape.links:
        graph.add_edge(names[source], names[target])
    graph.layout("dot")
    return _from_graphviz(graph, shape, names)


def _from_graphviz(graph: Any, shape: Shape, names: Mapping[str, str]) -> Layout:
    left, bottom, right, top = (float(v) for v in graph.graph_attr["bb"].split(","))
    centres = {}
    for name, _ in shape.sizes:
        x, y = (float(v) for v in graph.get_node(names[name]).attr["pos"].split(","))
        centres[name] = (x - left, top - y)
    paths = {}
    for source, target in shape.links:
        written = graph.get_edge(names[source], names[target]).attr["pos"]
        paths[source, target] = tuple((x - left, top - y) for x, y in _spline(written))
    return Layout(right - left, top - bottom, centres, paths, curved=True)


def _spline(written: str) -> list[Point]:
    """Read Graphviz's ``e,x,y x,y …``: control points, with the arrow's tip put last."""
    tip: list[Point] = []
    points: list[Point] = []
    for part in written.replace("\\\n", "").split():
        numbers = part.split(",")
        point = (float(numbers[-2]), float(numbers[-1]))
        (tip if numbers[0] == "e" else points).append(point)
    return points + tip


# ---- a plain layered drawing ------------------------------------------------------------


@lru_cache(maxsize=256)
def layered(shape: Shape) -> Layout:
    """Place nodes in columns by their longest way from the start; back edges do not count."""
    columns = _columns(shape)
    sizes = dict(shape.sizes)
    heights = [sum(sizes[n][1] + ROW_GAP for n in column) - ROW_GAP for column in columns]
    height, x, centres = max(heights), 0.0, {}
    for column, tall in zip(columns, heights, strict=True):
        width, y = max(sizes[n][0] for n in column), (height - tall) / 2
        for name in column:
            centres[name] = (x + width / 2, y + sizes[name][1] / 2)
            y += sizes[name][1] + ROW_GAP
        x += width + LAYER_GAP
    paths = {link: _straight(link, centres, sizes) for link in shape.links}
    return Layout(x - LAYER_GAP, height, centres, paths, curved=False)


def _columns(shape: Shape) -> list[list[str]]:
    names = [name for name, _ in shape.sizes]
    onward: dict[str, list[str]] = {name: [] for name in names}
    for source, target in _forward(shape):
        onward[source].append(target)
    depth = dict.fromkeys(names, 0)
    for name in _in_order(names, onward):
        for target in onward[name]:
            depth[target] = max(depth[target], depth[name] + 1)
    columns: list[list[str]] = [[] for _ in range(max(depth.values()) + 1)]
    for name in names:
        columns[depth[name]].append(name)
    return _sorted_by_neighbours([c for c in columns if c], onward)


def _forward(shape: Shape) -> list[Link]:
    """Return the links less those that close a circle, found depth first."""
    onward: dict[str, list[str]] = {name: [] for name, _ in shape.sizes}
    for source, target in shape.links:
        onward[source].append(target)
    done: set[str] = set()
    kept: list[Link] = []
    for root in onward:
        path: list[tuple[str, int]] = [(root, 0)] if root not in done else []
        above = {root}
        while path:
            name, i = path.pop()
            if i < len(onward[name]):
                path.append((name, i + 1))
                target = onward[name][i]
                if target in above:
                    continue
                kept.append((name, target))
                if target not in done:
                    path.append((target, 0))
                    above.add(target)
            else:
                done.add(name)
                above.discard(name)
    return kept


def _in_order(names: Sequence[str], onward: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the names so that every link leads onward."""
    waiting = dict.fromkeys(names, 0)
    for targets in onward.values():
        for target in targets:
            waiting[target] += 1
    ready = [name for name in names if not waiting[name]]
    for name in ready:
        for target in onward[name]:
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    return ready


def _sorted_by_neighbours(
    columns: list[list[str]], onward: Mapping[str, Sequence[str]]
) -> list[list[str]]:
    """Order each column by the mean place of what leads to it, so that fewer links cross."""
    place: dict[str, float] = {}
    for column in columns:
        for name in column:
            above = [place[s] for s, targets in onward.items() if name in targets and s in place]
            place[name] = sum(above) / len(above) if above else 0.0
        column.sort(key=lambda name: place[name])
        for i, name in enumerate(column):
            place[name] = i - (len(column) - 1) / 2
    return columns


def _straight(
    link: Link, centres: Mapping[str, Point], sizes: Mapping[str, Size]
) -> tuple[Point, ...]:
    (ax, ay), (bx, by) = centres[link[0]], centres[link[1]]
    forward = bx > ax
    start = (ax + sizes[link[0]][0] / 2 * (1 if forward else -1), ay)
    end = (bx - sizes[link[1]][0] / 2 * (1 if forward else -1), by)
    return start, end


# ---- drawing ----------------------------------------------------------------------------


def _box_width(name: str) -> float:
    return max(132.0, 7.6 * len(clip(name, 26)) + 26)


def _place_size(arc: Drawn) -> Size:
    words = clip(arc.words, 22)
    if not words:
        return 2 * CIRCLE, 2 * CIRCLE
    return max(2 * CIRCLE, 6.0 * len(words)), 2 * CIRCLE + 28


def _arrow() -> str:
    head = tag("path", {"d": "M0 0L8 4L0 8z"})
    about = {"id": "arrow", "viewBox": "0 0 8 8", "refX": 7, "refY": 4, "markerWidth": 7,
             "markerHeight": 7, "orient": "auto"}  # fmt: skip
    return tag("defs", {}, tag("marker", about, head))


def _links(layout: Layout) -> str:
    return "".join(
        tag(
            "path",
            {"class": "arc", "d": _path(points, layout.curved), "marker-end": "url(#arrow)"},
        )
        for points in (_trimmed(link, layout) for link in layout.paths)
    )


def _trimmed(link: Link, layout: Layout) -> tuple[Point, ...]:
    """Return a link's points, led to the rim of a circle rather than of its label's space."""
    points = list(layout.paths[link])
    for name, end, before in ((link[0], 0, 1), (link[1], -1, -2)):
        if name.startswith("@"):
            points[end] = _rim(layout.centres[name], points[before])
    return tuple(points)


def _rim(centre: Point, towards: Point) -> Point:
    dx, dy = towards[0] - centre[0], towards[1] - centre[1]
    length = math.hypot(dx, dy) or 1.0
    reach = CIRCLE + 1
    return centre[0] + dx / length * reach, centre[1] + dy / length * reach


def _path(points: tuple[Point, ...], curved: bool) -> str:
    first, *rest = [f"{x:.1f} {y:.1f}" for x, y in points]
    if not curved or len(rest) < 3:
        return f"M{first}" + "".join(f"L{p}" for p in rest)
    whole = len(rest) - len(rest) % 3
    return f"M{first}C" + " ".join(rest[:whole]) + "".join(f"L{p}" for p in rest[whole:])


def _places(playbook: Playbook, views: Mapping[str, StepView], layout: Layout) -> list[str]:
    first = playbook.steps[0].name
    begun = views.get(first, StepView()).state != "waiting"
    out = [
        _place(layout.centres[START], "start", "", token=bool(views) and not begun, taken=begun)
    ]
    for step in playbook.steps:
        view = views.get(step.name, StepView())
        for arc in arcs_of(step):
            taken = view.arcs is not None and arc.to in view.arcs
            token = taken and views.get(arc.to, StepView()).state == "waiting"
            name = f"between {step.name} and {arc.to}"
            centre = layout.centres[place_of(step.name, arc)]
            out.append(_place(centre, name, clip(arc.words, 22), token=token, taken=taken))
        if not step.arcs:
            done = view.state == "succeeded"
            out.append(_place(layout.centres[END + step.name], "end", "", token=done, taken=done))
    return out


def _place(centre: Point, name: str, words: str, *, token: bool, taken: bool) -> str:
    x, y = centre
    kind = "place taken" if taken else "place"
    parts = [tag("title", {}, text(f"place {name}: {'a token' if token else 'no token'}"))]
    parts.append(tag("circle", {"cx": x, "cy": y, "r": CIRCLE}))
    if token:
        parts.append(tag("circle", {"cx": x, "cy": y, "r": 4, "class": "token"}))
    if words:
        parts.append(label(words, x, y + CIRCLE + 13, "when"))
    return tag("g", {"class": kind}, *parts)


def _box(step: Step, view: StepView, centre: Point) -> str:
    width = _box_width(step.name)
    left, top = centre[0] - width / 2, centre[1] - BOX_HEIGHT / 2
    says = f"{step.name}: {state_word(view.state)}" + (f", {view.detail}" if view.detail else "")
    frame = {"x": left, "y": top, "width": width, "height": BOX_HEIGHT, "rx": 6}
    waits = join_words(step.join)
    says += f"; joins: {waits}" if waits else ""
    parts = [tag("title", {}, text(says)), tag("rect", {**frame, "class": "box"})]
    if waits:
        parts.append(label(clip(waits, 30), centre[0], top - 5, "when"))
    if view.share is not None:
        done = {**frame, "y": top + BOX_HEIGHT - 5, "height": 5, "rx": 2}
        parts.append(tag("rect", {**done, "class": "rail"}))
        parts.append(tag("rect", {**done, "width": width * min(1.0, view.share), "class": "done"}))
    parts.append(label(clip(step.name, 26), centre[0], top + 19, "name"))
    word = state_word(view.state) if view.state != "waiting" else _kind(step)
    parts.append(label(f"{sign(view.state)} {word}", centre[0], top + 34, "word"))
    parts.append(label(clip(view.detail, 24), centre[0], top + 48, "detail"))
    return tag("g", {"class": f"step is-{view.state}", "id": f"net-{step.name}"}, *parts)


def _kind(step: Step) -> str:
    kind = str(step.tool["kind"]) if step.tool else "routes"
    return f"{kind}, each" if step.each else kind


def _alt(playbook: Playbook, views: Mapping[str, StepView]) -> str:
    said = [
        f"{s.name} {state_word(views[s.name].state)}" for s in playbook.steps if s.name in views
    ]
    return f"Net of {playbook.path}: " + (
        "; ".join(said) if said else f"{len(playbook.steps)} steps"
    )
