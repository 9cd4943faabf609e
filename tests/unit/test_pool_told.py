"""A pool that pauses and a step that is poison are told wherever somebody looks."""

from __future__ import annotations

from typing import Any

from control_plane.cli.doctor import of_hardware, of_pool
from control_plane.cli.serve import status_lines
from control_plane.web.port import System
from control_plane.web.render import render

WELL = {"name": "local", "state": "working", "for_s": None, "deaths": 0, "pauses": 0,
        "last_death": ""}  # fmt: skip
PAUSED = {**WELL, "state": "paused", "for_s": 8.0, "deaths": 7, "last_death": "signal 11"}
POISON = {"playbook": "a/b", "step": "load", "version": "f" * 32, "deaths": 5,
          "told": "exit code 3", "since": 1_700_000_000.0}  # fmt: skip


def status(pool: dict[str, Any], *poison: dict[str, Any]) -> str:
    engine = {"runs": 1, "in_flight": 0, "stalled": None, "pool": pool, "poison": poison,
              "parked": []}  # fmt: skip
    told = {"url": "http://x", "engine": engine, "record": {"problem": "away"}, "killed": [],
            "workers": []}  # fmt: skip
    return "\n".join(status_lines(told))


def page(pool: dict[str, Any], *poison: dict[str, Any]) -> str:
    return trouble(System([], {}, {}, {}, pool, poison, []))


def trouble(system: System) -> str:
    return render("parts/trouble.html", {"system": system})


def test_status_tells_of_both_and_of_neither_when_all_is_well() -> None:
    said = status(PAUSED, POISON)
    assert "pool      paused for 8 s: signal 11" in said
    assert "poison    a/b load: exit code 3" in said
    assert "pool " not in status(WELL)
    assert "poison" not in status(WELL)


def test_doctor_is_not_content_with_either_and_says_what_to_do() -> None:
    assert of_pool(PAUSED, []) == (False, "the pool pauses: signal 11", "see the server's log")
    well, told, hint = of_pool(WELL, [POISON])
    assert (well, told) == (False, "poison: a/b load (exit code 3)")
    assert "trimtab playbook clear" in hint
    assert of_pool(WELL, [])[:2] == (True, "the pool works")


def test_doctor_names_classes_that_a_server_has_not_taken_from_the_file() -> None:
    assert of_hardware({"gpu": 2, "big": None}, {"big": None, "gpu": 2}) == (
        True, "big, gpu (2 slots), local", "",
    )  # fmt: skip
    well, told, _ = of_hardware({"gpu": 1}, {"gpu": 4})
    assert (well, told) == (
        False, "the server has gpu (1 slot), local; hardware.yaml says gpu (4 slots), local",
    )  # fmt: skip
    assert of_hardware({}, {})[1] == "local"


def test_the_system_page_tells_of_both() -> None:
    said = page(PAUSED, POISON)
    assert "The pool pauses for 8.00 s" in said
    assert "7 workers died" in said
    assert "trimtab playbook clear a/b load" in said
    assert "alert-box" not in page(WELL)


def test_the_system_page_tells_of_runs_that_wait_for_what_is_missing() -> None:
    parked = {"run": "01r", "playbook": "a/b", "why": "its kind magic is not installed"}
    said = trouble(System([], {}, {}, {}, WELL, [], [parked]))
    assert "its kind magic is not installed" in said
    assert "trimtab run cancel 01r" in said
