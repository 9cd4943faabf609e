"""The simulator against runs that really ran: 21 of the demo's playbook, seven settings.

Each setting of batch and in flight ran three times, on a busy machine with two cores
(docs/concepts/what-if.md). What is foretold of a setting is compared with what it took.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from control_plane.cli.main import main
from control_plane.errors import NotFound
from control_plane.what_if import ask, work_of
from optimizer.simulate.estimate import CannotSay, Estimate
from optimizer.simulate.flow import replay
from optimizer.simulate.shadow import replay_check
from optimizer.simulate.what_if import what_if
from optimizer.simulate.work import Work
from runtime.data.folder import DataFolder
from runtime.journal.memory import MemoryJournal
from runtime.journal.port import Append
from runtime.journal.sqlite import SqliteJournal
from runtime.journal.wire import decode

RECORDED = Path(__file__).parents[1] / "data" / "what_if.jsonl.gz"
STEP = "fetch"
Setting = tuple[int, int]


def appends() -> Iterator[Append]:
    """The recorded events, each at its place."""
    lengths: dict[str, int] = {}
    for line in gzip.decompress(RECORDED.read_bytes()).decode().splitlines():
        stream, at, type_, version, body = json.loads(line)
        event = decode(type_, version, json.dumps(body).encode())
        yield Append(stream, lengths.get(stream, 0), at, (event,))
        lengths[stream] = lengths.get(stream, 0) + 1


@pytest.fixture(scope="module")
def journal() -> MemoryJournal:
    held = MemoryJournal()
    for append in appends():
        held.append([append])
    return held


@pytest.fixture(scope="module")
def works(journal: MemoryJournal) -> list[Work]:
    return [work_of(journal, row.run) for row in reversed(journal.runs())]


def setting(work: Work) -> Setting:
    cut = work.of(STEP)[0].cuts[0]
    return cut.size, cut.in_flight


def span(work: Work) -> float:
    return work.of(STEP)[0].span_s


def errors(works: list[Work], history: Callable[[Work, Setting], list[Work]]) -> list[float]:
    """How far off the step's time is foretold, for each pair of settings that can be said."""
    settings = list(dict.fromkeys(map(setting, works)))
    found = []
    for base in (works[i] for i in range(len(settings))):
        for target in settings:
            asked = {STEP: {"each.batch": target[0], "each.in_flight": target[1]}}
            answer = what_if(
                base, asked, random.Random(1), history=history(base, target), slots=8, draws=10
            )
            if target != setting(base) and isinstance(answer, Estimate):
                told = {s.step: s for s in answer.steps}[STEP].span_s.median
                took = median(span(w) for w in works if setting(w) == target)
                found.append(abs(told / took - 1.0))
    return found


def test_each_recorded_run_replayed_takes_as_long_as_it_took(works: list[Work]) -> None:
    assert len(works) == 21
    for work in works:
        assert replay(work).makespan_s == pytest.approx(work.makespan_s, rel=0.005)


def test_each_recorded_run_drawn_again_is_within_a_tenth_of_its_makespan(
    works: list[Work],
) -> None:
    for work in works:
        answer = what_if(work, {}, random.Random(1), draws=30)
        assert isinstance(answer, Estimate)
        assert answer.calibration_error < 0.10, setting(work)


def test_settings_that_no_run_of_history_had_are_foretold(works: list[Work]) -> None:
    off = errors(works, lambda base, target: [
        w for w in works if w is not base and setting(w) != target
    ])  # fmt: skip
    assert len(off) == 36
    assert median(off) < 0.12
    assert max(off) < 0.25


def test_settings_that_history_knows_are_foretold_better(works: list[Work]) -> None:
    off = errors(works, lambda base, target: [w for w in works if w is not base])
    assert len(off) == 42
    assert median(off) < 0.08
    assert max(off) < 0.25


def test_a_run_alone_foretells_concurrency_and_refuses_batch_sizes(works: list[Work]) -> None:
    base = next(w for w in works if setting(w) == (25, 2))
    wider = what_if(base, {STEP: {"each.in_flight": 4}}, random.Random(1), slots=8)
    assert isinstance(wider, Estimate)
    took = median(span(w) for w in works if setting(w) == (25, 4))
    assert {s.step: s for s in wider.steps}[STEP].span_s.median == pytest.approx(took, rel=0.1)
    larger = what_if(base, {STEP: {"each.batch": 100}}, random.Random(1))
    assert isinstance(larger, CannotSay)
    assert larger.why == "one_size"


def test_a_shadow_of_recorded_runs_says_what_the_change_did(works: list[Work]) -> None:
    before = [w for w in works if setting(w) in ((25, 2), (50, 2))]
    diff = [{"knob": "each.batch", "from": 25, "to": 50}]
    check = replay_check(before, STEP, diff, random.Random(1))
    assert check.makespan_delta is not None
    assert check.makespan_delta.lower < -0.2
    assert (check.runs, check.violations) == (6, 0)


def test_history_is_the_other_runs_of_the_same_version(journal: MemoryJournal) -> None:
    run = journal.runs()[-1].run
    answer = ask(journal, run, {STEP: {"each.batch": 100}}, random.Random(1), slots=8)
    assert isinstance(answer, Estimate)
    assert (answer.runs_of_history, answer.kind) == (20, "estimate")
    alone = ask(journal, run, {STEP: {"each.batch": 100}}, random.Random(1), history=0)
    assert isinstance(alone, CannotSay)
    with pytest.raises(NotFound):
        ask(journal, "0" * 32, {}, random.Random(1))


# ---- the command ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> DataFolder:
    found = DataFolder(tmp_path_factory.mktemp("data"))
    held = SqliteJournal(found.journal, 0.0)
    held.append(list(appends()))
    held.close()
    return found


def command(folder: DataFolder, *words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["--data", str(folder.root), "run", "what-if", *words])
    return int(ended.value.code or 0)


def test_the_command_tells_an_estimate_and_what_it_leans_on(
    folder: DataFolder, journal: MemoryJournal, capsys: pytest.CaptureFixture[str]
) -> None:
    run = journal.runs()[-1].run
    assert command(folder, run, "--set", "fetch.each.in_flight=4") == 0
    out = capsys.readouterr().out
    assert out.startswith(f"estimate for run {run} of healthcare/patient_cohort; nothing was run")
    assert "calibrated" in out
    assert "assumes (100 replays, 20 other runs):" in out
    assert command(folder, run, "--set", "fetch.each.in_flight=4", "-o", "json") == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert told["kind"] == "estimate"
    assert told["makespan_s"]["lower"] < told["makespan_s"]["median"] < told["makespan_s"]["upper"]


def test_the_command_says_that_it_cannot_say(
    folder: DataFolder, journal: MemoryJournal, capsys: pytest.CaptureFixture[str]
) -> None:
    run = journal.runs()[-1].run
    words = (run, "--alone", "--set", "fetch.each.batch=100", "-o", "json")
    assert command(folder, *words) == 4
    captured = capsys.readouterr()
    assert json.loads(captured.out)["why"] == "one_size"
    assert captured.err.startswith("cannot say (one_size): fetch: only batches of 25")


@pytest.mark.parametrize("knob", ["fetch.each.batch=many", "fetch.speed=1", "fetch", "fetch=1"])
def test_the_command_refuses_what_is_no_knob(
    folder: DataFolder, journal: MemoryJournal, knob: str
) -> None:
    assert command(folder, journal.runs()[-1].run, "--set", knob) == 2
