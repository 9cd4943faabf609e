"""The environment an attempt ran in, as one short hash.

Python's version and the names of the installed distributions, whose folders carry their
versions: reading folder names takes a fraction of a millisecond where reading the
metadata would take a hundred.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from functools import cache


@cache
def environment() -> str:
    """Sixteen hex characters, equal where Python and every distribution are equal."""
    return digest([platform.python_implementation(), platform.python_version(), *installed()])


def installed() -> list[str]:
    """``name-version`` of every distribution on the path, sorted."""
    found: set[str] = set()
    for folder in sys.path:
        try:
            names = os.listdir(folder or ".")
        except OSError:
            continue  # a path entry that is a zip file or is not there holds none
        found.update(n.removesuffix(".dist-info") for n in names if n.endswith(".dist-info"))
    return sorted(found)


def digest(parts: list[str]) -> str:
    """The hash of these parts, in order."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
