"""Which installation a command talks to: a data folder, and its server if one is up.

Commands that change things speak the API. When no server owns the folder they start one
on loopback for as long as they take, so that there is one way to do a thing. Reading
runs needs the journal alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from control_plane.cli.talk import Code, Refusal
from control_plane.settings import Scalar, Settings, Sources, load
from runtime.data.folder import DataFolder, read_json

if TYPE_CHECKING:
    from control_plane.cli.reading import RunsThere
    from control_plane.playbooks import Playbooks
    from control_plane.reviews import ReviewService
    from control_plane.runs import Runs
    from trimtab import Client


_URL: Final = "TRIMTAB_URL"
"""Names a server, whoever owns the folder here."""


@dataclass(frozen=True, slots=True)
class Here:
    """A data folder, as commands see it, and why it is this one."""

    folder: DataFolder
    why: str = ""

    def settings(self, **flags: Scalar | None) -> tuple[Settings, Sources]:
        """Return the settings in force, with these flags (``server_port=…``) on top."""
        named = {name.replace("_", ".", 1): value for name, value in flags.items()}
        return load(self.folder, os.environ, named)

    def server(self) -> str | None:
        """Return the address of the server that owns this folder, if it answers."""
        if given := os.environ.get(_URL):
            return given
        said = read_json(self.folder.server_json)
        return str(said["url"]) if said and _answers(str(said["url"])) else None

    def key(self, key_file: Path | None = None) -> str | None:
        """Return the key to use: the file's, ``TRIMTAB_KEY``, the folder's admin key."""
        if key_file is not None:
            return key_file.read_text(encoding="utf-8").strip()
        if given := os.environ.get("TRIMTAB_KEY"):
            return given
        try:
            return self.folder.admin_key.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return None

    @contextmanager
    def client(self, key_file: Path | None = None, *, record: bool = False) -> Iterator[Client]:
        """Give a client of the server here, or of one that lives as long as the command.

        With ``record``, a server started for the command has caught up with the journal;
        without, it starts no recorder, which reads what it lacks the next time.
        """
        from trimtab import Client

        url = self.server()
        if url is not None:
            with Client(url, self.key(key_file)) as client:
                yield client
            return
        from control_plane.cli.embedded import embedded

        without = {} if record else {"record_enabled": False}
        settings, sources = self.settings(server_port=0, **without)
        with (
            embedded(self.folder, settings, sources, record=record) as url,
            Client(url, self.key(key_file)) as client,
        ):
            yield client

    def runs(self) -> Runs | RunsThere:
        """Return the runs of the server that was named, or as the journal here holds them."""
        if url := os.environ.get(_URL):
            from control_plane.cli.reading import RunsThere

            return RunsThere(url, self.key())
        return self.runs_here()

    def runs_here(self) -> Runs:
        """Return the runs as the journal of this folder holds them."""
        from control_plane.runs import Runs
        from runtime.journal.sqlite import SqliteReader

        return Runs(SqliteReader.open(self._journal()))

    def playbooks(self) -> Playbooks:
        """Return the catalogue as the journal holds it."""
        from control_plane.playbooks import Playbooks, folded
        from runtime.journal.sqlite import SqliteReader

        return Playbooks(*folded(self.folder, SqliteReader.open(self._journal())))

    def reviews(self) -> ReviewService | None:
        """Return the proposals as the journal holds them; None before there is a journal."""
        from control_plane.clock import wall
        from control_plane.looking import look_on
        from control_plane.review.profiles import load as load_policy
        from runtime.journal.sqlite import SqliteReader

        if not self.folder.journal.exists():
            return None
        settings, _ = self.settings()
        policy = load_policy(settings.review.profile)
        return look_on(self.folder, SqliteReader.open(self.folder.journal), policy, wall)

    def _journal(self) -> Path:
        if not self.folder.journal.exists():
            raise Refusal(
                f"nothing has run in {self.folder.root} yet", command="trimtab playbook init",
                code=Code.NOT_FOUND,
            )  # fmt: skip
        return self.folder.journal


def _answers(url: str) -> bool:
    import urllib.error
    import urllib.request

    straight = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with straight.open(f"{url}/health/live", timeout=2.0) as answer:
            return b'"live"' in answer.read(1000)
    except (urllib.error.URLError, OSError):
        return False
