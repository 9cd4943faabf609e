"""How answers are scored, what an attempt is found by, and how failures are grouped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.record.causes import causes
from runtime.record.embed import embedder
from runtime.record.noted import LINES, lines, noted
from runtime.record.scoring import BadQuestions, Question, read, score, scores
from runtime.record.wording import gloss, name_of
from runtime.run.events import (
    AttemptFinished,
    AttemptScheduled,
    ConfigStored,
    Event,
    Recorded,
    RunSubmitted,
)


def _hit(step: str, **payload: Any) -> dict[str, Any]:
    return {"playbook": "p", "step": step, "payload": payload}


ASKED = Question("why", (({"playbook": "p", "step": "a"}, 2), ({"playbook": "p", "step": "b"}, 1)))


def test_the_best_order_scores_one_and_another_less() -> None:
    best = score(ASKED, [_hit("a"), _hit("b"), _hit("c")])
    assert (best.ndcg10, best.recall10, best.mrr) == (1.0, 1.0, 1.0)
    assert 0 < score(ASKED, [_hit("b"), _hit("a")]).ndcg10 < 1
    assert score(ASKED, [_hit("c"), _hit("a")]).mrr == 0.5
    assert score(ASKED, [_hit("c")]).ndcg10 == 0


def test_an_answer_counts_once() -> None:
    twice = score(ASKED, [_hit("a"), _hit("a"), _hit("b")])
    assert twice.recall10 == 1.0
    assert twice.ndcg10 < 1.0


@given(st.permutations(["a", "b", *"cdefghijklmno"]))
def test_scores_are_shares_and_end_at_the_tenth_place(order: list[str]) -> None:
    said = score(ASKED, [_hit(step) for step in order])
    assert 0 <= said.ndcg10 <= 1
    assert said.recall10 == len({"a", "b"} & set(order[:10])) / 2


def test_fields_of_the_payload_name_an_answer_too() -> None:
    asked = Question("why", (({"fingerprint": "f"}, 1),))
    assert score(asked, [_hit("x", fingerprint="f")]).ndcg10 == 1.0


def test_questions_are_read_by_split_and_faults_are_named() -> None:
    rows = [
        {"question": "a", "relevant": [{"step": "s", "grade": 2}], "split": "dev"},
        {"question": "b", "relevant": [{"step": "s"}], "split": "test", "kind": "failure"},
    ]
    (only,) = read(rows, "test")
    assert (only.text, only.kind, only.relevant) == ("b", "failure", (({"step": "s"}, 1),))
    assert len(read(rows)) == 2
    for bad, why in (
        ([], "cannot be empty"), ([{"question": "a"}], "question 1 needs"),
    ):  # fmt: skip
        with pytest.raises(BadQuestions, match=why):
            read(bad)
    with pytest.raises(BadQuestions, match="dev, test"):
        read(rows, "other")


def test_each_ranking_is_asked_in_its_own_way() -> None:
    told = scores([ASKED], lambda text, by, kind: [_hit("a" if by == "words" else "c")])
    assert (told["bm25"].mrr, told["dense"].mrr, told["hybrid"].mrr) == (1.0, 0.0, 0.0)


class Journal:
    """Facts by their place."""

    def __init__(self, *events: tuple[str, Event]) -> None:
        self._kept: dict[tuple[str, int], Recorded] = {}
        for pos, (stream, event) in enumerate(events, start=1):
            seq = 1 + sum(s == stream for s, _ in self._kept)
            self._kept[stream, seq] = Recorded(1, pos, stream, seq, float(pos), event)

    def event(self, stream: str, seq: int) -> Recorded | None:
        return self._kept.get((stream, seq))

    def read(self, stream: str, after: int = 0) -> Iterator[Recorded]:
        return (r for (s, n), r in self._kept.items() if s == stream and n > after)


def _kinds(**finished: Any) -> list[str]:
    journal = Journal(
        ("config/c", ConfigStored("c", "p", "s", {"timeout": 4.0}, [])),
        ("run/r", RunSubmitted("p", "v", 1, {}, "local")),
        ("run/r", AttemptScheduled("r/s/0/1", "s", 1, "c", "k")),
        ("run/r", AttemptFinished("r/s/0/1", "s", finished.pop("number", 1), "succeeded", 2,
                                  **finished)),
    )  # fmt: skip
    found = journal.event("run/r", 3)
    assert found is not None
    assert isinstance(found.event, AttemptFinished)
    return [mark.kind for mark in noted(found, found.event, journal)]


def test_an_attempt_is_slow_that_took_half_of_its_limit() -> None:
    assert _kinds(run_s=1.9) == []
    assert _kinds(run_s=2.1) == ["slow"]


def test_a_later_try_and_what_was_printed_are_found() -> None:
    assert _kinds(number=2) == ["retried"]
    assert _kinds(stdout="no space left\nno space left\ndone") == ["log", "log"]
    assert _kinds(stdout="secret", copied=True) == []


def test_of_many_lines_the_first_and_the_last_are_kept() -> None:
    letters = [chr(ord("a") + n % 26) * (1 + n // 26) for n in range(100)]
    kept = lines("\n".join(letters))
    assert len(kept) == LINES
    assert (kept[0], kept[-1]) == (letters[0], letters[-1])


@pytest.mark.parametrize(
    ("error", "name"),
    [
        ("FileNotFoundError: [Errno 2] No such file or directory: '/a/b.csv'", "file not found"),
        ("ModuleNotFoundError: No module named 'x'", "module not installed"),
        ("gaierror: [Errno -2] Name or service not known", "name not resolved"),
        ("OSError: [Errno 28] No space left on device", "disk full"),
        ("IndexError: list index out of range", "nothing in the data"),
        ("HTTPError: HTTP Error 503: Service Unavailable", "service unavailable"),
    ],
)
def test_an_error_has_the_name_of_its_kind(error: str, name: str) -> None:
    assert name_of(error) == name
    assert gloss(error).startswith(name)


def test_an_error_nobody_knows_has_no_plain_words() -> None:
    assert (name_of("the frobnicator is unhappy"), gloss("the frobnicator is unhappy")) == ("", "")


def _failure(step: str, error: str, count: int, at: float) -> dict[str, Any]:
    return {
        "playbook": "p", "step": step, "text": f"failed step {step}: {error}", "error": error,
        "message": error, "count": count, "first_at": at, "last_at": at + 1, "stream": "run/r",
        "stream_seq": 3,
    }  # fmt: skip


def test_failures_of_one_cause_are_one_group_wherever_they_happened() -> None:
    found = causes(
        [
            _failure("a", "ConnectError: [Errno 111] Connection refused", 2, 5.0),
            _failure("b", "ConnectionRefusedError: [Errno 111] Connection refused", 3, 1.0),
            _failure("c", "OSError: [Errno 28] No space left on device", 4, 2.0),
        ],
        embedder(None),
    )
    assert [(c.name, c.count, c.failures) for c in found] == [
        ("connection refused", 5, 2), ("disk full", 4, 1),
    ]  # fmt: skip
    assert (found[0].first_at, found[0].last_at) == (1.0, 6.0)
    assert found[0].where == [["p", "b"], ["p", "a"]]
    assert found[0].example["step"] == "b"
