"""The short form of `bench.chaos`: everything is killed with -9, and all is as it was promised."""

from __future__ import annotations

from pathlib import Path

from bench.chaos import play
from bench.chaos_killer import Plan

SHORT = Plan(
    seconds=3.0,
    runs=14,
    burst=10,
    slots=2,
    every={"worker": 0.7, "template": 4.0, "recorder": 2.5, "server": 1.5},
    last_server_kill=0.5,
    fill_at=(0.6,),
    fill_s=1.0,
    mounted=False,
)


def test_whatever_is_killed_every_run_ends_exactly_and_nothing_is_lost_or_left(
    tmp_path: Path,
) -> None:
    found = play(SHORT, tmp_path)
    broken = {name: told for name, told in found["checks"].items() if not told["ok"]}
    assert not broken, found["said"]
    assert found["kills"]["server"] >= 1
    assert found["kills"]["worker"] >= 1
    assert found["kills"]["disk filled"] == 1
