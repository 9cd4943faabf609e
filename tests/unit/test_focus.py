"""The export has FOCUS's names, and leaves out nothing that has no price."""

from __future__ import annotations

import csv
import io
from typing import Any

import pyarrow.parquet as pq
import pytest

from control_plane.costs import by_step, coverage, month_named
from control_plane.errors import Invalid
from control_plane.focus import table, written
from runtime.engine.prices import HardwareClass

MANDATORY = {
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd",
    "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargePeriodEnd",
    "ChargePeriodStart", "ContractedCost", "EffectiveCost", "InvoiceIssuerName", "ListCost",
    "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName", "ServiceCategory",
    "ServiceName",
}  # fmt: skip
DAY = 1_795_737_600.0  # 2026-11-27
CLASSES = {"gpu": HardwareClass("gpu", spot=True, region="europe-west4")}


def row(step: str, price: float | None, hours: float, spend: float = 0.0) -> dict[str, Any]:
    cost = (price or 0.0) * hours + spend
    return {
        "day": DAY, "playbook": "etl/load", "step": step, "hardware": "gpu", "attempts": 3,
        "price_usd_hour": price, "slot_s": hours * 3600, "cost_usd": cost, "spend_usd": spend,
        "priced": 3 if price is not None else 0, "system": 0,
        "priced_slot_s": hours * 3600 if price is not None else 0.0,
    }  # fmt: skip


ROWS = [row("a", 2.0, 3.0, spend=0.5), row("b", None, 1.0)]


def test_slot_time_and_spend_are_rows_of_their_own_and_add_up() -> None:
    told = table(ROWS, CLASSES)
    assert set(told.column_names) >= MANDATORY
    assert told["BilledCost"].to_pylist() == [6.0, 0.5, 0.0]
    assert told["PricingCategory"].to_pylist() == ["Dynamic", "Other", "Dynamic"]
    assert told["x_PriceKnown"].to_pylist() == [True, True, False]
    assert told["PricingQuantity"].to_pylist() == [3.0, 0.5, 1.0]


def test_csv_and_parquet_hold_the_same() -> None:
    told = table(ROWS, CLASSES)
    read = list(csv.DictReader(io.StringIO(written(told, "csv").decode())))
    assert [float(r["BilledCost"]) for r in read] == [6.0, 0.5, 0.0]
    first = read[0]
    assert (first["ChargePeriodStart"], first["BillingPeriodEnd"]) == (
        "2026-11-27T00:00:00Z", "2026-12-01T00:00:00Z",
    )  # fmt: skip
    assert pq.read_table(io.BytesIO(written(told, "parquet"))).to_pylist() == told.to_pylist()


def test_coverage_is_the_share_of_slot_time_with_a_known_price() -> None:
    costs = by_step(ROWS)
    assert [(c.step, c.cost_usd, c.slot_coverage) for c in costs] == [
        ("a", 6.5, 1.0),
        ("b", 0.0, 0.0),
    ]
    assert coverage(costs) == 0.75
    assert coverage([]) == 1.0


def test_a_month_is_named_by_year_and_month() -> None:
    assert month_named("2026-11", 0.0) == month_named("", DAY)
    with pytest.raises(Invalid, match="2026-11"):
        month_named("november", 0.0)
