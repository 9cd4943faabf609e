"""Costs in the columns of FOCUS 1.1, the FinOps Open Cost and Usage Specification.

A row is what one step used of one class of hardware at one price on one day, another what its
tools reported to have spent, another what it bears of slots that stood idle. Our own columns
begin with ``x_``, as FOCUS asks. Slot time without a known price is a row that costs 0 and says
``x_PriceKnown`` false: what is not known cannot be left out. https://focus.finops.org
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from control_plane.budgets import month_of
from runtime.engine.prices import HardwareClass

if TYPE_CHECKING:
    import pyarrow as pa

Form: TypeAlias = Literal["csv", "parquet"]
MEDIA: Final[dict[str, str]] = {
    "csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet",
}  # fmt: skip
NUMBERS: Final = (
    "BilledCost", "EffectiveCost", "ListCost", "ContractedCost", "PricingQuantity",
    "ConsumedQuantity", "ListUnitPrice", "ContractedUnitPrice",
)  # fmt: skip
TIMES: Final = ("BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodStart", "ChargePeriodEnd")
TEXTS: Final = (
    "BillingAccountId", "BillingAccountName", "BillingCurrency", "CapacityReservationId",
    "CapacityReservationStatus", "ChargeCategory", "ChargeClass", "ChargeDescription",
    "ChargeFrequency", "ConsumedUnit", "InvoiceIssuerName", "PricingUnit", "PricingCategory",
    "ProviderName", "PublisherName", "RegionId", "RegionName", "ResourceId", "ResourceName",
    "ResourceType", "ServiceCategory", "ServiceName", "ServiceSubcategory", "SkuId", "SkuPriceId",
    "SubAccountId", "SubAccountName", "Tags",
    "x_Playbook", "x_Step", "x_Hardware",
)  # fmt: skip
COLUMNS: Final = (
    *TIMES, *NUMBERS, *TEXTS, "x_Attempts", "x_Tokens", "x_Calls", "x_PriceKnown", "x_System",
    "x_Idle",
)  # fmt: skip


def focus_rows(
    rows: Iterable[Mapping[str, Any]], classes: Mapping[str, HardwareClass]
) -> Iterator[dict[str, Any]]:
    """Yield the FOCUS rows of rows of ``cost_steps``."""
    for row in rows:
        known = classes.get(row["hardware"])
        if row["playbook"]:
            yield _slots(row, known)
        if row.get("idle_s"):
            of = row["idle_of"]
            yield _idle({**row, "hardware": of}, classes.get(of))
        if any(row.get(name) for name in ("spend_usd", "tokens", "calls")):
            yield _spend(row)


def _slots(row: Mapping[str, Any], known: HardwareClass | None) -> dict[str, Any]:
    price = row["price_usd_hour"]
    what = f"slot time of {row['playbook']} › {row['step']}"
    return _compute(row, known, what, row["cost_usd"] - row["spend_usd"], row["slot_s"], price)


def _idle(row: Mapping[str, Any], known: HardwareClass | None) -> dict[str, Any]:
    """Slot time that was paid for and not used: the share of this row, or what none bears."""
    whole = row["idle_priced_s"] >= row["idle_s"] * 0.999_999
    price = row["idle_usd"] / row["idle_s"] * 3600 if whole else None
    bears = f", borne by {row['playbook']} › {row['step']}" if row["playbook"] else ""
    told = _compute(row, known, f"idle slot time{bears}", row["idle_usd"], row["idle_s"], price)
    return told | {
        "CapacityReservationId": row["hardware"], "CapacityReservationStatus": "Unused",
        "ConsumedQuantity": 0.0, "ServiceName": "Idle slots", "x_Attempts": 0, "x_Idle": True,
    }  # fmt: skip


def _compute(
    row: Mapping[str, Any], known: HardwareClass | None, what: str, cost: float, slot_s: float,
    price: float | None,
) -> dict[str, Any]:  # fmt: skip
    hours = slot_s / 3600
    spot = known is not None and known.spot
    return _row(row, cost) | {
        "ChargeDescription": f"{what} on {row['hardware'] or 'no worker'}"
        + ("" if price is not None else ", price not known"),
        "PricingQuantity": hours, "PricingUnit": "Hours", "ConsumedQuantity": hours,
        "ConsumedUnit": "Hours", "ListUnitPrice": price, "ContractedUnitPrice": price,
        "PricingCategory": "Dynamic" if spot else "Standard", "ServiceCategory": "Compute",
        "ServiceName": "Slot time", "ServiceSubcategory": "Other (Compute)",
        "ResourceType": "Hardware class", **_where(row, known),
        "x_PriceKnown": price is not None,
    }  # fmt: skip


def _where(row: Mapping[str, Any], known: HardwareClass | None) -> dict[str, Any]:
    region = known.region or None if known is not None else None
    sku = row["hardware"] or None
    return {"RegionId": region, "RegionName": region, "SkuId": sku, "SkuPriceId": sku}


def _spend(row: Mapping[str, Any]) -> dict[str, Any]:
    tokens, calls = row.get("tokens", 0), row.get("calls", 0)
    return _row(row, row["spend_usd"]) | {
        "ChargeDescription": f"reported by tools of {row['playbook']} › {row['step']}",
        "PricingQuantity": row["spend_usd"], "PricingUnit": "USD",
        "ConsumedQuantity": float(tokens or calls) or None,
        "ConsumedUnit": "Tokens" if tokens else "Calls" if calls else None,
        "x_Tokens": tokens, "x_Calls": calls, "ListUnitPrice": 1.0, "ContractedUnitPrice": 1.0,
        "PricingCategory": "Other", "ServiceCategory": "Other", "ServiceName": "Tool spend",
        "ServiceSubcategory": "Other (Other)", "ResourceType": "Tool", "SkuId": "tool-spend",
        "SkuPriceId": "tool-spend", "x_PriceKnown": True,
    }  # fmt: skip


def _row(row: Mapping[str, Any], cost: float) -> dict[str, Any]:
    day = datetime.fromtimestamp(row["day"], UTC)
    _, first, after = month_of(row["day"])
    tags = {"playbook": row["playbook"], "step": row["step"], "hardware": row["hardware"]}
    return {
        "BillingPeriodStart": datetime.fromtimestamp(first, UTC),
        "BillingPeriodEnd": datetime.fromtimestamp(after, UTC),
        "ChargePeriodStart": day, "ChargePeriodEnd": day + timedelta(days=1),
        "BilledCost": cost, "EffectiveCost": cost, "ListCost": cost, "ContractedCost": cost,
        "BillingAccountId": "trimtab", "BillingAccountName": "Trimtab", "BillingCurrency": "USD",
        "ChargeCategory": "Usage", "ChargeClass": None, "ChargeFrequency": "Usage-Based",
        "InvoiceIssuerName": "Trimtab", "ProviderName": "Trimtab", "PublisherName": "Trimtab",
        "ResourceId": f"{row['playbook']}#{row['step']}" if row["step"] else row["hardware"],
        "ResourceName": row["step"] or row["hardware"], "SubAccountId": row["playbook"] or None,
        "SubAccountName": row["playbook"] or None, "Tags": json.dumps(tags, ensure_ascii=False),
        "x_Playbook": row["playbook"], "x_Step": row["step"], "x_Hardware": row["hardware"],
        "x_Attempts": row["attempts"], "x_System": bool(row["system"]), "x_Idle": False,
        "x_Tokens": 0, "x_Calls": 0,
    }  # fmt: skip


def table(rows: Iterable[Mapping[str, Any]], classes: Mapping[str, HardwareClass]) -> pa.Table:
    """Return FOCUS rows as an Arrow table, every column in its type."""
    import pyarrow as pa

    kinds: dict[str, pa.DataType] = dict.fromkeys(TIMES, pa.timestamp("s", "UTC"))
    kinds |= dict.fromkeys(NUMBERS, pa.float64()) | dict.fromkeys(TEXTS, pa.string())
    kinds |= {"x_Attempts": pa.uint64(), "x_PriceKnown": pa.bool_(), "x_System": pa.bool_()}
    kinds |= {"x_Idle": pa.bool_(), "x_Tokens": pa.uint64(), "x_Calls": pa.uint64()}
    schema = pa.schema([(name, kinds[name]) for name in COLUMNS])
    return pa.Table.from_pylist(list(focus_rows(rows, classes)), schema=schema)


def written(costs: pa.Table, form: Form) -> bytes:
    """Return a table as a file of that form; CSV has times as FOCUS writes them."""
    out = io.BytesIO()
    if form == "parquet":
        import pyarrow.parquet as pq

        pq.write_table(costs, out)
    else:
        import pyarrow.compute as pc
        import pyarrow.csv as csv

        for name in TIMES:
            text = pc.strftime(costs[name], "%Y-%m-%dT%H:%M:%SZ")
            costs = costs.set_column(costs.column_names.index(name), name, text)
        csv.write_csv(costs, out)
    return out.getvalue()
