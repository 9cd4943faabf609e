"""What an event within retention refers to stays; what nothing refers to goes, in the end."""

from __future__ import annotations

import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from runtime.data.folder import DataFolder
from runtime.data.objects import Objects
from runtime.data.place import Place, open_store, settle_place
from runtime.data.reference import Reference
from runtime.data.store import FolderStore, Store, Stored
from runtime.errors import DataError
from runtime.journal.port import Append
from runtime.journal.sqlite import SqliteJournal
from runtime.retention.collect import DAY_S, Collected, Collector, Retention
from runtime.run.events import (
    AttemptFinished,
    ContextSet,
    Event,
    Fault,
    ProductPublished,
    RunCompleted,
    RunFailed,
    RunSubmitted,
    ScheduleSet,
)

RETENTION = Retention(values_days=10, results_days=100, scratch_days=5, products_days=50)
HERE = Path(__file__).parents[2]
NOW = 1_700_000_000.0


def submitted(**workload: Any) -> RunSubmitted:
    return RunSubmitted("a/b", "v1", 1, workload, "me")


def finished(value: Any, sets: dict[str, Any] | None = None) -> AttemptFinished:
    return AttemptFinished("r/s/-1/1", "s", 1, "succeeded", 2, result=value, sets=sets)


class Room:
    """A data folder with a journal, objects of set age, and a collector."""

    def __init__(self, root: Path) -> None:
        self.folder = DataFolder(root)
        self.folder.prepare()
        self.objects = Objects(self.folder.objects)
        self.journal = SqliteJournal(self.folder.journal, NOW)

    def say(self, stream: str, *events: Event, at: float = NOW) -> None:
        self.journal.append([Append(stream, self.journal.head(stream), at, events)])

    def put(self, value: Any, age_s: float = 2 * DAY_S) -> Reference:
        ref = self.objects.put_json(value)
        self.age(ref, age_s)
        return ref

    def age(self, ref: Reference, age_s: float) -> None:
        os.utime(self.objects.path(ref), (NOW - age_s, NOW - age_s))

    def has(self, ref: Reference) -> bool:
        return (self.folder.objects / ref["$ref"][:2] / ref["$ref"]).exists()

    def collect(self, now: float = NOW, **more: Any) -> Collected:
        store = FolderStore(self.folder.objects)
        return Collector(self.folder, store, self.journal, RETENTION).collect(now, **more)


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    made = Room(tmp_path)
    yield made
    made.journal.close()


def test_what_no_event_refers_to_goes_once_it_is_older_than_the_grace(room: Room) -> None:
    old, young = room.put("old"), room.put("young", age_s=60)
    told = room.collect()
    assert (room.has(old), room.has(young)) == (False, True)
    assert (told.objects, told.young, told.kept) == (1, 1, 1)


def test_a_dry_run_tells_the_same_and_removes_nothing(room: Room) -> None:
    old = room.put("old")
    (room.folder.run("nobody")).mkdir()
    os.utime(room.folder.run("nobody"), (0, 0))
    told = room.collect(dry_run=True)
    assert (told.objects, told.object_bytes, told.scratch_folders) == (1, old["bytes"], 1)
    assert (room.has(old), room.folder.run("nobody").exists()) == (True, True)
    assert room.collect().objects == 1


def test_a_live_run_holds_all_that_its_events_name_however_old(room: Room) -> None:
    refs = [room.put(n, age_s=9999 * DAY_S) for n in range(3)]
    room.say("run/r", submitted(x=refs[0]), finished({"deep": [refs[1]]}), at=NOW - 9999 * DAY_S)
    room.say("run/r", ContextSet({"y": refs[2]}))
    assert room.collect().objects == 0


