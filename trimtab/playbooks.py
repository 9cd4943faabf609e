"""Playbooks: what is registered, and how one gets there."""

from __future__ import annotations

from pathlib import Path

from trimtab.asking import Asking
from trimtab.faults import Json
from trimtab.paths import given, part


class Playbooks(Asking):
    """Playbooks of a server."""

    def playbooks(self) -> list[dict[str, Json]]:
        """List the newest version of each playbook."""
        return self._list("/api/playbooks")

    def playbook(self, path: str, version: str | None = None) -> dict[str, Json]:
        """Read a playbook with its steps and knobs."""
        return self._dict(
            "GET", f"/api/playbooks/{part(path, '/')}", params=given(version=version)
        )

    def register(self, file: str | Path) -> dict[str, Json]:
        """Register the playbook in a file, with the files beside it."""
        from runtime.playbook.bundle import load

        bundle = load(Path(file))
        body = {"source": bundle.source, "files": dict(bundle.files)}
        return self._dict("POST", "/api/playbooks", json=body)

    def clear(self, playbook: str, step: str, reason: str = "") -> int:
        """Let a step run again whose attempts killed their workers; says how many versions did."""
        body = {"playbook": playbook, "step": step, "reason": reason}
        return int(self._dict("POST", "/api/playbooks/clear", json=body)["cleared"])
