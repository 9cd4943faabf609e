"""The measurements beside other engines: pairs in turn, and what is missing is said."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bench.peers.pairs import JOBS, pairs, peers


def test_a_peer_that_is_not_there_is_null_with_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PEERS_PLACE", str(tmp_path / "nowhere"))
    found = peers(tmp_path, 1)
    assert found["fanout_over_restate"] is None
    assert found["peers"] == {"restate": None, "dbos": None}
    assert all("nowhere" in why for why in found["peers_missing"].values())
    assert set(found["peers_missing"]) == {"restate", "dbos"}


def test_pairs_alternate_and_the_factor_is_theirs_over_ours() -> None:
    told = []

    async def ours(job: str) -> tuple[float, float]:
        told.append("ours")
        return 0.5, 0.1

    async def theirs(job: str) -> tuple[float, float]:
        told.append("theirs")
        return 2.0, 0.4

    found = asyncio.run(pairs(ours, theirs, "chain", 3))
    assert told == ["ours", "theirs", "theirs", "ours", "ours", "theirs"]
    assert found["over"] == 4.0
    assert found["steps_per_s"] == {"ours": JOBS["chain"] * 2, "theirs": JOBS["chain"] // 2}
    assert found["cpu_ms_per_step"] == {"ours": 0.5, "theirs": 2.0}
