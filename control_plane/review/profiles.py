"""The policy profiles that ship with the control plane, and where they are read from."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Final

from control_plane.review.policy import Policy
from control_plane.review.policy_file import PolicyFaults, parse

PROFILES: Final = ("production", "demo")


def load(profile: str) -> Policy:
    """Return a profile by name, or the policy in a YAML file by its path.

    Raises:
        PolicyFaults: the text is no policy.
        FileNotFoundError: it is neither a profile's name nor a file.
    """
    if profile in PROFILES:
        text = (files(__package__) / "policies" / f"{profile}.yaml").read_text(encoding="utf-8")
    else:
        try:
            text = Path(profile).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise PolicyFaults(profile, ["the file must be UTF-8"]) from None
    return parse(text, name=profile)
