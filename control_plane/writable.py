"""Whether a file can be written where somebody named a place, asked before the work begins.

A place that cannot be written is theirs to mend, and hours of work that ends in it are lost.
"""

from __future__ import annotations

from pathlib import Path


def unwritable(file: Path) -> str:
    """Make the folders above a file and say what keeps it from being written; "" if nothing.

    >>> unwritable(Path("/"))
    'Is a directory'
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        known = file.exists()
        file.open("a").close()
        if not known:
            file.unlink()
    except FileExistsError:
        return "a folder above it is a file"
    except OSError as error:
        return error.strerror or str(error)
    return ""
