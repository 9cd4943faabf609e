"""A proposal's evidence as the command line tells it."""

from __future__ import annotations

from control_plane.cli.evidence import TOLD, evidence_lines


def test_evidence_is_told_whole_in_words_and_says_how_much_is_left_out() -> None:
    sizes = [{"value": size, "retried_share": 0.0084034, "tried": True} for size in range(9)]
    window = {"runs": 8, "from": 1795813541, "to": None}
    told = list(evidence_lines({"diff": [1], "window": window, "values": sizes, "effects": []}))
    assert told[0].startswith("window: runs 8, from 2026-11-2")
    assert told[1] == "values: " + "; ".join(
        [*(f"value {n}, retried share 0.0084, tried yes" for n in range(TOLD)), "and 5 more"]
    )
    assert len(told) == 2
