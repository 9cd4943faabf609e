"""One contract for every store of objects, and what holds for a store that is elsewhere."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from patience import until
from runtime.data import cache
from runtime.data.cache import Cache
from runtime.data.folder import DataFolder
from runtime.data.objects import Objects
from runtime.data.place import Place, connect, open_store, settle_place
from runtime.data.remote import RemoteStore
from runtime.data.store import FolderStore, Missing, Store, Unavailable
from runtime.engine.engine import Engine, Submit
from runtime.journal.port import Append
from runtime.journal.sqlite import SqliteJournal
from runtime.playbook.bundle import load_text
from runtime.retention.collect import Collector, Retention
from runtime.run.events import AttemptFinished, RunSubmitted
from runtime.tools import faults
from runtime.tools.faults import Origin
from runtime.workers.local import LocalPool

Make = Callable[[Path], Store]
NOBODY = Origin("", "", 0, "s")


def folder_store(_: pytest.FixtureRequest) -> Make:
    return FolderStore


def file_store(request: pytest.FixtureRequest) -> Make:
    url = f"file://{request.getfixturevalue('tmp_path')}/elsewhere"
    return lambda root: RemoteStore(root, connect(Place(url)), url, 1 << 30)


def memory_store(_: pytest.FixtureRequest) -> Make:
    from obstore.store import MemoryStore

    kept = MemoryStore()
    return lambda root: RemoteStore(root, kept, "memory", 1 << 30)


def s3_store(request: pytest.FixtureRequest) -> Make:
    request.getfixturevalue("lonely")
    place = request.getfixturevalue("gateway").place()
    return lambda root: RemoteStore(root, connect(place), place.url, 1 << 30)


@pytest.fixture(params=[folder_store, file_store, memory_store, s3_store])
def make(request: pytest.FixtureRequest) -> Make:
    made: Make = request.param(request)
    return made


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "objects"


@pytest.fixture
def store(make: Make, root: Path) -> Store:
    return make(root)


def put(store: Store, root: Path, data: bytes) -> str:
    root.mkdir(exist_ok=True)
    aside = root / ".aside-test"
    aside.write_bytes(data)
    name = f"{hashlib.sha256(data).hexdigest()}.bin"
    store.keep(aside, name)
    assert not aside.exists()
    return name


def at(store: Store, name: str) -> float:
    return next(stored.at for stored in store.list() if stored.name == name)


def past(moment: float) -> bool:
    return time.time() > moment


class TestEveryStore:
    """What a store owes its callers, whichever it is."""

    def test_what_is_kept_is_there_whole_and_listed_once(self, store: Store, root: Path) -> None:
        names = [put(store, root, data) for data in (b"", b"one", b"two" * 100_000, b"one")]
        assert [store.path(name).read_bytes() for name in names[1:3]] == [b"one", b"two" * 100_000]
        listed = {stored.name: stored.bytes for stored in store.list()}
        assert listed == {names[0]: 0, names[1]: 3, names[2]: 300_000}
        assert len(list(store.list())) == 3

    def test_what_is_not_there_is_missing(self, store: Store) -> None:
        name = "ab" * 32 + ".json"
        assert list(store.list()) == []
        assert not store.release(name, 1e12)
        for ask in (store.path, store.freshen):
            with pytest.raises(Missing, match=r"abab.*released, or never written"):
                ask(name)

    def test_only_what_is_older_is_released_and_then_it_is_gone(
        self, store: Store, root: Path
    ) -> None:
        name, other = put(store, root, b"one"), put(store, root, b"two")
        began = at(store, name)
        assert began >= time.time() - 60
        assert not store.release(name, began - 2)
        assert store.path(name).read_bytes() == b"one"
        assert store.release(name, began + 60)
        assert [stored.name for stored in store.list()] == [other]
        with pytest.raises(Missing):
            store.path(name)

    @pytest.mark.parametrize("how", ["freshen", "keep"])
    def test_what_is_freshened_or_kept_again_is_young(
        self, store: Store, root: Path, how: str
    ) -> None:
        name = put(store, root, b"one")
        before = at(store, name)
        until(partial(past, before + 1))
        store.freshen(name) if how == "freshen" else put(store, root, b"one")
        assert at(store, name) > before
        assert not store.release(name, before + 0.5)
        assert store.path(name).read_bytes() == b"one"

    def test_what_was_left_half_written_is_swept_and_nothing_else(
        self, store: Store, root: Path
    ) -> None:
        name = put(store, root, b"one")
        store.freshen(name)
        (root / ".aside-left").write_bytes(b"half")
        assert store.sweep(0) == 0
        assert store.sweep(1e12) == 1
        assert [stored.name for stored in store.list()] == [name]

    def test_what_is_kept_while_it_is_released_is_there(self, make: Make, root: Path) -> None:
        store = make(root)
        for _ in range(3):
            name = put(store, root, b"one")
            before = at(store, name) + 0.001
            until(partial(past, before))
            releasing = threading.Thread(target=make(root).release, args=(name, before))
            releasing.start()
            put(store, root, b"one")
            releasing.join()
            assert [stored.name for stored in store.list()] == [name]

    def test_values_and_tables_are_read_back_by_another_process(
        self, make: Make, root: Path
    ) -> None:
        objects, other = Objects(root, make(root)), Objects(root, make(root))
        table = pa.table({"n": range(200_000)})
        ref, value = objects.put_table(table), objects.put_json({"a": [1, None, "ü"]})
        other.pin([ref, {"deep": value}])
        assert other.open_table(ref) == table
        assert other.table_slice(ref, 131_070, 5).column("n").to_pylist() == list(
            range(131_070, 131_075)
        )
        assert other.open({"x": value}) == {"x": {"a": [1, None, "ü"]}}

    def test_the_collector_keeps_what_an_event_names(self, make: Make, tmp_path: Path) -> None:
        folder = DataFolder(tmp_path / "data")
        folder.prepare()
        objects = Objects(folder.objects, make(folder.objects))
        inner = objects.put_json("inside")
        kept, stray = objects.put_json({"outer": inner}), objects.put_json("stray")
        with closing(SqliteJournal(folder.journal, 1.0)) as journal:
            said = RunSubmitted("a/b", "v1", 1, {"given": kept}, "me")
            journal.append([Append("run/r", 0, 1.0, [said])])
            collector = Collector(folder, objects.store, journal, Retention())
            told = collector.collect(time.time() + 7200)
        assert (told.objects, told.kept, told.missing) == (1, 2, [])
        names = {stored.name for stored in objects.store.list()}
        assert names == {kept["$ref"], inner["$ref"]} != {stray["$ref"]}


class TestElsewhere:
    """What holds for a store behind a URL."""

    @pytest.fixture(params=[memory_store, s3_store])
    def make(self, request: pytest.FixtureRequest) -> Make:
        made: Make = request.param(request)
        return made

    def test_an_object_is_fetched_once_and_mapped_from_here(
        self, make: Make, root: Path, tmp_path: Path
    ) -> None:
        name = put(make(root), root, b"one")
        there = make(tmp_path / "another machine")
        first = there.path(name)
        inode = first.stat().st_ino
        make(root).release(name, 1e12)
        assert there.path(name).stat().st_ino == inode, "nobody asked the store again"
        assert first.read_bytes() == b"one"
        assert first.stat().st_mode & 0o777 == 0o444

    def test_many_that_want_it_at_once_fetch_it_once(
        self, gateway: Any, lonely: None, tmp_path: Path
    ) -> None:
        place = gateway.place()
        stores = [
            RemoteStore(tmp_path / "there", connect(place), place.url, 1 << 30) for _ in range(6)
        ]
        here = RemoteStore(tmp_path / "here", connect(place), place.url, 1 << 30)
        name = put(here, tmp_path / "here", b"wanted" * 500_000)
        wanting = [threading.Thread(target=store.path, args=(name,)) for store in stores]
        for thread in wanting:
            thread.start()
        for thread in wanting:
            thread.join()
        assert stores[0].path(name).stat().st_size == 3_000_000

        def fetched() -> int:
            lines = gateway.log.read_text(errors="replace").splitlines()
            return sum("beast:" in line and '"GET /' in line and name in line for line in lines)

        until(lambda: fetched() > 0)
        assert fetched() == 1

    def test_what_came_damaged_is_not_taken(self, make: Make, root: Path, tmp_path: Path) -> None:
        import obstore

        store = make(root)
        name = put(store, root, b"one")
        obstore.put(store._store, f"{name[:2]}/{name}", b"two")  # type: ignore[attr-defined]
        there = make(tmp_path / "another machine")
        with pytest.raises(Unavailable, match="came damaged"):
            there.path(name)
        assert not list((tmp_path / "another machine").rglob("*.bin"))

    def test_a_store_that_cannot_be_reached_is_a_transient_fault_in_one_line(
        self, root: Path
    ) -> None:
        place = Place("s3://b/p", "http://127.0.0.1:9", "us-east-1", "a", "b")
        store = RemoteStore(root, connect(place, 0.1), place.url, 1 << 30)
        for ask in (
            lambda: put(store, root, b"x"), lambda: store.path("ab" * 32 + ".bin"),
            lambda: list(store.list()), lambda: store.freshen("ab" * 32 + ".bin"),
        ):  # fmt: skip
            with pytest.raises(Unavailable, match="s3://b/p cannot be used now") as told:
                ask()
            assert faults.from_exception(told.value, NOBODY)["cls"] == "transient"
            assert "\n" not in str(told.value)

    def test_the_place_is_written_beside_the_objects_and_found_by_everybody(
        self, root: Path
    ) -> None:
        settle_place(root, Place("file:///tmp/x", secret="hush"))
        assert root.with_name("objects.json").stat().st_mode & 0o777 == 0o600
        assert isinstance(Objects(root).store, RemoteStore)
        settle_place(root, None)
        assert isinstance(open_store(root), FolderStore)


class TestTheCache:
    """Copies of what lies elsewhere."""

    def take(self, kept: Cache, root: Path, name: str, size: int, used: float) -> None:
        aside = root / "aside"
        aside.write_bytes(b"x" * size)
        os.utime(kept.take(aside, name), (used, used))

    def test_the_oldest_use_goes_first_and_what_was_used_just_now_stays(
        self, tmp_path: Path
    ) -> None:
        kept = Cache(tmp_path / "cache", 1000)
        old = time.time() - 100 * cache.RECENT_S
        for number in range(4):
            self.take(kept, tmp_path, f"a{number}.bin", 250, old + number)
        assert kept.held("a0.bin") is not None, "used again"
        self.take(kept, tmp_path, "a4.bin", 400, time.time())
        left = sorted(path.name for path in (tmp_path / "cache").glob("??/*"))
        assert left == ["a0.bin", "a3.bin", "a4.bin"]
        assert kept.held("a1.bin") is None

    def test_a_copy_that_is_evicted_while_it_is_mapped_is_read_to_its_end(
        self, tmp_path: Path
    ) -> None:
        objects = Objects(tmp_path / "o", RemoteStore(tmp_path / "o", *_memory(), 1))
        table = pa.table({"n": range(100_000)})
        mapped = objects.open_table(objects.put_table(table))
        for path in (tmp_path / "o" / "cache").glob("??/*"):
            path.unlink()
        assert mapped == table


def _memory() -> tuple[Any, str]:
    from obstore.store import MemoryStore

    return MemoryStore(), "memory"


YAML = """
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: test/far}
workflow:
  - step: make
    tool:
      kind: python
      code: |
        import pyarrow as pa
        result = pa.table({"n": range(50_000)})
    effect: none
    retry: {attempts: 50, initial: 50ms, backoff: constant, on: [transient]}
    next: add
  - step: add
    each: {in: "{{ make }}", batch: 20000, in_flight: 2}
    tool:
      kind: python
      code: |
        import pyarrow.compute as pc
        result = pc.sum(table.column("n")).as_py()
    next: total
  - step: total
    tool: {kind: python, code: "def main(parts): return sum(parts)"}
    with: {parts: "{{ add.results }}"}
