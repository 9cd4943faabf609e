"""The tables of ``docs/reference/runtime-results.md``, from ``bench/results/runtime.json``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def page(told: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of the tables."""
    cpu, syncs, rss = told["cpu_ms_per_step"], told["fdatasyncs_per_step"], told["rss_mb"]
    yield "| what | measured |"
    yield "|---|---|"
    yield f"| fan-out of 1,000 steps | {told['fanout_steps_per_s']:,} steps/s |"
    recorded = told["with_recorder"]["fanout_steps_per_s"]
    yield f"| the same with the recorder | {recorded:,} steps/s |"
    yield f"| 50 runs × 5 steps at once | {told['concurrent_steps_per_s']:,} steps/s |"
    yield f"| 1,000 runs × 5 steps at once | {told['concurrent_1000x5_steps_per_s']:,} steps/s |"
    chain, sync = told["chain_p50_ms"], told["fdatasync_p50_ms"]
    yield f"| one step after another, p50 | {chain} ms, of which {sync} ms are the disk's sync |"
    yield f"| CPU a step, chain and fan-out | {cpu['chain']}, {cpu['fanout']} ms |"
    yield f"| syncs, chain and fan-out | {syncs['chain']} and {syncs['fanout']} a step |"
    yield f"| memory of `trimtab run` and of the server | {rss['run']} and {rss['server']} MB |"
    yield f"| an `each` of a million batches, all processes | {told['million_rss_mb']} MB |"
    yield f"| `trimtab run FILE` to the first step done | {told['cold_start_s']} s |"
    yield f"| replay | {told['replay_events_per_s']:,} events/s |"
    back = told["recovery_s"]
    yield f"| from `kill -9` of a worker, a server | {back['worker']}, {back['server']} s |"
    if peers := told.get("peers"):
        yield from _beside(peers)
    on = told["machine"]
    yield f"\nMeasured {on['at']} on {on['cores']} cores ({on['cpu']}), Python {on['python']},"
    yield f"SQLite {on['sqlite']}, load average {on['load'][0]} at the start."


def _beside(peers: dict[str, Any]) -> Iterator[str]:
    yield "\n| ours over | fan-out | chain | their CPU a step, fan-out and chain |"
    yield "|---|---|---|---|"
    for name, jobs in peers.items():
        fan, chain = jobs["fan"], jobs["chain"]
        spent = [job["cpu_ms_per_step"]["theirs"] for job in (fan, chain)]
        times = f"{fan['over']:.1f}× | {chain['over']:.1f}×"
        yield f"| {name} | {times} | {spent[0]:.2f} and {spent[1]:.2f} ms |"
