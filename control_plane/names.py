"""Whether our four import names are still ours.

``control_plane``, ``agents``, ``optimizer`` and ``runtime`` are ordinary words, and other
distributions use some of them (``openai-agents`` installs an ``agents``). Two installed
side by side overwrite each other in silence, so the command line asks here first.
"""

from __future__ import annotations

from importlib.metadata import packages_distributions
from importlib.util import find_spec
from typing import Final

NAMES: Final = ("control_plane", "agents", "optimizer", "runtime")


class NameTaken(Exception):
    """Another distribution has taken one of our import names."""

    def __init__(self, claims: dict[str, str]) -> None:
        told = "; ".join(f"`{name}` is claimed by {by}" for name, by in sorted(claims.items()))
        super().__init__(f"Trimtab's packages are mixed with others: {told}.")
        self.claims = claims
        self.hint = "install trimtab in a virtual environment of its own"


def shadowed_names() -> dict[str, str]:
    """Return each of our names that is imported from another place, and that place. Quick."""
    homes = {name: _home(name) for name in NAMES}
    return {name: home for name, home in homes.items() if home != homes["control_plane"]}


def foreign_names() -> dict[str, str]:
    """Return each of our names that something else claims, and what claims it.

    Slower than `shadowed_names`: it reads what every installed distribution brought.
    """
    owners = packages_distributions()
    claims = shadowed_names()
    for name in NAMES:
        others = sorted(set(owners.get(name, ())))
        if len(others) > 1:
            claims[name] = " and ".join(others)
    return claims


def check_names(*, thoroughly: bool = False) -> None:
    """Stop here when one of our names is not ours.

    Raises:
        NameTaken: with the names and what claims them.
    """
    claims = foreign_names() if thoroughly else shadowed_names()
    if claims:
        raise NameTaken(claims)


def _home(name: str) -> str:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        return "nowhere"
    return spec.origin.rsplit(name, 1)[0]
