"""Every command that a page tells somebody to type is one that the command line takes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from control_plane.cli.main import app
from control_plane.web.render import TEMPLATES

TOLD = re.compile(r"""'(trimtab [^'{]+)'|"(trimtab [^"{]+)"|[>`](trimtab [^<`{]+)""")


def told(file: Path) -> list[str]:
    found = TOLD.findall(file.read_text(encoding="utf-8"))
    return [part.strip() for one in found for part in "".join(one).split("&&")]


PAGES = [*TEMPLATES.rglob("*.html"), *TEMPLATES.parent.glob("*.py")]
COMMANDS = sorted({command for file in PAGES for command in told(file)})


def test_pages_tell_commands() -> None:
    assert len(COMMANDS) >= 8


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_on_a_page_can_be_typed(command: str) -> None:
    words = shlex.split(command)[1:]
    found: Any = typer.main.get_command(app)
    while words and words[0] in getattr(found, "commands", {}):
        found = found.commands[words.pop(0)]
    if hasattr(found, "commands"):
        found = found.commands["start"]  # `trimtab run FILE` leaves the word out
    try:
        found.make_context(found.name, [*words])
    except Exception as fault:
        # On a page an id follows, or the value of the last option.
        if "Missing parameter" not in str(fault) and not _is_open(words, str(fault)):
            pytest.fail(f"{command}: {fault}")


def _is_open(words: list[str], fault: str) -> bool:
    return bool(words) and fault == f"Option '{words[-1]}' requires an argument."
