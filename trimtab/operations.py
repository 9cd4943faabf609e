"""Operations: schedules, workers, retention, and the server itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from trimtab.asking import Asking
from trimtab.faults import Json
from trimtab.paths import part

_PASS_S: Final = 3600.0


class Operations(Asking):
    """Schedules of a server, and itself."""

    def schedules(self) -> list[dict[str, Json]]:
        """List schedules with their next times."""
        return self._list("/api/schedules")

    def set_schedule(
        self, name: str, cron: str, playbook: str, *, zone: str = "UTC",
        workload: Mapping[str, Json] | None = None, enabled: bool = True,
        catch_up: str = "latest", overlap: str = "start",
    ) -> dict[str, Json]:  # fmt: skip
        """Make or change a schedule."""
        body = {
            "cron": cron, "playbook": playbook, "zone": zone, "workload": dict(workload or {}),
            "enabled": enabled, "catch_up": catch_up, "overlap": overlap,
        }  # fmt: skip
        return self._dict("PUT", f"/api/schedules/{part(name)}", json=body)

    def schedule(self, name: str, verb: str) -> dict[str, Json]:
        """Do ``pause``, ``resume`` or ``fire`` with a schedule."""
        return self._dict("POST", f"/api/schedules/{part(name)}/{verb}")

    def remove_schedule(self, name: str) -> None:
        """Remove a schedule."""
        self._ask("DELETE", f"/api/schedules/{part(name)}")

    def next_times(self, cron: str, zone: str = "UTC", count: int = 5) -> dict[str, Json]:
        """Say when cron text would fire."""
        params = {"cron": cron, "zone": zone, "count": count}
        return self._dict("GET", "/api/schedules/next", params=params)

    def jobs(self) -> list[dict[str, Json]]:
        """List what schedules fired, each with its run."""
        return self._list("/api/jobs")

    def workers(self) -> list[dict[str, Json]]:
        """List the worker processes."""
        return self._list("/api/workers")

    def status(self) -> dict[str, Json]:
        """Return what engine and recorder say of themselves."""
        return self._dict("GET", "/api/status")

    def collect(self, *, dry_run: bool = False) -> dict[str, Json]:
        """Collect what retention no longer holds, or with ``dry_run`` say what that would be."""
        return self._dict(
            "POST", "/api/retention/collect", params={"dry_run": dry_run}, timeout=_PASS_S
        )

    def me(self) -> dict[str, Json]:
        """Return whose key this is."""
        return self._dict("GET", "/api/me")

    def sign_in_link(self) -> str:
        """Return a link that signs a browser in, once."""
        return self.url + str(self._dict("POST", "/api/sign-in")["path"])
