"""A run's story: what the fold of its events says, live and ended."""

from __future__ import annotations

from typing import Any

from control_plane.web import gantt
from control_plane.web.step_states import step_states
from control_plane.web.step_story import KEPT_TRIES
from control_plane.web.story import RunStory, tell
from control_plane.web.telling import is_trouble
from runtime.playbook.model import Arc, Playbook, Step
from runtime.run.events import (
    AttemptFinished,
    AttemptScheduled,
    EachCut,
    Event,
    Fault,
    Recorded,
    RunCancelled,
    RunCancelRequested,
    RunCompleted,
    RunFailed,
    RunFailing,
    RunPaused,
    RunResumed,
    RunStarted,
    RunSubmitted,
    StepHeld,
    StepRouted,
)
from runtime.run.tokens import LOSER

FAULT = Fault("transient", "503 from the service")


def recorded(*events: Event) -> list[Recorded]:
    """One second between events, the first at 100."""
    return [Recorded(1, i, "run/r", i, 99.0 + i, e) for i, e in enumerate(events, 1)]


def opening() -> list[Event]:
    return [RunSubmitted("etl/load", "v", 3, {"rows": 9}, "ada"), RunStarted()]


def scheduled(step: str, batch: int = -1, number: int = 1, items: int = 1, **more: Any) -> Event:
    name = f"r/{step}/{batch}/{number}"
    return AttemptScheduled(name, step, number, "cfg", "key", batch=batch, items=items, **more)


def finished(
    step: str, batch: int = -1, number: int = 1, outcome: str = "succeeded", **more: Any
) -> Event:
    name = f"r/{step}/{batch}/{number}"
    return AttemptFinished(name, step, number, outcome, 0, batch=batch, **more)


def test_a_step_runs_from_its_schedule_to_its_end() -> None:
    story = tell(
        "r",
        recorded(
            *opening(),
            scheduled("load"),
            finished("load", queue_s=0.2, run_s=0.7, cost_usd=0.5, arcs=["next"], result=7),
        ),
    )
    step = story.steps["load"]
    assert (step.state, step.value, step.arcs, step.cost_usd) == ("succeeded", 7, ["next"], 0.5)
    assert step.seconds(now=999.0) == 1.0
    [one] = step.tries
    assert (one.started_at, one.ended_at) == (102.2, 103.0)


def test_what_a_tool_spent_is_known_where_its_slot_has_no_price() -> None:
    paid = finished("ask", cost_usd=None, spend_usd=0.25, arcs=["next"])
    free = finished("look", cost_usd=None, arcs=[])
    story = tell("r", recorded(*opening(), scheduled("ask"), paid, scheduled("look"), free))
    assert (story.steps["ask"].cost_usd, story.steps["ask"].tries[0].cost_usd) == (0.25, 0.25)
    assert (story.steps["look"].cost_usd, story.cost_usd) == (None, 0.25)


def test_a_try_that_is_followed_by_another_leaves_its_step_running() -> None:
    story = tell(
        "r",
        recorded(
            *opening(),
            scheduled("load"),
            finished("load", outcome="failed", fault=FAULT, retry_at=200.0),
        ),
    )
    step = story.steps["load"]
    assert (step.state, step.retried, step.failed) == ("running", 1, 0)


def test_a_failure_that_an_arc_caught_is_told_apart_from_one_that_ends_the_run() -> None:
    caught = finished("load", outcome="failed", fault=FAULT, arcs=["mend"])
    assert (
        tell("r", recorded(*opening(), scheduled("load"), caught)).steps["load"].state == "caught"
    )
    fatal = finished("load", outcome="failed", fault=FAULT)
    ended = [RunFailing("load", FAULT), RunFailed("load", FAULT)]
    story = tell("r", recorded(*opening(), scheduled("load"), fatal, *ended))
    assert story.steps["load"].state == "failed"
    assert (story.state, story.fault, story.fault_step) == ("failed", FAULT, "load")
    assert story.seconds(now=999.0) == 5.0


def test_an_each_step_counts_items_batches_and_arms() -> None:
    cut = EachCut(
        "map", 0, "block", 0, 30, 10, 0, 2, "cfg", items={"count": 30, "source": []}, arm="control"
    )
    events = [
        *opening(),
        cut,
        scheduled("map", 0, items=10, arm="control"),
        finished("map", 0, run_s=1.0),
        scheduled("map", 1, items=10, arm="candidate"),
        finished("map", 1, outcome="failed", fault=FAULT, retry_at=9.0, run_s=0.5),
        scheduled("map", 1, 2, items=10, arm="candidate"),
        finished("map", 1, 2, run_s=0.5),
        scheduled("map", 2, items=10, arm="control"),
    ]
    step = tell("r", recorded(*events)).steps["map"]
    assert (step.items, step.items_done, step.batches, step.batches_done) == (30, 20, 3, 2)
    assert (step.flying, step.retried, step.size, step.in_flight) == (1, 1, 10, 2)
    assert step.arms["candidate"].seconds_per_item == 0.1
    assert step.arms["control"].seconds_per_item == 0.1
    assert step.share_done == 2 / 3


def test_the_fold_in_pieces_is_the_fold_at_once() -> None:
    events = recorded(
        *opening(), scheduled("a"), finished("a", arcs=["b"]), StepRouted("b"), RunCompleted(1)
    )
    story = RunStory("r")
    for one in events:
        story.take(one)
        assert story.length == one.stream_seq
    assert story == tell("r", events)


def test_a_run_says_that_it_is_paused_resumed_or_cancelling() -> None:
    paused = [*opening(), RunPaused("ada", "lunch")]
    assert tell("r", recorded(*paused)).state == "paused"
    assert tell("r", recorded(*paused, RunResumed("ada"))).state == "running"
    assert tell("r", recorded(*paused, RunCancelRequested("ada"))).state == "cancelling"


