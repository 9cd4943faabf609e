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
    "ServiceName", "ServiceSubcategory",
}  # fmt: skip
FOCUS_1_1 = MANDATORY | {
    "AvailabilityZone", "CapacityReservationId", "CapacityReservationStatus", "ChargeFrequency",
    "CommitmentDiscountCategory", "CommitmentDiscountId", "CommitmentDiscountName",
    "CommitmentDiscountQuantity", "CommitmentDiscountStatus", "CommitmentDiscountType",
    "CommitmentDiscountUnit", "ConsumedQuantity", "ConsumedUnit", "ContractedUnitPrice",
    "ListUnitPrice", "PricingCategory", "RegionId", "RegionName", "ResourceId", "ResourceName",
    "ResourceType", "SkuId", "SkuMeter", "SkuPriceDetails", "SkuPriceId", "SubAccountId",
    "SubAccountName", "Tags",
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


IDLE = {"idle_s": 7200.0, "idle_priced_s": 7200.0, "idle_usd": 4.0,
        "idle_of": "gpu"}  # fmt: skip
ALONE = row("", 2.0, 0.0) | {"playbook": "", "attempts": 0} | IDLE
ROWS = [row("a", 2.0, 3.0, spend=0.5), row("b", None, 1.0)]


def test_slot_time_and_spend_are_rows_of_their_own_and_add_up() -> None:
    told = table(ROWS, CLASSES)
    assert set(told.column_names) >= MANDATORY
    assert told["BilledCost"].to_pylist() == [6.0, 0.5, 0.0]
    assert told["PricingCategory"].to_pylist() == ["Dynamic", "Other", "Dynamic"]
    assert told["x_PriceKnown"].to_pylist() == [True, True, False]
    assert told["PricingQuantity"].to_pylist() == [3.0, 0.5, 1.0]


def test_idle_slots_are_unused_capacity_of_the_step_that_bears_them_or_of_none() -> None:
    rows = table([row("a", 2.0, 3.0) | IDLE, ALONE], CLASSES).to_pylist()
    assert [r["BilledCost"] for r in rows] == [6.0, 4.0, 4.0]
    used, borne, alone = rows
    assert (used["x_Idle"], used["CapacityReservationStatus"]) == (False, None)
    for one in (borne, alone):
        assert (one["CapacityReservationId"], one["CapacityReservationStatus"]) == (
            "gpu",
            "Unused",
        )
        assert (one["PricingQuantity"], one["ConsumedQuantity"]) == (2.0, 0.0)
        assert one["ListUnitPrice"] == 2.0
    assert (borne["SubAccountId"], alone["SubAccountId"]) == ("etl/load", None)
    assert alone["ResourceId"] == "gpu"


def test_every_column_is_of_focus_or_ours() -> None:
    assert set(table(ROWS, CLASSES).column_names) <= FOCUS_1_1 | {
        "x_Playbook", "x_Step", "x_Hardware", "x_Attempts", "x_PriceKnown", "x_System", "x_Idle",
        "x_Tokens", "x_Calls",
    }  # fmt: skip


def test_what_tools_reported_is_consumed_whether_or_not_it_cost_dollars() -> None:
    free = row("a", 2.0, 1.0) | {"tokens": 1200, "calls": 3}
    _, told = table([free], CLASSES).to_pylist()
    assert (told["BilledCost"], told["ConsumedQuantity"], told["ConsumedUnit"]) == (
        0.0, 1200.0, "Tokens",
    )  # fmt: skip
    assert (told["x_Tokens"], told["x_Calls"]) == (1200, 3)
    (cost,) = by_step([free])
    assert (cost.tokens, cost.calls) == (1200, 3)


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
    for none in ("november", "2026-13", "2106-03", "9999-12"):
        with pytest.raises(Invalid, match="2026-11"):
            month_named(none, 0.0)
