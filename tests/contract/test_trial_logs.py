"""What every log of a search keeps to, in memory and in a database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from control_plane.trial_logs import TrialLogs
from optimizer.search.declared import Number, settings
from optimizer.search.history import History
from optimizer.search.numeric import Log, Numeric, Remembered


@pytest.fixture(params=["memory", "database"])
def again(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Log]]:
    """Opens the same log, as another process would."""
    if request.param == "memory":
        kept = Remembered()
        yield lambda: kept
        return
    opened: list[TrialLogs] = []

    def one() -> Log:
        opened.append(TrialLogs(tmp_path / "trials.db"))
        return opened[-1].of("a")

    yield one
    for logs in opened:
        logs.close()


def test_entries_are_read_from_any_number_on_in_the_order_they_came(
    again: Callable[[], Log],
) -> None:
    log = again()
    assert list(log.read(0)) == []
    log.append([{"n": 0}, {"n": 1}])
    log.append([{"n": 2, "text": "é"}])
    assert list(again().read(0)) == [{"n": 0}, {"n": 1}, {"n": 2, "text": "é"}]
    assert list(again().read(2)) == [{"n": 2, "text": "é"}]
    assert list(again().read(3)) == []


def test_a_search_goes_on_where_another_process_left_it(again: Callable[[], Log]) -> None:
    space = settings({"a": Number(1, 512, log=True), "b": Number(1, 40)})
    outcomes = space.columns["a"].numbers ** 2 + space.columns["b"].numbers
    none = History.of([], [], len(space))
    first = Numeric(space, none, log=again())
    for _ in range(3):
        setting = first.ask()
        assert setting is not None
        first.tell(setting, float(outcomes[setting]))
    second = Numeric(space, none, log=again())
    assert second.tried == first.tried
    assert second.next() == first.next()


def test_processes_that_write_at_once_leave_no_gap_and_lose_nothing(tmp_path: Path) -> None:
    opened = [TrialLogs(tmp_path / "trials.db") for _ in range(3)]

    def write(index: int) -> None:
        for k in range(5):
            opened[index].of("a").append([{"who": index, "k": k}])

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(write, range(3)))
    entries = list(opened[0].of("a").read(0))
    assert sorted((e["who"], e["k"]) for e in entries) == [
        (w, k) for w in range(3) for k in range(5)
    ]
    assert [e["k"] for e in entries if e["who"] == 1] == list(range(5))
    assert len(list(opened[0].of("a").read(7))) == 8
    for logs in opened:
        logs.close()


def test_searches_do_not_see_each_other(tmp_path: Path) -> None:
    logs = TrialLogs(tmp_path / "trials.db")
    logs.of("a").append([{"n": 1}])
    assert list(logs.of("b").read(0)) == []
    logs.close()