@pytest.mark.parametrize(
    ("event", "days"),
    [
        (lambda ref: finished(ref), 10),
        (lambda ref: submitted(x=ref), 10),
        (lambda ref: finished(None, sets={"kept": ref}), 100),
        (lambda ref: ContextSet({"kept": ref}), 100),
        (lambda ref: RunCompleted(ref), 100),
    ],
)
def test_an_ended_run_holds_values_for_a_while_and_results_for_longer(
    room: Room, event: Any, days: float
) -> None:
    ref = room.put("it", age_s=9999 * DAY_S)
    room.say("run/r", submitted(), event(ref), at=NOW - 5000 * DAY_S)
    room.say("run/r", RunCompleted(ref if isinstance(event(ref), RunCompleted) else None))
    room.collect(NOW + (days - 0.1) * DAY_S)
    assert room.has(ref)
    room.collect(NOW + (days + 0.1) * DAY_S)
    assert not room.has(ref)


def test_a_run_that_goes_on_holds_its_values_again(room: Room) -> None:
    ref = room.put("it")
    room.say("run/r", submitted(x=ref), RunFailed("s", Fault("data", "no")), at=NOW)
    room.say("run/r", submitted(x=ref), at=NOW)
    assert room.collect(NOW + 99 * DAY_S).objects == 0


def test_what_another_run_still_needs_stays(room: Room) -> None:
    ref = room.put("shared")
    room.say("run/old", submitted(), finished(ref), RunCompleted(), at=NOW - 99 * DAY_S)
    room.say("run/new", submitted(x=ref))
    assert room.collect().objects == 0


def test_a_schedule_holds_what_it_will_start_with(room: Room) -> None:
    ref = room.put("kept")
    room.say("schedule/s", ScheduleSet("s", "* * * * *", "UTC", "a/b", {"x": ref}, "me"))
    assert room.collect(NOW + 9999 * DAY_S).objects == 0


def test_what_a_live_object_refers_to_is_live_however_deep(room: Room) -> None:
    leaf = room.put("leaf")
    middle = room.put({"in": [leaf]})
    outer = room.put([middle])
    room.say("run/r", submitted(x=outer))
    told = room.collect()
    assert (told.objects, told.live) == (0, 3)


def test_a_text_that_looks_like_a_reference_holds_nothing(room: Room) -> None:
    ref = room.put("it")
    room.say("run/r", submitted(x=f'{{"$ref":"{ref["$ref"]}","sha256":"x"}}'))
    assert room.collect().objects == 1


def test_what_an_attempt_in_flight_wrote_is_held_until_it_reports(room: Room) -> None:
    ref = room.put("written by a slow attempt", age_s=DAY_S)
    assert room.collect(held_since=NOW - 2 * DAY_S).objects == 0
    assert room.has(ref)
    assert room.collect(held_since=NOW).objects == 1


def test_an_old_object_that_is_pinned_or_put_again_stays(room: Room) -> None:
    pinned, again = room.put("pinned"), room.put("again")
    before = NOW - 3600
    room.objects.pin({"x": [pinned]})
    assert room.objects.put_json("again") == again
    store = FolderStore(room.folder.objects)
    assert not store.release(pinned["$ref"], before)
    assert not store.release(again["$ref"], before)
    with pytest.raises(DataError, match="was released"):
        room.objects.pin({**pinned, "$ref": "0" * 64 + ".json"})


def test_a_pin_reaches_what_stands_inside_however_deep(room: Room) -> None:
    deep = room.put("deep")
    middle = room.put([deep, "another"])
    outer = room.put({"x": middle})
    room.objects.pin([outer])
    store = FolderStore(room.folder.objects)
    assert not any(store.release(ref["$ref"], NOW - 3600) for ref in (deep, middle, outer))
    room.objects.path(deep).unlink()
    with pytest.raises(DataError, match="was released"):
        room.objects.pin([outer])


def test_a_live_object_that_is_not_there_is_told_and_stops_nothing(room: Room) -> None:
    lost, old = room.put(["lost"]), room.put("old")
    room.say("run/r", submitted(x=lost))
    room.objects.path(lost).unlink()
    told = room.collect()
    assert (told.missing, told.objects) == ([lost["$ref"]], 1)
    assert not room.has(old)


