"""What waits goes by priority and order, and a limit holds back just what it must."""

from __future__ import annotations

import math
import random

from hypothesis import given
from hypothesis import strategies as st

from runtime.engine.queue import Ready, WorkQueue, scoped
from runtime.playbook.model import Limit


def names(queue: WorkQueue, at: float = 0.0) -> list[str]:
    """Everything that may be sent now, in order."""
    found = []
    while (ready := queue.next(at)[0]) is not None:
        found.append(ready.attempt)
    return found


def test_higher_priority_goes_first_and_equals_in_order() -> None:
    queue = WorkQueue()
    for attempt, priority in (("a", 0), ("b", 5), ("c", 0), ("d", 5)):
        queue.put(Ready("r", attempt, priority))
    queue.put(Ready("r", "e"), first=True)
    assert names(queue) == ["b", "d", "e", "a", "c"]


def test_no_more_are_in_flight_than_a_limit_allows() -> None:
    queue = WorkQueue()
    queue.limit({"api": Limit(in_flight=2)})
    for attempt in "abcd":
        queue.put(Ready("r", attempt, uses=("api",)))
    queue.put(Ready("r", "free"))
    assert names(queue) == ["a", "b", "free"]
    assert len(queue) == 2
    queue.done("a")
    assert names(queue) == ["c"]


def test_a_rate_says_when_to_look_again() -> None:
    queue = WorkQueue()
    queue.limit({"api": Limit(per_second=2.0)})
    for attempt in "abc":
        queue.put(Ready("r", attempt, uses=("api",)))
    assert names(queue, 100.0) == ["a", "b"]
    queue.retry()
    assert queue.next(100.0) == (None, 100.5)
    queue.retry()
    assert names(queue, 100.5) == ["c"]


def test_nothing_is_held_by_a_limit_that_is_no_longer_declared() -> None:
    queue = WorkQueue()
    queue.put(Ready("r", "a", uses=("gone",)))
    assert names(queue) == ["a"]


def test_a_playbooks_own_limit_carries_its_path() -> None:
    assert scoped("p", ("mine", "shared"), {"mine": Limit()}) == ("p:mine", "shared")


@given(
    st.lists(st.sets(st.sampled_from(["x", "y", "z"]), max_size=3), max_size=25),
    st.dictionaries(st.sampled_from(["x", "y", "z"]), st.integers(1, 3)),
    st.randoms(use_true_random=False),
)
def test_whatever_the_limits_everything_is_sent_once_and_no_limit_is_passed(
    wanted: list[set[str]], limits: dict[str, int], chance: random.Random
) -> None:
    queue = WorkQueue()
    queue.limit({name: Limit(in_flight=n) for name, n in limits.items()})
    uses = {f"a{i}": tuple(sorted(names)) for i, names in enumerate(wanted)}
    for attempt, names_ in uses.items():
        queue.put(Ready("r", attempt, uses=names_))
    flying: list[str] = []
    sent: list[str] = []
    while len(sent) < len(uses) or flying:
        ready, again = queue.next(0.0)
        if ready is not None:
            flying.append(ready.attempt)
            sent.append(ready.attempt)
            for name, n in limits.items():
                assert sum(name in uses[a] for a in flying) <= n
        else:
            assert flying, "something waits and nothing that could free it is in flight"
            assert again == math.inf
            queue.done(flying.pop(chance.randrange(len(flying))))
    assert sorted(sent) == sorted(uses)


def test_hedges_go_last_of_all_and_last_of_what_a_limit_holds_back() -> None:
    queue = WorkQueue()
    queue.limit({"api": Limit(in_flight=1)})
    queue.put(Ready("r", "hedge", priority=9, uses=("api",), hedge=True))
    assert queue.spare_at((), 0.0) == math.inf
    queue.put(Ready("r", "low", priority=-9))
    queue.put(Ready("r", "one", uses=("api",)))
    assert [queue.next(0.0)[0].attempt for _ in range(2)] == ["one", "low"]  # type: ignore[union-attr]
    assert queue.next(0.0)[0] is None
    queue.put(Ready("r", "two", uses=("api",)))
    assert queue.next(0.0)[0] is None
    assert (queue.spare_at((), 0.0), queue.spare_at(("api",), 0.0)) == (0.0, math.inf)
    queue.done("one")
    assert queue.next(0.0)[0] == Ready("r", "two", uses=("api",))
