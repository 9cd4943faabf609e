"""What the command line refuses to ask, before it looks for a server."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from control_plane.cli.loop import _slo
from control_plane.cli.main import app
from control_plane.cli.output import Code, Refusal


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("search disk --hours 1 --since 2h", "give one of them"),
        ("search disk --since 1h --until 2h", "before 1h"),
        ("search disk --hours 1 --until 2h", "before the last hours begin"),
        ("trends --by label", "go together"),
        ("trends --label team", "go together"),
    ],
)
def test_a_question_that_contradicts_itself_is_refused_as_misused(words: str, said: str) -> None:
    told = CliRunner().invoke(app, words.split())
    assert told.exit_code == Code.USAGE
    assert said in " ".join(told.output.split())


def test_a_step_that_a_playbook_does_not_have_is_not_found() -> None:
    with pytest.raises(Refusal, match="it has fetch") as refused:
        _slo({"path": "etl/load", "steps": [{"name": "fetch"}]}, "clean")
    assert refused.value.code is Code.NOT_FOUND
