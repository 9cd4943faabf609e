"""All planted truths, each with what is promised of it."""

from __future__ import annotations

from typing import Final

from bench import planted_batches as by_batch
from bench import planted_engines as by_engine
from bench import planted_tries as by_try
from bench.planted_histories import Truth

TRUTHS: Final = (
    Truth(
        "batch",
        "a call costs 50 ms, an item 1 ms, with a quadratic tail",
        True,
        by_batch.batch_tried,
    ),
    Truth("batch, run by run", "sizes by turns at all hours", True, by_batch.batch_between_runs),
    Truth(
        "batch, small inputs", "100 on small inputs alone", False, by_batch.batch_on_small_inputs
    ),
    Truth(
        "batch, at night", "100 at night alone, when all is faster", False, by_batch.batch_at_night
    ),
    Truth(
        "batch, mostly at night",
        "100 at night two times in three",
        False,
        by_batch.batch_mostly_at_night,
    ),
    Truth(
        "batch, a release",
        "raised on the day all became faster",
        False,
        by_batch.batch_raised_with_a_release,
    ),
    Truth(
        "batch, mostly after a release",
        "100 two days in ten before all became faster, eight in ten since",
        False,
        by_batch.batch_mostly_after_a_release,
    ),
    Truth("batch, new regime", "half-way a limit of 100 came", True, by_batch.batch_new_regime),
    Truth(
        "batch, heavy tails", "no size is better, Pareto 1.5", False, by_batch.batch_heavy_tails
    ),
    Truth("batch, too few", "two short runs", False, by_batch.batch_too_few),
    Truth("in flight", "six useful slots", True, by_batch.in_flight_tried),
    Truth("in flight, by habit", "eight on quiet days alone", False, by_batch.in_flight_by_habit),
    Truth("retry limit", "four in ten tries fail, limit two", True, by_try.retry_transient),
    Truth("retry, permanent", "permanent under a transient name", True, by_try.retry_permanent),
    Truth("retry, helps", "all classes recover", False, by_try.retry_helps),
    Truth("retry, seldom helps", "one try in six recovers", False, by_try.retry_seldom_helps),
    Truth("retry, too few", "six failures", False, by_try.retry_few),
    Truth("timeout, heavy", "one in fifteen hangs", True, by_try.heavy("timeout")),
    Truth("timeout, all cut", "one in fifteen hangs, all cut at 20 s", True, by_try.all_cut),
    Truth(
        "timeout, exponential",
        "waiting is worth as much as trying again",
        False,
        by_try.memoryless("timeout"),
    ),
    Truth("timeout, slow work", "large work is slow again", False, by_try.slow_work("timeout")),
    Truth("hedge, heavy", "one in fifteen hangs", True, by_try.heavy("hedge")),
    Truth(
        "hedge, exponential",
        "waiting is worth as much as trying again",
        False,
        by_try.memoryless("hedge"),
    ),
    Truth("hedge, slow work", "large work is slow again", False, by_try.slow_work("hedge")),
    Truth("alternative", "the other engine takes 0.6", True, by_engine.engine_cheaper),
    Truth(
        "alternative, small inputs",
        "less on small inputs, more in all",
        False,
        by_engine.engine_fast_on_small,
    ),
    Truth(
        "alternative, small inputs of items",
        "less on small inputs, more in all",
        False,
        by_engine.engine_fast_on_small_items,
    ),
    Truth("alternative, by habit", "taken outside of a trial", False, by_engine.engine_by_habit),
)
