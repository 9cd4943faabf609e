"""What the record needs of an embedder, promised by the small model and by MiniLM alike.

MiniLM comes with the ``[embeddings]`` extra, its weights from a package. Without the extra
these tests fail, as everything does that we say works and did not run.
"""

from __future__ import annotations

import socket
from functools import cache

import pytest

from runtime.record.embed import Dense, Embedder, SentenceEmbedder, StaticEmbedder


class TestEmbedder:
    """The port's promises, kept by the model that ships with us and by MiniLM itself, offline."""

    @pytest.fixture(params=["static", "all-MiniLM-L6-v2"])
    def model(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Embedder:
        monkeypatch.setattr(socket.socket, "connect", _no_network)
        return _model(request.param)

    @pytest.mark.parametrize(
        ("one", "alike", "other"),
        [
            ("service timeout", "read timed out", "column has null values"),
            (
                "the records service refused too many requests",
                "HTTP 429: rate limit exceeded, too many calls",
                "the column has null values",
            ),
        ],
    )
    def test_what_means_the_same_is_nearer_than_what_does_not(
        self, model: Embedder, one: str, alike: str, other: str
    ) -> None:
        asked, near, far = model.embed([one, alike, other])
        assert _cosine(asked, near) > _cosine(asked, far) + 0.1

    def test_a_vector_a_text_in_order_of_length_one(self, model: Embedder) -> None:
        texts = ["service timeout", "", "service timeout", "x" * 5_000]
        vectors = model.embed(texts)
        assert [len(v) for v in vectors] == [model.dimensions] * 4
        assert [_cosine(v, v) for v in vectors] == pytest.approx([1.0] * 4)
        assert vectors[0] == pytest.approx(vectors[2], abs=1e-5)
        assert vectors[0] == pytest.approx(model.embed(texts[:1])[0], abs=1e-5)
        assert model.embed([]) == []


@cache
def _model(name: str) -> Embedder:
    return StaticEmbedder() if name == "static" else SentenceEmbedder(name)


def _no_network(*_: object) -> None:
    raise AssertionError("a model that we ship or package is loaded offline")


def _cosine(a: Dense, b: Dense) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def test_each_model_has_a_name_of_its_own() -> None:
    assert StaticEmbedder().name != SentenceEmbedder("all-MiniLM-L6-v2").name
