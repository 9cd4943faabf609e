"""The environment variables of a server that its workers see."""

from __future__ import annotations

from typing import Final

SECRET_PREFIX: Final = "TRIMTAB_SECRET_"  # noqa: S105 - where secrets are, not one
"""Environment variables of a worker that hold secrets; they go nowhere from there."""
SQL_FOLDERS: Final = "TRIMTAB_SQL_FOLDERS"
"""Environment variable: more folders that a query may read, listed as in PATH."""
