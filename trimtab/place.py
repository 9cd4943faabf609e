"""Where the server is that owns a data folder, and the key that opens it."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit


def is_here(url: str) -> bool:
    """Whether a server is on this machine: no proxy stands between, and none gets the key."""
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")


def server(data: str | Path | None) -> str | None:
    """Return the address of the server of a data folder, or None."""
    from runtime.data.folder import read_json

    said = os.environ.get("TRIMTAB_URL") or (read_json(_folder(data) / "server.json") or {}).get(
        "url"
    )
    return str(said) if said else None


def admin_key(data: str | Path | None) -> str | None:
    """Return the administrator's key of a data folder, where it may be read."""
    try:
        return (_folder(data) / "admin.key").read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None


def _folder(data: str | Path | None) -> Path:
    from control_plane.settings import find_folder

    return find_folder(Path(data) if data else None, os.environ, Path.cwd()).root
