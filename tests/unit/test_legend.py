"""A drawing of a playbook says how its joins wait, and where a deadline leads."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from control_plane.cli.main import app
from control_plane.web.picture import StepView, draw, lay_out, shape_of
from control_plane.web.step_states import step_states
from control_plane.web.story import tell
from runtime.net.legend import Drawn, arcs_of, join_words
from runtime.playbook.model import Arc, Join, Playbook, Step
from runtime.run.events import Fault, Recorded, RunStarted, RunSubmitted, StepRouted

TEXT = """
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: t/quotes}
workflow:
  - step: ask
    next: [north, south]
  - step: north
    next: choose
  - step: south
    next:
      - {to: choose, when: "true"}
      - {to: mend, on: [no_route]}
  - step: mend
  - step: choose
    join: {at_least: 2, within: 1h30m, at_deadline: guess, losers: cancel}
  - step: guess
"""
LATE = Playbook(
    "p",
    (
        Step("a", arcs=(Arc("b"), Arc("c"))),
        Step("b", arcs=(Arc("j"),)),
        Step("c", arcs=(Arc("j"),)),
        Step("j", arcs=(Arc("end"),), join=Join("any", within_s=0.25, at_deadline="mend",
                                                losers="cancel")),
        Step("end"),
        Step("mend"),
    ),
)  # fmt: skip


@pytest.mark.parametrize(
    ("join", "words"),
    [
        (Join(), ""),
        (Join("any"), "any"),
        (Join("at_least", 3, losers="cancel"), "at least 3, cancels losers"),
        (Join(within_s=90.0, at_deadline="fire"), "1m30s, then fires"),
        (Join("any", within_s=172_800.5), "any, 2d500ms, then fails"),
        (Join(within_s=5.0, at_deadline="mend"), ""),
    ],
)
def test_a_join_is_told_in_a_few_words(join: Join, words: str) -> None:
    assert join_words(join) == words


def test_the_way_of_a_deadline_is_an_arc_too() -> None:
    assert list(arcs_of(LATE.step("j"))) == [Drawn("end"), Drawn("mend", "late: 250ms", late=True)]


def test_the_diagram_shows_joins_and_deadlines(tmp_path: Path) -> None:
    file = tmp_path / "quotes.yaml"
    file.write_text(TEXT)
    told = CliRunner().invoke(app, ["playbook", "graph", str(file)])
    assert told.exit_code == 0, told.output
    lines = [line.strip() for line in told.output.splitlines()]
    assert 'choose["choose<br/>routes<br/>at least 2, cancels losers"]' in lines
    assert 'choose -.->|"late: 1h30m"| guess' in lines
    assert 'south -->|"on no_route"| mend' in lines
    assert "ask --> north" in lines


@pytest.mark.parametrize("engine", ["graphviz", "layered"])
def test_the_picture_shows_joins_and_deadlines(engine: str) -> None:
    svg = draw(LATE, {"j": StepView("caught", arcs=("mend",))}, engine)
    assert "late: 250ms" in svg
    assert "any, cancels losers" in svg
    assert "place between j and mend: a token" in svg
    assert "mend" in {name for name, _ in shape_of(LATE).sizes}
    assert lay_out(shape_of(LATE), engine).centres.keys() >= {"mend", "j"}


def test_what_a_deadline_did_not_lead_to_is_skipped_as_soon_as_that_is_known() -> None:
    events = [RunSubmitted("p", "v", 1, {}, "me"), RunStarted(), StepRouted("j", ["end"])]
    recorded = [Recorded(1, i, "run/r", i, 1.0, e) for i, e in enumerate(events, 1)]
    assert step_states(LATE, tell("r", recorded))["mend"] == "skipped"
    late = StepRouted("j", ["mend"], fault=Fault("timeout", "j waited"))
    recorded[-1] = Recorded(1, 3, "run/r", 3, 1.0, late)
    assert step_states(LATE, tell("r", recorded))["mend"] == "waiting"
