"""The records service of the patient cohort: its manners, and its answers over a real socket."""

from __future__ import annotations

import http.client
import json
import random
import statistics
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

HOME = Path(__file__).parents[2] / "playbooks" / "healthcare"
sys.path.insert(0, str(HOME))

import diabetes  # noqa: E402
import records_service  # noqa: E402
from records_service import Manners, Service, fate  # noqa: E402

POLITE = Manners(base=0.0, per_id=0.0, slow_share=0.0, error_share=0.0)


@pytest.fixture
def serve() -> Iterator[Any]:
    started: list[Service] = []

    def start(manners: Manners) -> Service:
        service = Service(("127.0.0.1", 0), manners, random.Random(1))
        threading.Thread(target=service.serve_forever, args=(0.01,), daemon=True).start()
        started.append(service)
        return service

    yield start
    for service in started:
        service.shutdown()
        service.server_close()


def get(service: Service, path: str) -> tuple[int, dict[str, str], Any]:
    connection = http.client.HTTPConnection(*service.server_address[:2], timeout=240)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = json.loads(answer.read())
    connection.close()
    return answer.status, dict(answer.headers), body


def test_parameters_are_words_with_units() -> None:
    manners = Manners.parse("base=1ms per_id=6ms max_ids=120 concurrent=2")
    assert (manners.base, manners.per_id) == (0.001, 0.006)
    assert (manners.max_ids, manners.concurrent) == (120, 2)
    assert Manners.parse("") == Manners()


@pytest.mark.parametrize("text", ["basis=60ms", "base", "max_ids=many"])
def test_an_unknown_parameter_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Manners.parse(text)


def test_a_request_within_the_limit_takes_base_plus_ids_and_seldom_fails() -> None:
    fates = [fate(Manners(), 25, random.Random(n)) for n in range(4000)]
    assert statistics.median(f.time_s for f in fates) == pytest.approx(0.0625, rel=0.03)
    assert 0.005 < sum(f.fails for f in fates) / len(fates) < 0.02


def test_past_the_limit_time_grows_with_the_square_and_most_fail() -> None:
    fates = [fate(Manners(), 500, random.Random(n)) for n in range(4000)]
    assert statistics.median(f.time_s for f in fates) == pytest.approx(0.110 * 4, rel=0.03)
    assert sum(f.fails for f in fates) / len(fates) == pytest.approx(0.6, abs=0.03)


def test_it_answers_with_the_records_asked_for_in_their_order(serve: Any) -> None:
    status, _, body = get(serve(POLITE), "/records?ids=443,1")
    assert status == 200
    assert body["records"] == [{"id": n, **diabetes.measured(1)} for n in (443, 1)]


def test_its_counters_tell_what_was_asked_of_it(serve: Any) -> None:
    service = serve(Manners(base=0.0, per_id=0.0, error_share=1.0))
    assert get(service, "/records?ids=1,2,3")[0] == 503
    _, _, stats = get(service, "/stats")
    expected = {"requests": 1, "ids_served": 0, "http_429": 0, "http_503": 1, "max_ids": 3}
    assert stats == expected


def test_more_requests_at_once_than_it_takes_are_told_to_come_back(serve: Any) -> None:
    service = serve(
        Manners(base=0.5, per_id=0.0, noise=0.0, slow_share=0, error_share=0, concurrent=2)
    )
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: get(service, "/records?ids=1"), range(6)))
    refused = [headers for status, headers, _ in answers if status == 429]
    assert len(refused) == 4
    assert all(headers["Retry-After"] == "1" for headers in refused)


@pytest.mark.parametrize("path", ["/records?ids=one", "/records", "/elsewhere"])
def test_a_malformed_request_is_told_what_to_ask(serve: Any, path: str) -> None:
    status, _, body = get(serve(POLITE), path)
    assert status in (400, 404)
    assert "ids" in body["error"]


def test_the_study_has_442_patients_and_repeats_them_under_new_ids() -> None:
    assert diabetes.who(0) == {"age": 59.0, "sex": 2.0}
    assert diabetes.who(5) == diabetes.who(5 + diabetes.ROWS)
    assert len({tuple(diabetes.measured(n).values()) for n in range(diabetes.ROWS)}) == 442


def test_the_module_shows_what_it_is_by_its_own_example() -> None:
    import doctest

    assert doctest.testmod(records_service).failed == 0