def test_what_was_left_half_written_goes_when_it_is_old(room: Room) -> None:
    for name, at in ((".aside-old", NOW - DAY_S), (".aside-new", NOW)):
        (room.folder.objects / name).write_bytes(b"half")
        os.utime(room.folder.objects / name, (at, at))
    assert room.collect().half_written == 1
    assert (room.folder.objects / ".aside-new").exists()


def test_a_scratch_folder_outlives_its_run_by_its_retention(room: Room) -> None:
    for run in ("live", "ended", "unknown"):
        (room.folder.run(run) / "deep").mkdir(parents=True)
        os.utime(room.folder.run(run), (NOW - DAY_S, NOW - DAY_S))
    room.say("run/live", submitted())
    room.say("run/ended", submitted(), RunCompleted())
    assert room.collect(NOW).scratch_folders == 1
    assert not room.folder.run("unknown").exists()
    assert room.collect(NOW + 6 * DAY_S).scratch_folders == 1
    assert room.folder.run("live").exists()


def test_a_products_newest_version_stays_for_ever(room: Room) -> None:
    folder = room.folder.products / "p"
    folder.mkdir()
    for number in (1, 2, 3):
        (folder / f"{number}.parquet").write_bytes(b"rows")
        os.utime(folder / f"{number}.parquet", (NOW - DAY_S, NOW - DAY_S))
    for number in (1, 2):
        told = ProductPublished("s", "p", number, f"products/p/{number}.parquet", "", 1, 4, "", {})
        room.say("run/r", told)
    assert room.collect(NOW).product_versions == 1  # the third was never published
    assert room.collect(NOW + 51 * DAY_S).product_versions == 1
    assert [path.name for path in folder.iterdir()] == ["2.parquet"]


def test_marks_that_were_lost_are_made_again(room: Room) -> None:
    held, old = room.put("held"), room.put("old")
    room.say("run/r", submitted(x=held))
    room.collect(dry_run=True)
    for path in room.folder.root.glob("objects.db*"):
        path.unlink()
    room.collect()
    assert (room.has(held), room.has(old)) == (True, False)


def test_a_pass_reads_only_what_is_new_and_forgets_what_holds_nothing(room: Room) -> None:
    ref = room.put("it")
    room.say("run/r", submitted(x=ref), RunCompleted())
    assert [room.collect().events_read for _ in range(2)] == [2, 0]
    room.collect(NOW + 200 * DAY_S)
    with sqlite3.connect(room.folder.marks) as db:
        assert db.execute("select count(*) from mark").fetchone() == (0,)
        assert db.execute("select count(*) from run").fetchone() == (0,)
    db.close()


RELEASER = """
import sys, time
from pathlib import Path
from runtime.data.store import FolderStore
store = FolderStore(Path(sys.argv[1]))
print("ready", flush=True)
while True:
    store.release(sys.argv[2], time.time() - 1000)
"""


def test_an_old_object_that_is_put_again_while_it_is_released_is_there(room: Room) -> None:
    ref = room.put("it", age_s=2000)
    args = [sys.executable, "-c", RELEASER, str(room.folder.objects), ref["$ref"]]
    with subprocess.Popen(args, stdout=subprocess.PIPE, cwd=HERE) as releaser:
        assert releaser.stdout is not None
        releaser.stdout.readline()
        try:
            for _ in range(200):
                room.objects.put_json("it")
                path = room.objects.path(ref)
                os.utime(path, (time.time() - 2000,) * 2)
        finally:
            releaser.kill()


class Crash(Exception):
    """Stands for the end of the process, in the middle of a pass."""


class Crashing:
    """A store whose process ends at one of its next steps."""

    def __init__(self, store: Store, steps: int) -> None:
        self._store, self._steps = store, steps
        self.place, self.sweep = store.place, store.sweep
        self.keep, self.freshen = store.keep, store.freshen

    def _step(self) -> None:
        self._steps -= 1
        if self._steps < 0:
            raise Crash

    def path(self, name: str) -> Path:
        self._step()
        return self._store.path(name)

    def release(self, name: str, before: float) -> bool:
        self._step()
        gone = self._store.release(name, before)
        self._step()
        return gone

    def list(self) -> Iterator[Stored]:
        for stored in self._store.list():
            self._step()
            yield stored


