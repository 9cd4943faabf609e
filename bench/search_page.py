"""The tables of ``docs/reference/search-results.md``, from ``bench/results/search.json``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

PARTS: Final = {
    "test": "test half, failures",
    "test_all_kinds": "test half, all kinds of points",
    "test_without_plain_words": "test half, without the plain words",
    "dev": "tuning half (seen while tuning)",
}


def page(told: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of the tables."""
    yield "| embedder | questions | ranking | nDCG@10 | recall@10 | MRR |"
    yield "|---|---|---|---|---|---|"
    for embedder, found in told["more"].items():
        for part, title in PARTS.items():
            for way in ("bm25", "dense", "hybrid"):
                figures = (f"{found[part][m][way]:.3f}" for m in ("ndcg10", "recall10", "mrr"))
                asked = f"{title} ({found[part]['questions']})"
                yield f"| {embedder} | {asked} | {way} | {' | '.join(figures)} |"
    yield from _unlisted(told.get("unlisted", {}))
    for embedder, found in told["more"].items():
        if "groups" not in found:
            continue
        by = found["groups"]
        yield f"\n{embedder}: failures of {by['causes']} causes came as {by['groups']} groups;"
        yield f"of the pairs grouped {by['precision']:.0%} belong together, of those that do"
        yield f"{by['recall']:.0%} are grouped."
    on = told["machine"]
    yield f"\n{told['executions']:,} executions, on {on['cores']} cores."
    for part, when in told["measured"].items():
        yield f"Measured {when['at']} with a load average of {when['load'][0]}: {part}."
    yield "Times of the clock are those of a machine that others use."
    yield from _timed(told)


OUTSIDE: Final = {"left_out": "of kinds left out", "others": "of the other kinds"}


def _unlisted(told: dict[str, Any]) -> Iterator[str]:
    yield "\n## Errors outside the catalogue\n"
    yield "The tuning half again, each third of the kinds of error left out in turn:\n"
    yield "| embedder | questions | ranking | nDCG@10 | recall@10 | MRR |"
    yield "|---|---|---|---|---|---|"
    for embedder, found in told.items():
        for part, title in OUTSIDE.items():
            for way in ("bm25", "dense", "hybrid"):
                figures = (f"{found[part][m][way]:.3f}" for m in ("ndcg10", "recall10", "mrr"))
                asked = f"{title} ({found[part]['questions']} askings)"
                yield f"| {embedder} | {asked} | {way} | {' | '.join(figures)} |"


def _timed(told: dict[str, Any]) -> Iterator[str]:
    yield "\n| points | query p50 | p99 | CPU | longest stall of another thread |"
    yield "|---|---|---|---|---|"
    for size in told["query_p99_ms"]:
        parts = ("query_p50_ms", "query_p99_ms", "query_cpu_ms", "longest_stall_ms")
        yield f"| {size} | " + " | ".join(f"{told[p][size]} ms" for p in parts) + " |"
    yield f"\nEdge took {told['limits']['edge_upserts_per_cpu_s']:,} points a CPU second."
    p50, p99 = told["index_lag_p50_s"], told["index_lag_p99_s"]
    yield f"\nAt {told['attempts_offered_per_s']:,} attempts a second the index was behind by"
    yield f"{p50} s (p50) and {p99} s (p99), with {told['index_cpu_share']:.0%} of a core for it."
