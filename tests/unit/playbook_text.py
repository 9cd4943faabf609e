"""Playbooks as text for tests: a head that every one has, and one that has nearly every key."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent

import pytest

from runtime.playbook.parse import PlaybookFault, PlaybookFaults, parse

HEAD = "apiVersion: trimtab/v1\nkind: Playbook\nmetadata: {path: demo/p}\n"
BASE = (Path(__file__).parents[1] / "data" / "faults" / "base.yaml").read_text(encoding="utf-8")


def steps(text: str, before: str = "") -> str:
    """Return a playbook with these steps; they begin in line 5 when nothing stands before."""
    return HEAD + before + "workflow:\n" + indent(dedent(text).strip("\n"), "  ") + "\n"


def faults_of(text: str) -> list[PlaybookFault]:
    """Return what is wrong with a playbook; something has to be."""
    with pytest.raises(PlaybookFaults) as caught:
        parse(text)
    return caught.value.faults