class Interleaved(RuleBasedStateMachine):
    """Puts, commits, ends, time, crashes and passes, in any order."""

    waiting = Bundle("waiting")
    """References that are written and in no event yet, as an attempt has them in hand."""
    place: Path
    far = False
    """Whether objects lie behind a URL."""

    @initialize()
    def begin(self) -> None:
        self.now = NOW
        self.root = Path(tempfile.mkdtemp(dir=self.place))
        if self.far:
            settle_place(self.root / "objects", Place(f"file://{self.root}/there"))
        self.lie = self.root / ("there" if self.far else "objects")
        self.room = Room(self.root)
        self.holds: dict[str, list[tuple[str, Reference]]] = {}
        self.ended: dict[str, float] = {}
        self.inner: dict[str, list[Reference]] = {}
        self.hand: list[tuple[float, Reference]] = []

    @rule(target=waiting, seed=st.integers(0, 5))
    def put(self, seed: int) -> Reference:
        return self._written(self.room.objects.put_json([seed]), [])

    @rule(target=waiting, inside=waiting, seed=st.integers(0, 2))
    def put_around(self, inside: Reference, seed: int) -> Reference:
        """An object that refers to another, which may have been released meanwhile."""
        if not self._pinned(inside):
            return inside
        return self._written(self.room.objects.put_json([seed, inside]), [inside])

    def _written(self, ref: Reference, inner: list[Reference]) -> Reference:
        self.inner[ref["$ref"]] = inner
        self._touch(ref, kept=True)
        self.hand.append((self.now, ref))
        return ref

    def _pinned(self, ref: Reference) -> bool:
        """Make it young; what was released cannot be, though its mark may be left there."""
        try:
            self.room.objects.pin(ref)
        except DataError:
            mark = self.lie / "young" / ref["$ref"]
            if self.far and mark.exists():
                os.utime(mark, (self.now, self.now))
            return False
        self._touch(ref)
        return True

    def _touch(self, ref: Reference, *, kept: bool = False) -> None:
        """Give what was just kept or freshened the time of this story."""
        name = ref["$ref"]
        folder = "young" if self.far and not kept else name[:2]
        os.utime(self.lie / folder / name, (self.now, self.now))
        for inner in () if kept else self.inner[name]:
            self._touch(inner)

    @rule(ref=waiting, run=st.sampled_from("abc"), kind=st.sampled_from(["value", "set", "end"]))
    def commit(self, ref: Reference, run: str, kind: str) -> None:
        """An event names it, as the engine does: what is no longer there is refused."""
        if not self._pinned(ref):
            return
        event: Event = finished(ref)
        if kind == "set":
            event = ContextSet({"x": ref})
        if run not in self.holds or run in self.ended:
            self.room.say(f"run/{run}", submitted(), at=self.now)
            self.ended.pop(run, None)
        if kind == "end":
            event = RunCompleted(ref)
            self.ended[run] = self.now
        self.room.say(f"run/{run}", event, at=self.now)
        self.holds.setdefault(run, []).append(("value" if kind == "value" else "result", ref))

    @rule(run=st.sampled_from("abc"))
    def end(self, run: str) -> None:
        if run in self.holds and run not in self.ended:
            self.room.say(f"run/{run}", RunFailed("s", Fault("data", "no")), at=self.now)
            self.ended[run] = self.now

    @rule(days=st.sampled_from([0.01, 0.03, 1, 9, 60, 200]))
    def wait(self, days: float) -> None:
        self.now += days * DAY_S

    @rule(steps=st.integers(0, 12))
    def collect_and_crash(self, steps: int) -> None:
        try:
            self._collect(Crashing(self._store(), steps))
        except Crash:
            self.room.journal.close()
            self.room = Room(self.root)

    @rule()
    def collect(self) -> None:
        self._collect(self._store())

    def _store(self) -> Store:
        return open_store(self.room.folder.objects)

    def _collect(self, store: Store) -> None:
        told = Collector(self.room.folder, store, self.room.journal, RETENTION).collect(self.now)
        assert told.missing == []
        self._forget_expired()

    def _forget_expired(self) -> None:
        """What a pass may have released is held by nothing that comes back later."""
        for run, held in self.holds.items():
            self.holds[run] = [one for one in held if self._within(run, one[0])]

    def _within(self, run: str, kind: str) -> bool:
        days = RETENTION.values_days if kind == "value" else RETENTION.results_days
        return run not in self.ended or self.ended[run] > self.now - days * DAY_S

    def _needed(self) -> set[str]:
        need = [ref for run, held in self.holds.items() for kind, ref in held
                if self._within(run, kind)]  # fmt: skip
        need += [ref for at, ref in self.hand if at >= self.now - RETENTION.grace_s]
        names: set[str] = set()
        while need:
            ref = need.pop()
            if ref["$ref"] not in names:
                names.add(ref["$ref"])
                need += self.inner[ref["$ref"]]
        return names

    @invariant()
    def nothing_that_is_needed_is_missing(self) -> None:
        if hasattr(self, "room"):
            lie = {stored.name for stored in self._store().list()}
            assert self._needed() <= lie

    def teardown(self) -> None:
        if not hasattr(self, "room"):
            return
        self.now += 2 * RETENTION.grace_s
        self._collect(self._store())
        lie = {stored.name for stored in self._store().list()}
        assert lie == self._needed()
        self.room.journal.close()


