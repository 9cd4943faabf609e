"""The data folder: where one installation keeps everything, and who owns it.

::

    journal.db            the journal (SQLite), with its index of runs
    objects/              large values by their hash
    objects.json          where they lie instead, when that is elsewhere (0600)
    bundles/<hash>/       playbook code
    runs/<id>/            scratch space of a run
    products/             published data
    clickhouse/ qdrant/   the embedded engines' folders, owned by the recorder alone
    objects.db            which objects the journal refers to, made from it
    recorder.db           the recorder's cursor and batches
    keys.db               API keys (hashed), sign-in links
    schedule.db           schedules and the times they claimed, made from the journal
    trials.db             searches over several knobs at once
    admin.key             the first key (0600)
    tokens.json           the recorder's tokens (0600)
    settings.json         what this folder keeps
    server.json           pid and address of the live server
    recorder.json         pid and port of the recorder
    logs/                 what server and recorder say
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class FolderUnusable(Exception):
    """The data folder cannot be made or written."""


@dataclass(frozen=True, slots=True)
class DataFolder:
    """Names every path of a data folder; makes the folder on `prepare`."""

    root: Path

    def __post_init__(self) -> None:
        """Every process is given these paths, and each may be at another place in the tree."""
        object.__setattr__(self, "root", self.root.absolute())

    @property
    def journal(self) -> Path:
        return self.root / "journal.db"

    @property
    def objects(self) -> Path:
        return self.root / "objects"

    @property
    def marks(self) -> Path:
        return self.root / "objects.db"

    @property
    def scratch(self) -> Path:
        return self.root / "runs"

    @property
    def bundles(self) -> Path:
        return self.root / "bundles"

    @property
    def products(self) -> Path:
        return self.root / "products"

    @property
    def clickhouse(self) -> Path:
        return self.root / "clickhouse"

    @property
    def qdrant(self) -> Path:
        return self.root / "qdrant"

    @property
    def recorder_db(self) -> Path:
        return self.root / "recorder.db"

    @property
    def keys(self) -> Path:
        return self.root / "keys.db"

    @property
    def schedules(self) -> Path:
        return self.root / "schedule.db"

    @property
    def trials(self) -> Path:
        return self.root / "trials.db"

    @property
    def settings(self) -> Path:
        return self.root / "settings.json"

    @property
    def admin_key(self) -> Path:
        return self.root / "admin.key"

    @property
    def tokens(self) -> Path:
        return self.root / "tokens.json"

    @property
    def server_json(self) -> Path:
        return self.root / "server.json"

    @property
    def recorder_json(self) -> Path:
        return self.root / "recorder.json"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def lock(self) -> Path:
        return self.root / "owner.lock"

    @property
    def recorder_lock(self) -> Path:
        return self.root / "recorder.lock"

    def run(self, run: str) -> Path:
        """The scratch folder of a run."""
        return self.scratch / run

    def prepare(self) -> None:
        """Make the folders that everything else expects; safe to call again.

        Raises:
            FolderUnusable: they cannot be made there.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            for path in (self.objects, self.bundles, self.products, self.logs, self.scratch):
                path.mkdir(exist_ok=True)
        except OSError as error:
            raise FolderUnusable(
                f"{self.root} cannot be the data folder: {error.strerror} ({error.filename})"
            ) from error

    def sweep(self) -> None:
        """Remove what a crash of the owner left half written. Only for the next owner."""
        left = [*half_written(self.server_json), *half_written(self.admin_key)]
        for path in (*left, *self.products.glob("*/.*"), *self.bundles.glob(".*")):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def write_json(path: Path, value: Any, mode: int = 0o600) -> None:
    """Write a small JSON file so that a reader sees the old or the new one, never half."""
    write_bytes(path, json.dumps(value, indent=1, sort_keys=True).encode(), mode)


def write_bytes(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write a file atomically and durably, with these permissions from the start."""
    fd, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(fd, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def half_written(path: Path) -> list[Path]:
    """What `write_bytes` has left beside a file where it was killed."""
    return list(path.parent.glob(f".{path.name}.*"))


def read_json(path: Path) -> Any:
    """Return the content of a JSON file, or None when there is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
