"""The record: search in it, measures of it, its rows as tables."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, TypeAlias

from trimtab.asking import Asking
from trimtab.faults import Json, Unreachable, refusal
from trimtab.paths import given, part
from trimtab.streaming import Body

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

History: TypeAlias = Literal["attempts", "transitions", "trends"]


class Record(Asking):
    """The record of a server."""

    def search(self, text: str, **filters: Json) -> list[dict[str, Json]]:
        """Find by meaning and words.

        ``kind, playbook, step, state, hardware, since, until, limit`` narrow it; ``by`` is
        ``both``, ``words`` or ``meaning``.
        """
        return self._list("/api/search", q=text, **filters)

    def facets(self, text: str, **filters: Json) -> dict[str, dict[str, int]]:
        """Count what a search finds by kind, playbook, step, state and hardware."""
        told: dict[str, dict[str, int]] = self._ask(
            "GET", "/api/search/facets", params=given(q=text, **filters)
        )
        return told

    def causes(self, **filters: Json) -> list[dict[str, Json]]:
        """Return failures grouped by cause: ``playbook, step, state, hardware, since, until``."""
        return self._list("/api/causes", **filters)

    def similar(self, run: str, **filters: Json) -> list[dict[str, Json]]:
        """Return what is like a run that ended; narrowed as `search` is."""
        return self._list(f"/api/runs/{part(run)}/similar", **filters)

    def reindex(self) -> dict[str, Json]:
        """Have all search points made anew from the journal, while the old ones serve."""
        return self._dict("POST", "/api/search/reindex")

    def trends(self, **filters: Json) -> list[dict[str, Json]]:
        """Return percentiles, cost and failures: ``playbook, step, bucket_s, since, until``."""
        return self._list("/api/trends", **filters)

    def history(self, of: History = "attempts", **filters: Json) -> pa.Table:
        """Read the record as an Arrow table: ``attempts``, ``transitions`` or ``trends``.

        All take ``playbook, step, since, until``; attempts also ``run, outcome, error_class,
        system, limit``, transitions ``run, transition, limit``, trends ``bucket_s, system``.
        Times are seconds since the epoch. It needs pyarrow here.
        """
        with self._arrow(of, filters) as stream:
            return stream.read_all()

    def history_batches(
        self, of: History = "attempts", **filters: Json
    ) -> Iterator[pa.RecordBatch]:
        """Yield what `history` reads batch by batch, for more than memory holds."""
        with self._arrow(of, filters) as stream:
            yield from stream

    def history_pandas(self, of: History = "attempts", **filters: Json) -> pd.DataFrame:
        """Read what `history` reads as a pandas frame; it needs pandas here."""
        return self.history(of, **filters).to_pandas()

    def history_polars(self, of: History = "attempts", **filters: Json) -> pl.DataFrame:
        """Read what `history` reads as a polars frame; it needs polars here."""
        import polars as pl

        return pl.DataFrame(self.history(of, **filters))

    def measures(self, by: str = "step", **filters: Json) -> list[dict[str, Json]]:
        """Return percentiles of queue, run and total time, cost, failures and throughput.

        ``by`` is playbook, step, hardware, configuration, arm, version or label (with
        ``label``, its name); ``playbook, step, since, until`` narrow it, ``grain`` is minute,
        hour or day, ``bucket_s`` any other length.
        """
        return self._list("/api/trends/measures", by=by, **filters)

    def changes(self, measure: str = "total_p50_s", **filters: Json) -> list[dict[str, Json]]:
        """Return where a measure went over to another level, and what came just before.

        ``by, label, playbook, step, grain, bucket_s, since, until`` narrow it; ``cause_page``
        of each leads to the version or proposal that came before.
        """
        return self._list("/api/trends/changes", measure=measure, **filters)

    @contextmanager
    def _arrow(
        self, of: History, filters: Mapping[str, Json]
    ) -> Iterator[pa.RecordBatchStreamReader]:
        """Open an answer as an Arrow stream that is read as it arrives."""
        import httpx2
        import pyarrow as pa

        path = f"/api/history/{part(of)}"
        try:
            with self._http.stream("GET", path, params=given(**filters)) as answer:
                if answer.is_error:
                    answer.read()
                    raise refusal(answer)
                body = pa.PythonFile(io.BufferedReader(Body(answer.iter_bytes())), mode="r")
                with pa.ipc.open_stream(body) as stream:
                    yield stream
        except httpx2.TransportError as fault:
            raise Unreachable(f"{self.url} broke off its answer: {fault}") from fault
