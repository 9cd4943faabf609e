"""What every log of a search keeps to, in memory, in SQLite and in PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest

from control_plane.trial_logs import TrialLogs
from optimizer.search.declared import Number, settings
from optimizer.search.history import History
from optimizer.search.numeric import Log, Numeric, Remembered
from tests.contract.test_tools_postgres import Server, server

__all__ = ["server"]  # a fixture
_NUMBERS = count()


def database(kind: str, request: pytest.FixtureRequest) -> Path | str:
    """An empty database of that kind: a file, or a URL."""
    if kind == "sqlite":
        folder: Path = request.getfixturevalue("tmp_path")
        return folder / "trials.db"
    pytest.importorskip("psycopg", reason="pip install 'trimtab[postgres]'")
    running: Server = request.getfixturevalue("server")
    name = f"trials_{next(_NUMBERS)}"
    running.ask(f"create database {name}")
    return running.url(database=name)


def opening(place: Path | str, held: list[TrialLogs]) -> TrialLogs:
    held.append(TrialLogs(place))
    return held[-1]


@pytest.fixture(params=["sqlite", "postgres"])
def opened(request: pytest.FixtureRequest) -> Iterator[Callable[[], TrialLogs]]:
    """Opens the same database, as another process would."""
    place, held = database(request.param, request), list[TrialLogs]()
    yield lambda: opening(place, held)
    for logs in held:
        logs.close()


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def again(request: pytest.FixtureRequest) -> Iterator[Callable[[], Log]]:
    """Opens the same log, as another process would."""
    if request.param == "memory":
        kept = Remembered()
        yield lambda: kept
        return
    place, held = database(request.param, request), list[TrialLogs]()
    yield lambda: opening(place, held).of("a")
    for logs in held:
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


def test_processes_that_write_at_once_leave_no_gap_and_lose_nothing(
    opened: Callable[[], TrialLogs],
) -> None:
    writers = [opened() for _ in range(3)]

    def write(index: int) -> None:
        for k in range(5):
            writers[index].of("a").append([{"who": index, "k": k}])

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(write, range(3)))
    entries = list(writers[0].of("a").read(0))
    assert sorted((e["who"], e["k"]) for e in entries) == [
        (w, k) for w in range(3) for k in range(5)
    ]
    assert [e["k"] for e in entries if e["who"] == 1] == list(range(5))
    assert len(list(writers[0].of("a").read(7))) == 8


def test_searches_do_not_see_each_other(opened: Callable[[], TrialLogs]) -> None:
    logs = opened()
    logs.of("a").append([{"n": 1}])
    assert list(logs.of("b").read(0)) == []
