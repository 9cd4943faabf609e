"""The net's picture: both layouts place every node, and the drawing says states in words."""

from __future__ import annotations

import re

import pytest

from control_plane.web.picture import (
    END,
    StepView,
    draw,
    graphviz,
    has_graphviz,
    lay_out,
    layered,
    shape_of,
)
from runtime.playbook.model import Arc, Playbook, Step

DIAMOND = Playbook(
    "p",
    (
        Step("load", {"kind": "sql"}, (Arc("left"), Arc("right"))),
        Step("left", {"kind": "python"}, (Arc("join"),)),
        Step("right", None, (Arc("join"), Arc("mend", on=("data",)))),
        Step("mend", {"kind": "shell"}),
        Step("join", {"kind": "python"}),
    ),
)
LOOP = Playbook(
    "p",
    (
        Step("a", arcs=(Arc("b"),)),
        Step("b", arcs=(Arc("a", when="more"), Arc("c", otherwise=True)), split="exclusive"),
        Step("c"),
    ),
)


@pytest.mark.parametrize("engine", ["graphviz", "layered"])
@pytest.mark.parametrize("playbook", [DIAMOND, LOOP, Playbook("p", (Step("only"),))])
def test_every_node_has_a_place_of_its_own_inside_the_picture(
    engine: str, playbook: Playbook
) -> None:
    shape = shape_of(playbook)
    layout = lay_out(shape, engine)
    assert set(layout.centres) == {name for name, _ in shape.sizes}
    assert set(layout.paths) == set(shape.links)
    boxes = []
    for name, (width, height) in shape.sizes:
        x, y = layout.centres[name]
        boxes.append((x - width / 2, y - height / 2, x + width / 2, y + height / 2))
        assert -0.5 <= boxes[-1][0] <= boxes[-1][2] <= layout.width + 0.5
        assert -0.5 <= boxes[-1][1] <= boxes[-1][3] <= layout.height + 0.5
    for i, a in enumerate(boxes):
        for b in boxes[i + 1 :]:
            assert (
                a[2] <= b[0] + 0.5
                or b[2] <= a[0] + 0.5
                or a[3] <= b[1] + 0.5
                or b[3] <= a[1] + 0.5
            )


def test_graphviz_is_used_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = shape_of(DIAMOND)
    assert has_graphviz()
    assert lay_out(shape) == graphviz(shape)
    monkeypatch.setattr("control_plane.web.picture.has_graphviz", lambda: False)
    assert lay_out(shape) == layered(shape)


@pytest.mark.parametrize("engine", ["graphviz", "layered"])
def test_the_picture_says_states_in_words_and_holds_tokens(engine: str) -> None:
    views = {
        "load": StepView("succeeded", "1.2 s", None, ("left", "right")),
        "left": StepView("running", "", 0.5),
        "right": StepView("waiting"),
        "join": StepView("waiting"),
        "mend": StepView("waiting"),
    }
    svg = draw(DIAMOND, views, engine)
    assert "load: succeeded, 1.2 s" in svg
    assert "left: running" in svg
    assert svg.count('class="token"') == 1
    assert "style=" not in svg
    assert 'role="img"' in svg


def test_the_layered_drawing_leads_from_left_to_right_but_for_back_edges() -> None:
    layout = layered(shape_of(LOOP))
    x = {name: centre[0] for name, centre in layout.centres.items()}
    assert x["a"] < x["b"] < x["c"] < x[END + "c"]


def test_names_and_conditions_are_escaped() -> None:
    evil = Playbook("p", (Step("a", arcs=(Arc("b", when="x < '<b>'"),)), Step("b")))
    for engine in ("graphviz", "layered"):
        svg = draw(evil, {}, engine)
        assert "<b>" not in svg
        assert re.search(r"x &lt; ", svg)
