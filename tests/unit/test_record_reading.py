"""The catalogue of errors, and questions read by it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from bench.search_unlisted import without
from runtime.record.embed import Embedder, embedder
from runtime.record.qdrant import Found
from runtime.record.ranking import fuse
from runtime.record.reading import reading
from runtime.record.wording import MOST, catalogue, kinds_of, name_of


@pytest.fixture(scope="module")
def model() -> Embedder:
    return embedder(None)


def test_the_examples_of_a_kind_are_of_that_kind_first() -> None:
    wrong = {
        error: kinds_of(error)
        for kind in catalogue()
        for error in kind.errors
        if name_of(error) != kind.name
    }
    assert wrong == {}


def test_each_kind_has_a_name_of_its_own_plain_words_and_complaints() -> None:
    kinds = catalogue()
    assert [name for name, n in Counter(k.name for k in kinds).items() if n > 1] == []
    assert [k.name for k in kinds if len(k.complaints) < 2 or len(k.gloss) < 20] == []
    assert len(kinds) >= 150


def test_no_complaint_is_of_two_kinds() -> None:
    said = Counter(c.lower() for kind in catalogue() for c in kind.complaints)
    assert [c for c, n in said.items() if n > 1] == []


def test_an_error_is_of_few_kinds_and_an_unknown_one_of_none() -> None:
    assert kinds_of("the flux capacitor is discharged") == ()
    assert len(kinds_of("JSONDecodeError: KeyError: MemoryError: errno 28")) == MOST


MET = (
    ("redis.exceptions.ConnectionError: Error 111 connecting to db. Connection refused.",
     "connection refused"),
    ("0/3 nodes are available: 3 Insufficient nvidia.com/gpu.", "pod not scheduled"),
    ("torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB",
     "graphics card out of memory"),
    ("HTTPError: HTTP Error 403: Forbidden", "access forbidden"),
    ("exit code 1: dd: error writing '/dev/full': No space left on device", "disk full"),
    ("ssl.SSLCertVerificationError: certificate has expired", "certificate not trusted"),
    ("botocore.exceptions.ClientError: AccessDenied", "access forbidden"),
    ("ImportError: cannot import name 'x' from 'y'", "module not installed"),
    ("duckdb.duckdb.CatalogException: Table with name t does not exist!", "no such table"),
)  # fmt: skip


@pytest.mark.parametrize(("error", "kind"), MET)
def test_a_narrow_kind_takes_nothing_from_a_broad_one(error: str, kind: str) -> None:
    assert name_of(error) == kind


ORDINARY = (
    "read 12 rows from the shuffle of partition 3", "checkpoint 4 written", "migration 7 applied",
    "loss: 0.31", "42 rows after removing those seen before", "git clone done", "epoch 3 of 10",
)  # fmt: skip


@pytest.mark.parametrize("line", ORDINARY)
def test_what_a_healthy_step_prints_is_of_no_kind(line: str) -> None:
    assert kinds_of(line) == ()


ASKED = (
    ("the machine had no storage left for the film", "disk full"),
    ("whoever we called has not started its server", "connection refused"),
    ("they want us to call less often", "too many requests"),
    ("no node of the cluster had room for the container", "pod not scheduled"),
    ("the loss exploded to infinity while training", "loss became NaN"),
    ("the standby was far behind the primary", "replica behind"),
    ("no one renewed the certificate of the partner", "certificate not trusted"),
    ("somebody else edited the order at the same time", "conflict"),
    ("the employees' names with umlauts broke the export", "wrong text encoding"),
)


@pytest.mark.parametrize(("question", "kind"), ASKED)
def test_a_question_is_read_as_what_it_complains_of(
    question: str, kind: str, model: Embedder
) -> None:
    read = reading(model).of(question, model.embed([question])[0])
    assert kind in sorted(read.shares, key=lambda name: -read.shares[name])[:2]
    assert sum(read.shares.values()) == pytest.approx(1)
    assert sum(x * x for x in read.vector) == pytest.approx(1)


def test_a_question_moves_toward_what_it_was_read_as(model: Embedder) -> None:
    asked = model.embed(["the machine had no storage left"])[0]
    read = reading(model).of("the machine had no storage left", asked)
    gloss = model.embed([next(k.gloss for k in catalogue() if k.name == "disk full")])[0]
    assert _cosine(read.vector, gloss) > _cosine(asked, gloss)


def test_what_is_no_complaint_is_of_no_kind_above_all(model: Embedder) -> None:
    text = "a walk along the river with my grandmother"
    shares = reading(model).of(text, model.embed([text])[0]).shares
    assert max(shares, key=lambda name: shares[name]) == ""


def test_of_points_equally_near_those_of_the_likelier_kind_come_first() -> None:
    found = [_found("a", "disk full"), _found("b"), _found("c", "conflict", "disk full")]
    hits = fuse("full", found, [], shares={"disk full": 0.6, "conflict": 0.3})
    assert [hit.id for hit in hits] == ["a", "c", "b"]
    assert [hit.id for hit in fuse("full", found, [])] == ["a", "b", "c"]


def test_an_error_that_nobody_knows_gains_by_the_share_of_none() -> None:
    known, strange = _found("a", "disk full"), _found("b")
    strange.payload["error"] = "the flux capacitor is discharged"
    hits = fuse("flux", [known, strange], [], shares={"disk full": 0.2, "": 0.8})
    assert [hit.id for hit in hits] == ["b", "a"]


def _found(name: str, *kinds: str) -> Found:
    said = {"kind": "failure", "text": "full", "playbook": "", "step": "", "state": ""}
    met = {"count": 1, "first_at": 0.0, "last_at": 0.0, "stream": "", "stream_seq": 1}
    return Found(name, 0.5, {**said, **met, "kinds": list(kinds)})


def _cosine(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def test_a_kind_that_is_left_out_is_unknown_until_it_is_back() -> None:
    error = "OSError: No space left on device"
    with without(frozenset({"disk full"})):
        assert kinds_of(error) == ()
    assert kinds_of(error) == ("disk full",)