@pytest.mark.parametrize("far", [False, True])
def test_in_any_order_with_crashes_between_nothing_needed_is_ever_missing(
    tmp_path: Path, far: bool
) -> None:
    machine = type("Here", (Interleaved,), {"place": tmp_path, "far": far})
    some = settings(
        max_examples=25, stateful_step_count=25, deadline=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    run_state_machine_as_test(machine, settings=some)  # type: ignore[no-untyped-call]


WRITER = """
import random, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests_collect_room import Room, submitted, finished, RETENTION
from dataclasses import replace
from runtime.retention.collect import Collector
from runtime.data.store import FolderStore

room = Room(Path(sys.argv[1]))
chance = random.Random(int(sys.argv[3]))
short = replace(RETENTION, grace_s=0.5)
n = 0
while True:
    n += 1
    ref = room.objects.put_json([chance.randrange(40)])
    if chance.random() < 0.5:
        room.say("run/r", submitted() if n == 1 else finished(ref), at=time.time())
        if n > 1:
            print(ref["$ref"], flush=True)
    if chance.random() < 0.3:
        store = FolderStore(room.folder.objects)
        Collector(room.folder, store, room.journal, short).collect(time.time())
"""


def test_a_process_killed_at_any_moment_leaves_no_reference_dangling(tmp_path: Path) -> None:
    (tmp_path / "tests_collect_room.py").write_text(Path(__file__).read_text())
    root, chance = tmp_path / "data", random.Random(7)
    committed: set[str] = set()
    for round_ in range(6):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(root), str(tmp_path), str(round_)],
            stdout=subprocess.PIPE, text=True, cwd=HERE,
        )  # fmt: skip
        assert writer.stdout is not None
        for _ in range(chance.randrange(3, 40)):
            committed.add(writer.stdout.readline().strip())
        os.kill(writer.pid, signal.SIGKILL)
        rest = writer.stdout.read().split()
        writer.stdout.close()
        writer.wait()
        committed |= {name for name in rest if len(name) == 69}
        lie = {stored.name for stored in FolderStore(DataFolder(root).objects).list()}
        assert committed <= lie, round_
    room = Room(root)
    later = time.time() + 10
    store = FolderStore(room.folder.objects)
    Collector(room.folder, store, room.journal, Retention(grace_s=1.0)).collect(later)
    kept = {stored.name for stored in store.list()}
    assert committed <= kept
    bodies = "".join(row[-1] for row in room.journal.follow_rows({}, 100_000))
    named = set(re.findall(r"[0-9a-f]{64}\.json", bodies))
    room.journal.close()
    assert kept == named
