"""From facts to rows: what each event means for each table of the record.

A pure function of the event and of earlier events that it points to, which a `Lookup`
finds in the journal. Nothing is carried from one event to the next, so rows do not depend
on how the journal was cut into batches, and deriving again after a crash gives the same
rows. A fact that points to something the journal does not hold gets empty columns there,
never no row: counts stay equal.
"""

from __future__ import annotations

from runtime.record.derive.causes import cause, fault_text
from runtime.record.derive.lookup import Lookup, submitted
from runtime.record.derive.rows import SOURCES, derive
from runtime.record.derive.runs import ENDED

__all__ = ["ENDED", "SOURCES", "Lookup", "cause", "derive", "fault_text", "submitted"]
