"""Money: what work cost, and what of a budget is used."""

from __future__ import annotations

from trimtab.asking import Asking
from trimtab.faults import Json
from trimtab.paths import given, part


class Money(Asking):
    """Costs and budgets of a server."""

    def costs(
        self, month: str | None = None, playbook: str | None = None
    ) -> list[dict[str, Json]]:
        """Return what a month (``2026-11``) cost by playbook and step, and how much is known."""
        return self._list("/api/costs", **given(month=month, playbook=playbook))

    def cost_days(
        self, month: str | None = None, playbook: str | None = None
    ) -> list[dict[str, Json]]:
        """Return what each day of a month cost, and what slots cost that stood idle."""
        return self._list("/api/costs/days", **given(month=month, playbook=playbook))

    def run_cost(self, run: str) -> dict[str, Json]:
        """Return what a run cost, with its share of slots that stood idle on its days."""
        return self._dict("GET", f"/api/runs/{part(run)}/cost")

    def cost_export(self, month: str | None = None, form: str = "csv") -> bytes:
        """Return the costs of a month in FOCUS columns, as ``csv`` or ``parquet``."""
        params = given(month=month, form=form)
        return bytes(self._answer("GET", "/api/costs/export", params=params).content)

    def budgets(self) -> list[dict[str, Json]]:
        """Return every budget and what is used of it this month."""
        return self._list("/api/budgets")

    def alerts(self, limit: int = 50) -> list[dict[str, Json]]:
        """Return what was said of budgets and trends, the latest first."""
        return self._list("/api/alerts", limit=limit)
