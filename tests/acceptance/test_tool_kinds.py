"""A kind of tool that another distribution brings works as ours do, from the editor to the run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.playbook.kinds import others

ROOT = Path(__file__).parents[2]
THIRD_PARTY = ROOT / "tests" / "data" / "third_party"
PLAYBOOK = """\
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: t/shouting}
workload: {name: {type: string, default: ann}}
workflow:
  - step: call
    each: {in: "{{ [1, 2, 3] }}", batch: 1}
    tool: {kind: shout, text: "hello {{ workload.name }} {{ batch.index }}", times: 2}
"""


class Cli:
    """``trimtab`` as a process, with the other distribution on its path or without."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def __call__(self, *words: str, code: int = 0, installed: bool = True) -> str:
        path = os.pathsep.join(map(str, [ROOT, *([THIRD_PARTY] if installed else [])]))
        environ = {**os.environ, "PYTHONPATH": path, "TRIMTAB_DATA": str(self.home / "data")}
        program = "from control_plane.cli.main import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", program, *words], cwd=self.home, env=environ,
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    (tmp_path / "shouting.yaml").write_text(PLAYBOOK)
    return Cli(tmp_path)


def test_a_playbook_runs_it(cli: Cli) -> None:
    said = cli("run", "shouting.yaml", "--set", "name=bob")
    assert '"HELLO BOB 0! HELLO BOB 0!"' in said
    assert '"HELLO BOB 2! HELLO BOB 2!"' in said


@pytest.mark.parametrize(
    ("find", "put", "says"),
    [
        ("times: 2", "times: 11", "8:85: workflow[0].tool.times: times must be 1 to 10"),
        ("times: 2", "time: 2", "unknown key time"),
        ('text: "hello {{ workload.name }} {{ batch.index }}", ', "", "a shout tool needs text"),
        ("workload.name", "workload.nam", "nam"),
        ("kind: shout", "kind: shoot", "did you mean shout"),
    ],
)
def test_its_arguments_are_checked_at_their_place(
    cli: Cli, find: str, put: str, says: str
) -> None:
    (cli.home / "shouting.yaml").write_text(PLAYBOOK.replace(find, put))
    assert says in cli("playbook", "validate", "shouting.yaml", code=1)


def test_an_editor_completes_its_keys(cli: Cli) -> None:
    blocks = json.loads(cli("playbook", "schema"))["$defs"]["tool"]["allOf"]
    (shout,) = [b["then"] for b in blocks if b["if"]["properties"]["kind"]["const"] == "shout"]
    assert shout["properties"]["times"]["maximum"] == 10
    assert shout["required"] == ["kind", "text"]


def test_where_it_is_not_installed_its_name_is_unknown(cli: Cli) -> None:
    said = cli("playbook", "validate", "shouting.yaml", code=1, installed=False)
    assert "unknown tool kind 'shout'" in said


def test_what_cannot_be_read_without_it_is_listed_with_the_reason(cli: Cli) -> None:
    cli("run", "shouting.yaml")
    cli("playbook", "init")
    cli("run", "hello.yaml", installed=False)
    listed = json.loads(cli("playbook", "list", "-o", "json", installed=False))
    lines = {line["path"]: line for line in listed}
    assert (lines["hello"]["steps"] > 0, lines["hello"]["unreadable"]) == (True, "")
    assert "unknown tool kind 'shout'" in lines["t/shouting"]["unreadable"]
    assert "t/shouting" in cli("run", "list", installed=False)
    assert json.loads(cli("playbook", "list", "-o", "json"))[1]["unreadable"] == ""


def test_it_is_listed_shown_and_checked(cli: Cli) -> None:
    kinds = {row["kind"]: row["from"] for row in json.loads(cli("tool", "list", "-o", "json"))}
    assert (kinds["shout"], kinds["sql"]) == ("trimtab-shout", "trimtab")
    shown = json.loads(cli("tool", "show", "shout", "-o", "json"))
    assert (shown["raises"], shown["result"]) == (["permanent", "data"], {"type": "string"})
    assert "keeps what every kind promises" in cli("tool", "check", "shout")
    assert "there is no tool of kind 'shout'" in cli(
        "tool", "show", "shout", code=3, installed=False
    )


def test_a_broken_one_harms_nobody_who_does_not_name_it(cli: Cli, tmp_path: Path) -> None:
    broken = tmp_path / "broken-1.0.dist-info"
    broken.mkdir()
    (broken / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (broken / "entry_points.txt").write_text("[trimtab.tools]\nsnap = absent:Tool\nsql = a:B\n")
    (tmp_path / "snap.yaml").write_text(PLAYBOOK.replace("kind: shout", "kind: snap"))
    said = cli("playbook", "validate", "snap.yaml", code=1)  # the folder is on the path
    assert "tool snap (absent:Tool) cannot be loaded: No module named 'absent'" in said
    assert "cannot be loaded" in cli("tool", "check", "snap", code=1)
    assert "no tool of kind 'nope'" in cli("tool", "check", "nope", code=3)
    assert "sound" in cli("playbook", "validate", "shouting.yaml")
    assert json.loads(cli("playbook", "schema"))


def test_no_kind_of_ours_can_be_taken() -> None:
    assert not {"sql", "python", "wait"} & set(others())
