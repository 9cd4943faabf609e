"""The playbooks that ship with us, from a checkout or from the wheel.

In a checkout they stand in ``playbooks/`` beside the packages; the wheel carries a copy
in ``control_plane/_playbooks``. The checkout's come first: an editable install's copy
grows old.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from runtime.playbook.bundle import Bundle, load


def folder() -> Path:
    """Return the folder that holds the shipped playbooks."""
    here = Path(__file__).resolve().parent
    checkout = here.parent / "playbooks"
    return checkout if checkout.is_dir() else here / "_playbooks"


def shipped(part: str) -> Iterator[Bundle]:
    """Yield the shipped playbooks of one part, such as ``system``."""
    for path in sorted((folder() / part).glob("*.yaml")):
        yield load(path)
