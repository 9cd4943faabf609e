"""Where the objects of a data folder lie: in it, or behind a URL.

The server writes the place down beside the objects, so that whoever opens the folder, a
worker or a command, finds the same store. Without that file they lie in the folder itself.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from runtime.data.folder import read_json, write_json
from runtime.data.store import FolderStore, Store

if TYPE_CHECKING:
    from obstore.store import ObjectStore

SCHEMES: Final = ("s3", "gs", "az", "abfs", "file")
PATIENCE_S: Final = 30.0
"""For how long a request that fails is tried again."""


class NoClient(Exception):
    """Objects are to lie behind a URL, and the client for that is not installed."""

    def __init__(self, url: str) -> None:
        super().__init__(f"objects at {url} need obstore: pip install 'trimtab[s3]'")


@dataclass(frozen=True, slots=True)
class Place:
    """A URL with a bucket and a prefix, and how to get in. What is empty the environment says."""

    url: str
    endpoint: str = ""
    region: str = ""
    key_id: str = ""
    secret: str = ""
    cache_mb: int = 10_000


def settle_place(root: Path, place: Place | None) -> None:
    """Write down where the objects of this folder lie; None is the folder itself.

    Raises:
        NoClient: obstore is not installed.
    """
    if place is None:
        _file(root).unlink(missing_ok=True)
        return
    if find_spec("obstore") is None:
        raise NoClient(place.url)
    root.mkdir(parents=True, exist_ok=True)
    write_json(_file(root), asdict(place))


def settled(root: Path) -> Place | None:
    """What was written down last; None is the folder itself."""
    told = read_json(_file(root))
    return None if told is None else Place(**told)


def open_store(root: Path, patience_s: float = PATIENCE_S) -> Store:
    """The store of the objects under this folder, wherever they lie."""
    place = settled(root)
    if place is None:
        return FolderStore(root)
    from runtime.data.remote import RemoteStore

    return RemoteStore(root, connect(place, patience_s), place.url, place.cache_mb << 20)


def _file(root: Path) -> Path:
    """Beside the objects and not among them: queries may read those, and it holds a secret."""
    return root.with_name(f"{root.name}.json")


@lru_cache(maxsize=8)
def connect(place: Place, patience_s: float = PATIENCE_S) -> ObjectStore:
    """A client of the place; what it cannot reach is told by the first request."""
    from datetime import timedelta

    from obstore.store import from_url

    scheme = urlsplit(place.url).scheme
    named = {
        "endpoint": place.endpoint, "region": place.region,
        "access_key_id": place.key_id, "secret_access_key": place.secret,
    }  # fmt: skip
    retry = {
        "max_retries": 5, "retry_timeout": timedelta(seconds=patience_s),
        "backoff": {"init_backoff": timedelta(milliseconds=100),
                    "max_backoff": timedelta(seconds=5), "base": 2},
    }  # fmt: skip
    if scheme == "file":
        from obstore.store import LocalStore

        return LocalStore(urlsplit(place.url).path, mkdir=True)
    return from_url(  # type: ignore[no-any-return, call-overload]
        place.url,
        config={name: value for name, value in named.items() if value} if scheme == "s3" else None,
        client_options={
            "connect_timeout": "5s", "timeout": "120s",
            "allow_http": place.endpoint.startswith("http://"),
        },
        retry_config=retry,
    )  # fmt: skip
