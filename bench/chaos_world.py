"""What is harmed in the chaos run: a server with its processes, on a disk that can fill.

As root on Linux the data folder is a small ext4 image of its own, and filling it is
filling it: no block and no folder is to be had, for the server, the workers and both
engines of the record. Elsewhere the server alone is kept from writing, by RLIMIT_FSIZE.
Every process below the server carries a mark in its environment, so that what is left of
it can be counted, whoever adopted it.
"""

from __future__ import annotations

import os
import resource
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from runtime.data.folder import DataFolder, read_json
from runtime.kernel import die_with_parent

MARK: Final = "CHAOS_MARK"
DISK_MB: Final = 1024
START_S: Final = 60.0


@dataclass
class Disk:
    """Where the data folder is; `fill` and `free` are what the run is about."""

    root: Path
    image: Path | None
    limited: int = 0

    @property
    def ballast(self) -> Path:
        return self.root / "ballast"

    @property
    def kind(self) -> str:
        """How it fills, for the report."""
        return f"ext4 image of {DISK_MB} MB" if self.image else "RLIMIT_FSIZE on the server"

    def fill(self, world: World) -> None:
        """Leave no room; called again, take what somebody gave back meanwhile."""
        if self.image is None:
            self.limited = world.pid
            _may_write(self.limited, 0)
            self._spare(world)
            return
        with self.ballast.open("ab", buffering=0) as file:
            free = os.statvfs(self.root)
            with suppress(OSError):  # at one stroke, as far as that goes
                os.posix_fallocate(file.fileno(), file.tell(), free.f_bavail * free.f_bsize)
            file.seek(0, os.SEEK_END)
            with suppress(OSError):
                while True:
                    file.write(b"x" * (1 << 12))

    def free(self, world: World | None = None) -> None:
        """Make room again."""
        if self.limited:
            _may_write(self.limited, resource.RLIM_INFINITY)
            self.limited = 0
            if world is not None:
                self._spare(world)
        self.ballast.unlink(missing_ok=True)

    @staticmethod
    def _spare(world: World) -> None:
        """What the server has just started has its limit too: the server alone is meant."""
        for pid in world.processes():
            if pid != world.pid:
                _may_write(pid, resource.RLIM_INFINITY)


def _may_write(pid: int, most: int) -> None:
    with suppress(ProcessLookupError):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))


@contextmanager
def disk(at: Path, *, mounted: bool) -> Iterator[Disk]:
    """Make the disk; undone at the close."""
    root = at / "disk"
    root.mkdir()
    if not (mounted and os.geteuid() == 0 and sys.platform == "linux"):
        yield Disk(root, None)
        return
    image = at / "disk.img"
    with image.open("wb") as file:
        file.truncate(DISK_MB << 20)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)], check=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(root)], check=True)
    try:
        yield Disk(root, image)
    finally:
        subprocess.run(["umount", "-l", str(root)], check=True)


@dataclass
class World:
    """A server on a data folder; it is killed and started again here."""

    folder: DataFolder
    logs: Path
    slots: int
    port: int = field(default_factory=lambda: _free_port())
    mark: str = field(default_factory=lambda: secrets.token_hex(8))
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0
    failed_starts: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        return self.process.pid if self.process is not None else 0

    def start(self) -> None:
        """Start the server; it need not answer yet."""
        self.logs.mkdir(parents=True, exist_ok=True)
        words = ["-m", "control_plane.cli.main", "serve", "--data", str(self.folder.root),
                 "--port", str(self.port), "--slots", str(self.slots)]  # fmt: skip
        environment = os.environ | {"TRIMTAB_OPTIMIZE_CRON": "", MARK: self.mark}
        with (self.logs / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=environment, start_new_session=True,
                preexec_fn=lambda: die_with_parent(signal.SIGTERM),
            )  # fmt: skip
        self.starts += 1

    def announced(self) -> bool:
        """Whether this very process has said where it serves."""
        told = read_json(self.folder.server_json)
        return told is not None and told["pid"] == self.pid

    def until_up(self) -> None:
        """Start it as often as it takes: while the disk is full it may not come up."""
        deadline = time.monotonic() + START_S
        while not self.announced():
            if self.process is None or self.process.poll() is not None:
                self.failed_starts += self.process is not None
                self.start()
            if time.monotonic() > deadline:
                raise TimeoutError(f"the server is not up; see {self.logs / 'server.log'}")
            time.sleep(0.1)

    def kill(self) -> None:
        """End it with -9, and nothing of it is told."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> int | None:
        """Ask it to end; how it did."""
        if self.process is None:
            return None
        self.process.terminate()
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
            return -9

    def processes(self) -> dict[int, str]:
        """Everything that carries our mark: process id → what it is."""
        found = {}
        wanted = f"{MARK}={self.mark}".encode()
        for path in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if wanted in (path / "environ").read_bytes().split(b"\0"):
                    words = (path / "cmdline").read_bytes().decode("utf-8", "replace")
                    state = (path / "stat").read_text().rpartition(")")[2].split()[0]
                    if state != "Z":
                        found[int(path.name)] = _named(words)
        return found

    def counted(self) -> dict[str, int]:
        """How many processes of each sort there are."""
        return dict(sorted(Counter(self.processes().values()).items()))

    def descriptors(self) -> dict[str, int]:
        """What the server holds open, by sort."""
        sorts: Counter[str] = Counter()
        for fd in Path(f"/proc/{self.pid}/fd").iterdir():
            with suppress(OSError):
                to = os.readlink(fd)
                sorts[to.partition(":")[0] if to[0] != "/" else "file"] += 1
        return dict(sorted(sorts.items()))

    def maps(self) -> dict[str, int]:
        """The most maps a worker has, all of them and those of objects."""
        lines = [
            _maps(pid) for pid, name in self.processes().items() if name == "template or worker"
        ]
        objects = [sum("/objects/" in line for line in one) for one in lines]
        return {"all": max(map(len, lines), default=0), "objects": max(objects, default=0)}


def _maps(pid: int) -> list[str]:
    with suppress(OSError):
        return Path(f"/proc/{pid}/maps").read_text().splitlines()
    return []


def _named(words: str) -> str:
    if "runtime.record.recorder" in words:
        return "recorder"
    if "runtime.workers.template" in words:
        return "template or worker"
    if "control_plane.cli.main" in words:
        return "server"
    return words.replace("\0", " ")[:80]


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def parent_of(pid: int) -> int:
    """The process id of a process's parent."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def leftovers(folder: DataFolder) -> dict[str, Any]:
    """What crashes left half written in a data folder."""
    return {
        "objects_aside": len(list(folder.objects.rglob(".aside-*"))),
        "bundles_aside": len(list(folder.bundles.glob(".*"))),
        "files_aside": sorted(p.name for p in folder.root.glob(".*")),
    }
