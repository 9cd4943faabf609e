"""Which rows of which tables a fact stands for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from runtime.record.derive.attempts import attempt_row, output_row
from runtime.record.derive.lookup import Lookup
from runtime.record.derive.products import PRODUCT, product_row
from runtime.record.derive.review import (
    EXPERIMENT,
    experiment_row,
    outcome_row,
    proposal_row,
    verdict_row,
)
from runtime.record.derive.runs import ENDED, run_row
from runtime.record.derive.transitions import transition_rows
from runtime.record.follow import Fact
from runtime.record.tables import Row, Rows
from runtime.run.events import (
    AttemptFinished,
    AttemptLeased,
    AttemptScheduled,
    CheckFailed,
    Event,
    OutcomeRecorded,
    ProductPublished,
    ProposalDrafted,
    ProposalMoved,
    Recorded,
    VerdictReached,
)

SOURCES: Final[dict[str, Iterable[type[Event]]]] = {
    "experiment": tuple(EXPERIMENT), "product": tuple(PRODUCT),
}  # fmt: skip
"""The events that a table's rows follow from, for tables that are filled from events there."""


def derive(facts: Iterable[Fact], lookup: Lookup) -> Rows:
    """Return the rows of all tables that these facts stand for."""
    events: list[Row] = []
    moves: list[Row] = []
    rows: Rows = {}
    for fact in facts:
        r = fact.recorded
        events.append(_event(fact))
        if r.stream.startswith("run/"):
            moves += transition_rows(r, lookup)
        for table, row in _rows(r, lookup):
            rows.setdefault(table, []).append(row)
    own = {"event": events, "transition": moves}
    return {table: made for table, made in own.items() if made} | rows


def _event(fact: Fact) -> Row:
    r = fact.recorded
    return (
        r.writer, r.pos, r.stream, r.stream_seq, r.at, r.event.TYPE, fact.version, fact.body
    )  # fmt: skip


def _rows(r: Recorded, lookup: Lookup) -> Iterator[tuple[str, Row]]:
    event = r.event
    if isinstance(event, AttemptScheduled | AttemptLeased):
        return  # most events by far, and they stand for transitions alone
    if isinstance(event, AttemptFinished):
        if not event.copied:
            yield "attempt", attempt_row(r, event, lookup)
            if event.stdout:
                yield "output", output_row(r, event, lookup)
    elif type(event) in ENDED:
        yield "run", run_row(r, lookup)
    elif isinstance(event, ProposalDrafted | ProposalMoved):
        yield "proposal", proposal_row(r, event, lookup)
    elif isinstance(event, VerdictReached):
        yield "verdict", verdict_row(r, event)
    elif isinstance(event, OutcomeRecorded):
        yield "outcome", outcome_row(r, event)
    elif type(event) in EXPERIMENT:
        yield "experiment", experiment_row(r, lookup)
    elif isinstance(event, ProductPublished | CheckFailed):
        yield "product", product_row(r, event, lookup)
