"""Proposals: have them made, read them, decide on them."""

from __future__ import annotations

import time
from collections.abc import Mapping

from trimtab.asking import Asking
from trimtab.faults import Json
from trimtab.paths import given, part


class Proposals(Asking):
    """The loop of a server: its proposals and what leads to them."""

    def proposals(self, state: str | None = None) -> list[dict[str, Json]]:
        """List proposals, the newest first."""
        return self._list("/api/proposals", **given(state=state))

    def proposal(self, proposal: str) -> dict[str, Json]:
        """Read a proposal with its evidence and history."""
        return self._dict("GET", f"/api/proposals/{part(proposal)}")

    def propose(self, candidate: Mapping[str, Json]) -> dict[str, Json]:
        """Propose a change or an experiment."""
        return self._dict("POST", "/api/proposals", json=dict(candidate))

    def approve(self, proposal: str, bound_hash: str | None = None) -> dict[str, Json]:
        """Approve a proposal; with ``bound_hash``, only as it was read."""
        return self._dict(
            "POST", f"/api/proposals/{part(proposal)}/approve", json={"bound_hash": bound_hash}
        )

    def reject(self, proposal: str, reason: str = "rejected", note: str = "") -> dict[str, Json]:
        """Reject a proposal, with a reason code and words."""
        body = {"reason": reason, "note": note}
        return self._dict("POST", f"/api/proposals/{part(proposal)}/reject", json=body)

    def roll_back(self, proposal: str, note: str = "") -> dict[str, Json]:
        """Take a live or kept change back."""
        return self._dict("POST", f"/api/proposals/{part(proposal)}/rollback", json={"note": note})

    def withdraw(self, proposal: str, note: str = "") -> dict[str, Json]:
        """Withdraw a proposal that has not started."""
        return self._dict("POST", f"/api/proposals/{part(proposal)}/withdraw", json={"note": note})

    def optimize(self) -> dict[str, Json]:
        """Start one cycle of the optimizer and return its run."""
        return self._dict("POST", "/api/optimize")

    def calibrate(self) -> dict[str, Json]:
        """Replay the record to see how far stated chances can be trusted; return the run."""
        return self._dict("POST", "/api/calibrate")

    def calibration(self) -> dict[str, Json]:
        """Return what the latest calibration said; empty when there is none."""
        return self._dict("GET", "/api/calibration")

    def optimizer_inputs(self) -> dict[str, Json]:
        """Read what a cycle that starts now would be given: steps that may be tuned, policy."""
        return self._dict("GET", "/api/optimize")

    def drafted(self, run: str, count: int, timeout_s: float = 10.0) -> list[dict[str, Json]]:
        """Return the proposals that a cycle led to, waiting until ``count`` were drafted."""
        began = time.monotonic()
        while True:
            found = [view for view in self.proposals() if view["cycle"] == run]
            if len(found) >= count or time.monotonic() - began > timeout_s:
                return found
            time.sleep(0.1)

    def kill(self, scope: str = "*", on: bool = True, reason: str = "") -> list[str]:
        """Set or release the kill switch; returns the scopes on which it is set."""
        body = {"scope": scope, "on": on, "reason": reason}
        scopes: list[str] = self._ask("POST", "/api/kill", json=body)
        return scopes
