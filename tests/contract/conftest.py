"""A real S3 server for the tests that want one: Ceph's object gateway, over a file of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
import pytest

from runtime.data.place import Place

KEY_ID, SECRET = "trimtabkey", "trimtabsecret"
LACKING = "there is no radosgw (Debian: apt-get install radosgw)"


@dataclass
class Gateway:
    """The server's address, and buckets in it."""

    endpoint: str
    log: Path
    _names: Iterator[int] = field(default_factory=count)

    def place(self, bucket: str | None = None, **more: Any) -> Place:
        """A prefix in a bucket of its own, which is made unless it is named."""
        url = f"s3://{bucket or self.make()}/some/prefix"
        return Place(url, self.endpoint, "us-east-1", KEY_ID, SECRET, **more)

    def make(self, bucket: str | None = None) -> str:
        """Make a bucket and return its name."""
        import obstore
        from obstore.store import S3Store

        bucket = bucket or f"bucket-{next(self._names)}"
        store = S3Store(
            bucket, endpoint=self.endpoint, region="us-east-1", access_key_id=KEY_ID,
            secret_access_key=SECRET, client_options={"allow_http": True},
        )  # fmt: skip
        url = obstore.sign(store, "PUT", "", expires_in=timedelta(seconds=60))
        assert httpx2.put(url).status_code == 200
        return bucket


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    if shutil.which("radosgw") is None:
        pytest.skip(LACKING)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    root = tmp_path_factory.mktemp("rgw")
    told = options(root)
    subprocess.run(
        ["radosgw-admin", *told, "user", "create", "--uid=trimtab", "--display-name=trimtab",
         f"--access-key={KEY_ID}", f"--secret-key={SECRET}"],
        check=True, capture_output=True, cwd=root,
    )  # fmt: skip
    server = subprocess.Popen(
        ["radosgw", "-f", *told, f"--rgw_frontends=beast endpoint=127.0.0.1:{port}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=root,
    )  # fmt: skip
    try:
        while not answers(port):
            assert server.poll() is None, (root / "log").read_text()
        yield Gateway(f"http://127.0.0.1:{port}", root / "log")
    finally:
        server.kill()
        server.wait()


def options(root: Path) -> list[str]:
    """No cluster: everything in SQLite files below this folder."""
    return [
        "--no-mon-config", "-n", "client.admin", "--rgw_backend_store=dbstore",
        "--rgw_config_store=dbstore", f"--dbstore_config_uri=file:{root}/config.db",
        f"--dbstore_db_dir={root}", f"--rgw_data={root}", f"--log_file={root}/log",
        f"--run_dir={root}", f"--admin_socket={root}/asok", f"--pid_file={root}/pid",
    ]  # fmt: skip


def answers(port: int) -> bool:
    with socket.socket() as sock:
        sock.settimeout(1)
        return sock.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def lonely(monkeypatch: pytest.MonkeyPatch) -> None:
    """No credentials but those that are said."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
