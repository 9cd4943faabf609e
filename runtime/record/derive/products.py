"""The row of a version of a product, published or refused."""

from __future__ import annotations

from typing import Final

from runtime.record.derive.lookup import Lookup, as_json, place, submitted
from runtime.record.tables import Row
from runtime.run.events import CheckFailed, Event, ProductPublished, Recorded

PRODUCT: Final[dict[type[Event], str]] = {ProductPublished: "published", CheckFailed: "refused"}


def product_row(r: Recorded, e: ProductPublished | CheckFailed, lookup: Lookup) -> Row:
    """Return the row of a version that was published or refused."""
    run, _ = submitted(r, lookup)
    p = e if isinstance(e, ProductPublished) else None
    return (
        *place(r), r.stream.removeprefix("run/"), run.playbook if run else "", e.step, e.product,
        p.number if p else 0, PRODUCT[type(r.event)], p.location if p else "",
        p.media if p else "",
        p.rows if p else 0, p.bytes if p else 0, p.sha256 if p else "",
        as_json(p.schema if p else {}), as_json(e.checks), list(p.inputs) if p else [],
        int(run is not None and run.system),
    )  # fmt: skip