"""


@pytest.fixture
def far(gateway: Any, lonely: None, tmp_path: Path) -> tuple[DataFolder, Any]:
    folder = DataFolder(tmp_path / "data")
    folder.prepare()
    settle_place(folder.objects, gateway.place("not-made-yet"))
    return folder, gateway


def test_a_run_whose_objects_lie_in_s3_tries_an_upload_that_failed_again(
    far: tuple[DataFolder, Any],
) -> None:
    folder, gateway = far

    async def story() -> list[AttemptFinished]:
        engine = await Engine.open(folder, LocalPool(2, folder))
        failed = asyncio.Event()

        def hear(news: Any) -> None:
            events = [recorded.event for recorded in news]
            if any(isinstance(e, AttemptFinished) and e.fault is not None for e in events):
                failed.set()

        engine.subscribe(hear)
        try:
            await engine.register(load_text(YAML, {}), "me")
            run = await engine.submit(Submit("test/far"))
            await asyncio.wait_for(failed.wait(), 240)
            gateway.make("not-made-yet")
            row = await asyncio.wait_for(engine.wait(run), 240)
            assert row.state == "completed"
            assert engine.state(run).result == sum(range(50_000))
            events = [r.event for r in engine.journal.read(f"run/{run}")]
            return [e for e in events if isinstance(e, AttemptFinished)]
        finally:
            await engine.close()

    ended = asyncio.run(story())
    first = ended[0]
    assert first.fault is not None
    assert (first.fault.cls, first.outcome) == ("transient", "failed")
    assert "make the bucket first" in first.fault.message
    objects = Objects(folder.objects)
    [table] = [e.result for e in ended if e.step == "make" and e.fault is None]
    assert [stored.name for stored in objects.store.list()] == [table["$ref"]]
    assert not list(folder.objects.glob("[0-9a-f][0-9a-f]")), "nothing but the cache is here"
