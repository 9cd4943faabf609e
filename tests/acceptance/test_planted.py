"""The short form of `bench.planted`: one truth, on a real server, told by its own record."""

from __future__ import annotations

from dataclasses import replace

from bench.planted import answer_of, is_ok, joined, played, wrong
from bench.planted_books import BOOKS
from bench.planted_page import page

BOOK = {book.name: book for book in BOOKS}


def test_a_limit_below_what_the_errors_need_is_found_in_the_record_of_a_run() -> None:
    told = played([replace(BOOK["retry_limit"], items=300, rounds=1)], minutes=1.0)
    row = told["books"][0]
    assert (row["said"], row["ok"]) == ("right", True), row


def test_a_change_that_is_no_gain_is_called_wrong_and_fails_the_bench() -> None:
    change = {"kind": "change", "playbook": "planted/batch", "note": "", "diff": [{"to": 400}]}
    found = answer_of(change)
    assert found.said == "wrong"
    assert not is_ok(found.said, changes=True)
    assert answer_of({**change, "diff": [{"to": 80}]}).said == "right"


def test_what_was_wrong_is_named_on_the_page_and_fails_the_bench() -> None:
    row = {"name": "n", "promise": "p", "changes": True, "best": 0.5, "said": "wrong",
           "value": 3, "worth": 1.2, "ok": False}  # fmt: skip
    told = {
        "on_the_runtime": {"runs": 4, "cycles": 1, "seconds": 60, "books": [row]},
        "planted_histories": [],
    }  # fmt: skip
    assert list(wrong(told)) == ["n"]
    assert any("wrong: 3" in line and "**missed**" in line for line in page(told))


def test_a_trial_that_ended_otherwise_than_it_should_is_named_and_fails_the_bench() -> None:
    ended = {
        "knob": "hedge", "name": "t", "promise": "p", "good": True, "from": 20.0, "to": 0.1,
        "state": "rolled_back", "why": "worse", "ok": False, "truth": -0.5, "measured": 0.1,
        "interval": [-0.1, 0.3], "holds": False, "predicted": None,
    }  # fmt: skip
    silent = {"knob": "timeout", "name": "u", "good": True, "state": "not proposed", "why": "w",
              "ok": False}  # fmt: skip
    night = {"name": "n", "promise": "p", "said": "wrong", "value": "large", "why": "",
             "naive": 0.7, "ok": False}  # fmt: skip
    told = {
        "trials": {"runs": 4, "seconds": 60, "rows": [ended, silent]},
        "nights": {"runs": 4, "seconds": 60, "rows": [night]},
    }  # fmt: skip
    assert list(wrong(told)) == ["the trial of t", "the trial of u", "n"]
    lines = [line for line in page(told) if "**missed**" in line]
    assert len(lines) == 3
    assert "rolled back: worse | +10% (-10% to +30%) | -50% | no" in lines[0]


def test_a_part_measured_by_itself_leaves_the_others_and_their_figures_as_they_are() -> None:
    runtime = {"runs": 4, "cycles": 1, "seconds": 60, "load": 1.5, "books": []}
    trials = {"runs": 9, "seconds": 600, "load": 0.5, "rows": []}
    told = joined(
        {"on_the_runtime": runtime, "trials": {**trials, "plays": 5}}, {"trials": trials}
    )
    assert told == {"on_the_runtime": runtime, "trials": trials}
    heads = [line for line in page(told) if line.startswith("**")]
    assert "4 runs, 60 seconds, in one play, a load of 1.5" in heads[0]
    assert "9 runs, 10 minutes, in one play, a load of 0.5" in heads[1]


def test_rows_of_some_playbooks_join_the_others_and_the_page_says_that_they_are_pieced() -> None:
    def part(runs: int, **rows: str) -> dict[str, object]:
        told = [{"name": name, "good": True, "said": said} for name, said in rows.items()]
        return {"runs": runs, "seconds": 60, "load": runs, "rows": told}

    some = {**part(2, b="new"), "some": True}
    told = joined({"trials": part(5, a="old", b="old")}, {"trials": some})["trials"]
    assert {row["name"]: row["said"] for row in told["rows"]} == {"a": "old", "b": "new"}
    (head,) = [line for line in page({"trials": {**told, "rows": []}}) if line.startswith("**")]
    assert "7 runs, 2 minutes, pieced together from 2 plays, not of one state" in head
