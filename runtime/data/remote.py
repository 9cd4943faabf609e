"""An object store behind a URL, with this machine's cache of it before it.

An object lies under ``ab/ab….arrow`` as in the folder, so a folder may be copied to a bucket
and back. Nothing there can be touched to make it young, so a mark ``young/ab….arrow`` without
bytes says when that was done. Removal and the last look of a writer take turns by a lock in
the data folder: one data folder has the prefix for itself.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import obstore
from obstore.exceptions import BaseError

from runtime.data.cache import Cache
from runtime.data.store import ASIDE, FolderStore, Missing, Stored, Unavailable

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_PART: Final = 16 << 20
"""Bytes that are sent or fetched at once."""
_YOUNG: Final = "young"
_TICK_S: Final = 1.0
"""A store may tell times in whole seconds: an object is younger than it says, by up to this."""


class RemoteStore:
    """Objects behind a URL. One a thread; ``root`` is the data folder's own for objects."""

    def __init__(self, root: Path, store: ObjectStore, place: str, cache_bytes: int) -> None:
        self.root, self.place, self._store = root, place, store
        self._here = FolderStore(root)
        self._cache = Cache(root / "cache", cache_bytes)

    def keep(self, aside: Path, name: str) -> None:
        key = _key(name)
        for _ in range(2):  # again where a removal that had looked before came between
            self._put(key, aside)
            with self._here.locked(fcntl.LOCK_SH):
                if self._head(key) is not None:
                    self._cache.take(aside, name)
                    return
        raise Unavailable(f"{self.place} said that it keeps {name}, and does not have it")

    def path(self, name: str) -> Path:
        held = self._cache.held(name)
        if held is not None:
            return held
        with self._cache.fetching(name):
            return self._cache.held(name) or self._cache.take(self._fetch(name), name)

    def freshen(self, name: str) -> None:
        self._put(f"{_YOUNG}/{name}", b"")
        with self._here.locked(fcntl.LOCK_SH):
            if self._head(_key(name)) is None:
                raise Missing(name, self.place)

    def list(self) -> Iterator[Stored]:
        young = {_name(meta): _at(meta) for meta in self._listed(_YOUNG)}
        for meta in self._listed(None):
            name = _name(meta)
            if meta["path"] == _key(name):
                yield Stored(name, meta["size"], max(_at(meta), young.get(name, 0.0)))

    def release(self, name: str, before: float) -> bool:
        key, mark = _key(name), f"{_YOUNG}/{name}"
        with self._here.locked(fcntl.LOCK_EX):
            found, young = self._head(key), self._head(mark)
            if found is None or max(_at(m) for m in (found, young) if m is not None) >= before:
                return False
            with self._asking():
                obstore.delete(self._store, key if young is None else [key, mark])
            self._cache.drop(name)
        return True

    def sweep(self, before: float) -> int:
        """As promised; the marks that make nothing young any more go too, uncounted."""
        old = [meta["path"] for meta in self._listed(_YOUNG) if _at(meta) < before]
        if old:
            with self._asking():
                obstore.delete(self._store, old)
        return self._here.sweep(before)

    def _put(self, key: str, what: Path | bytes) -> None:
        try:
            with self._asking():
                obstore.put(self._store, key, what, chunk_size=_PART, max_concurrency=4)
        except FileNotFoundError as error:
            raise Unavailable(f"{self.place} does not exist: make the bucket first") from error

    def _head(self, key: str) -> Any:
        try:
            with self._asking():
                return obstore.head(self._store, key)
        except FileNotFoundError:
            return None

    def _listed(self, prefix: str | None) -> Iterator[Any]:
        with self._asking():
            pages = iter(obstore.list(self._store, prefix))
        while True:
            with self._asking():
                page = next(pages, None)
            if page is None:
                return
            yield from page

    def _fetch(self, name: str) -> Path:
        """Bring the object into a file of its own, whole and of the hash that names it."""
        meta = self._head(_key(name))
        if meta is None:
            raise Missing(name, self.place)
        self.root.mkdir(parents=True, exist_ok=True)
        fd, aside = tempfile.mkstemp(dir=self.root, prefix=ASIDE)
        try:
            with os.fdopen(fd, "wb") as file:
                found = self._copy(_key(name), meta["size"], file)
                os.fchmod(file.fileno(), 0o444)
                file.flush()
                os.fsync(file.fileno())
            if found != name.partition(".")[0]:
                raise Unavailable(f"{name} came damaged from {self.place}: its hash is {found}")
        except BaseException:
            os.unlink(aside)
            raise
        return Path(aside)

    def _copy(self, key: str, size: int, file: Any) -> str:
        hashed = hashlib.sha256()
        for start in range(0, size, _PART):
            with self._asking():
                part = obstore.get_range(
                    self._store, key, start=start, end=min(start + _PART, size)
                )
            hashed.update(part)
            file.write(part)
        return hashed.hexdigest()

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Turn what the client says into what the runtime understands; "not there" passes."""
        try:
            yield
        except FileNotFoundError:
            raise
        except (BaseError, OSError) as error:
            told = str(error).partition("\n")[0]
            raise Unavailable(f"{self.place} cannot be used now: {told}") from error


def _key(name: str) -> str:
    return f"{name[:2]}/{name}"


def _name(meta: Any) -> str:
    return str(meta["path"]).rpartition("/")[2]


def _at(meta: Any) -> float:
    return float(meta["last_modified"].timestamp()) + _TICK_S