def test_a_million_tries_are_counted_and_only_the_latest_kept() -> None:
    story = RunStory("r")
    for one in recorded(*opening()):
        story.take(one)
    for batch in range(KEPT_TRIES + 50):
        for event in (scheduled("map", batch), finished("map", batch, run_s=0.1)):
            story.take(Recorded(1, 0, "run/r", story.length + 1, 200.0 + batch, event))
    assert story.attempts == KEPT_TRIES + 50
    assert len(story.steps["map"].tries) == KEPT_TRIES
    assert not story._open


def test_steps_that_no_token_can_reach_any_more_are_skipped() -> None:
    playbook = Playbook(
        "p",
        (
            Step("a", arcs=(Arc("b", when="x"), Arc("c", otherwise=True)), split="exclusive"),
            Step("b", arcs=(Arc("d"),)),
            Step("c", arcs=(Arc("e"),)),
            Step("d"),
            Step("e"),
        ),
    )
    story = tell("r", recorded(*opening(), scheduled("a"), finished("a", arcs=["c"])))
    states = step_states(playbook, story)
    assert states == {
        "a": "succeeded",
        "b": "skipped",
        "c": "waiting",
        "d": "skipped",
        "e": "waiting",
    }


def test_the_timeline_shows_waiting_apart_from_running() -> None:
    story = tell(
        "r",
        recorded(*opening(), scheduled("load"), finished("load", queue_s=0.4, run_s=0.6, arcs=[])),
    )
    [row] = gantt.draw(story, now=200.0).rows
    assert 'class="queue"' in row.strip
    assert 'class="run"' in row.strip
    assert "waited 0.40 s" in row.strip


def test_a_step_that_waits_for_its_hours_says_until_when_and_then_how_long_it_did() -> None:
    held = StepHeld("load", 79_200.0, "22-6", "cfg")
    [row] = gantt.draw(tell("r", recorded(*opening(), held)), now=200.0).rows
    assert (row.state, row.notes) == (
        "held",
        "waits for 01 Jan 22:00:00 (start.hours 22-6 UTC)",
    )
    assert 'class="queue"' in row.strip
    events = [*opening(), held, scheduled("load"), finished("load", run_s=0.5, arcs=[])]
    [row] = gantt.draw(tell("r", recorded(*events)), now=200.0).rows
    assert (row.state, row.notes) == ("succeeded", "waited 1.00 s (start.hours 22-6 UTC)")
    ended = tell("r", recorded(*opening(), held, RunCancelRequested("ada"), RunCancelled()))
    [row] = gantt.draw(ended, now=9999.0).rows
    assert (row.state, row.notes) == ("cancelled", "waited 2.00 s (start.hours 22-6 UTC)")


def test_too_many_tries_become_the_number_in_flight() -> None:
    events = [
        e
        for b in range(gantt.MOST_BARS + 1)
        for e in (scheduled("map", b), finished("map", b, run_s=0.5))
    ]
    [row] = gantt.draw(tell("r", recorded(*opening(), *events)), now=9999.0).rows
    assert "at most 1 at once" in row.strip
    assert row.strip.count("<rect") == 0


def test_names_from_outside_cannot_become_markup() -> None:
    story = tell(
        "r",
        recorded(
            *opening(),
            scheduled("<b>"),
            finished("<b>", outcome="failed", fault=Fault("data", "<script>alert(1)</script>")),
        ),
    )
    [row] = gantt.draw(story, now=200.0).rows
    assert "<script" not in row.strip
    assert "<b>" not in row.strip


def test_a_step_that_a_join_left_behind_is_cancelled_and_one_without_a_way_on_failed() -> None:
    none = Fault("no_route", "the loop has begun again 2 times and not ended")
    story = tell(
        "r",
        recorded(
            *opening(), scheduled("slow"), scheduled("loop"), scheduled("lost"),
            finished("slow", outcome="cancelled", fault=LOSER, no_way=LOSER, arcs=[]),
            finished("loop", arcs=["mend"], result=7, no_way=none),
            finished("lost", arcs=[], result=8, no_way=LOSER),
            StepRouted("waits", [], fault=LOSER),
        ),
    )  # fmt: skip
    states = {name: step.state for name, step in story.steps.items()}
    assert states == {
        "slow": "cancelled", "loop": "caught", "lost": "cancelled", "waits": "cancelled",
    }  # fmt: skip
    assert story.step("loop").fault == none


def test_a_try_that_was_let_go_is_no_failure_and_no_trouble() -> None:
    loser = finished("far", outcome="cancelled", fault=LOSER)
    story = tell("r", recorded(*opening(), scheduled("far"), loser))
    (one,) = story.steps["far"].tries
    assert (one.let_go, one.is_bad, story.steps["far"].failed) == (True, False, 0)
    assert not is_trouble(loser)
    assert is_trouble(finished("far", outcome="cancelled", fault=FAULT))


def test_a_step_waits_until_it_has_what_it_waits_for() -> None:
    tool = {"kind": "approval", "prompt": "Ship it?"}
    began = [*opening(), scheduled("ok", args={"tool": tool, "with": {}})]
    assert tell("r", recorded(*began)).steps["ok"].waits == tool
    assert tell("r", recorded(*began, finished("ok"))).steps["ok"].waits is None


def test_a_join_that_was_late_and_led_on_is_caught() -> None:
    late = StepRouted("both", ["guess"], fault=FAULT)
    assert tell("r", recorded(*opening(), late)).steps["both"].state == "caught"
