"""Runs of the server that ``TRIMTAB_URL`` names, read as those of the journal here are.

The journal of this machine's folder needs no server; but who names one means its runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from control_plane.run_views import EventView, RunLine, RunView

if TYPE_CHECKING:
    from trimtab import Client

_SYSTEM = {False: "no", True: "yes", None: "all"}


class RunsThere:
    """Reads runs through the API."""

    def __init__(self, url: str, key: str | None) -> None:
        self._url, self._key = url, key

    @contextmanager
    def _client(self) -> Iterator[Client]:
        from trimtab import Client

        with Client(self._url, self._key) as client:
            yield client

    def page(
        self, *, state: str | None = None, playbook: str | None = None,
        system: bool | None = False, limit: int = 100,
    ) -> list[RunLine]:  # fmt: skip
        """Return runs, the newest first, in as many requests as the server wants."""
        filters = {"state": state, "playbook": playbook, "system": _SYSTEM[system]}
        found: list[RunLine] = []
        with self._client() as client:
            while len(found) < limit:
                before = found[-1].run if found else None
                page = client.runs(**filters, limit=limit - len(found), before=before)
                if not page:
                    break
                found += msgspec.convert(page, list[RunLine])
        return found

    def get(self, run: str) -> RunView:
        """Return a run with its steps, and how far it is."""
        with self._client() as client:
            return msgspec.convert(client.run(run), RunView)

    def events(self, run: str, after: int = 0) -> list[EventView]:
        """Return the events of a run past a sequence, in order."""
        with self._client() as client:
            return msgspec.convert(list(client.events(run, after)), list[EventView])
