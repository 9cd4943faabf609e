"""Families: what was found, in the form that Prometheus' own library writes out.

`found_in` reads a tally; whoever knows more adds it under the names of the table. What the
table does not name cannot be exposed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Final, TypeAlias

from runtime.telemetry.table import BUCKETS_S, BY_NAME, METRICS
from runtime.telemetry.tally import OfBook, OfStep, Spread, Tally

if TYPE_CHECKING:
    from prometheus_client import Metric as Family

Sample: TypeAlias = tuple[tuple[str, ...], float | Spread]
"""The labels' values, in the table's order, and the value."""
Found: TypeAlias = Mapping[str, Sequence[Sample]]

_EDGES: Final = (*map(str, BUCKETS_S), "+Inf")


class NoSuchMetric(Exception):
    """Something is to be exposed that the table of metrics does not name."""


def found_in(tally: Tally) -> dict[str, list[Sample]]:
    """Return what a tally holds, by the names of the table."""
    found: dict[str, list[Sample]] = {}
    for playbook, book in tally.books.items():
        for name, labels, value in _of_book(book):
            found.setdefault(name, []).append(((playbook, *labels), value))
    for pair, step in tally.steps.items():
        for name, labels, value in _of_step(step):
            found.setdefault(name, []).append(((*pair, *labels), value))
    return found | {
        "trimtab_proposals_moved_total": [((s,), n) for s, n in tally.moves.items()],
        "trimtab_approvals_total": list(tally.answers.items()),
        "trimtab_verdicts_total": [((v,), n) for v, n in tally.verdicts.items()],
        "trimtab_schedules_fired_total": [((), tally.fired)],
        "trimtab_steps_poisoned_total": [((), tally.poisoned)],
        "trimtab_journal_events_total": [((), tally.events)],
        "trimtab_journal_position": [((), tally.position)],
        "trimtab_labels_over_cap_total": [((), tally.over_cap)],
    }


def _of_book(book: OfBook) -> Iterator[tuple[str, tuple[str, ...], float | Spread]]:
    yield "trimtab_runs_started_total", (), book.started
    for status, count in book.ended.items():
        yield "trimtab_runs_ended_total", (status,), count
    yield "trimtab_run_seconds", (), book.seconds
    yield "trimtab_products_published_total", (), book.products
    yield "trimtab_checks_failed_total", (), book.checks_failed


def _of_step(step: OfStep) -> Iterator[tuple[str, tuple[str, ...], float | Spread]]:
    for ended, count in step.ended.items():
        yield "trimtab_attempts_total", ended, count
    for cls, count in step.retries.items():
        yield "trimtab_retries_total", (cls,), count
    yield "trimtab_attempt_queue_seconds", (), step.queue
    yield "trimtab_attempt_run_seconds", (), step.run
    yield "trimtab_attempt_seconds", (), step.total
    yield "trimtab_rows_total", ("in",), step.rows_in
    yield "trimtab_rows_total", ("out",), step.rows_out
    yield "trimtab_cost_usd_total", (), step.cost
    yield "trimtab_unpriced_attempts_total", (), step.unpriced


def families(found: Found) -> list[Family]:
    """Return every metric of the table, with the samples that were found.

    Raises:
        NoSuchMetric: something was found that the table does not name.
    """
    if strange := set(found) - set(BY_NAME):
        raise NoSuchMetric(f"not in runtime/telemetry/table.py: {', '.join(sorted(strange))}")
    return [_family(metric.name, found.get(metric.name, ())) for metric in METRICS]


def _family(name: str, samples: Sequence[Sample]) -> Family:
    from prometheus_client import Metric as Family

    metric = BY_NAME[name]
    family = Family(name.removesuffix("_total"), metric.text, metric.kind)
    for values, value in samples:
        labels = dict(zip(metric.labels, values, strict=True))
        if isinstance(value, Spread):
            _spread(family, name, labels, value)
        else:
            family.add_sample(name, labels, float(value))
    return family


def _spread(family: Family, name: str, labels: dict[str, str], value: Spread) -> None:
    for edge, below in zip(_EDGES, accumulate(value.counts), strict=True):
        family.add_sample(f"{name}_bucket", labels | {"le": edge}, float(below))
    family.add_sample(f"{name}_count", labels, float(sum(value.counts)))
    family.add_sample(f"{name}_sum", labels, value.total)


def text_of(told: Sequence[Family], accept: str) -> tuple[bytes, str]:
    """Return the exposition as the scraper accepts it, and its content type."""
    from prometheus_client.exposition import choose_encoder
    from prometheus_client.registry import Collector

    class Told(Collector):
        def collect(self) -> Sequence[Family]:
            return told

    encode, content_type = choose_encoder(accept)
    body: bytes = encode(Told())
    return body, content_type
