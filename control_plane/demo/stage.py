"""What the demo plays on: a fresh data folder, the records service, the server, two people.

Everything is a process of its own, reached as a user reaches it. The first start of the
server leaves an admin key in the data folder; with it two more are made: one may write
playbooks and start runs, the other decides on proposals. Neither may do the other's part.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit
from urllib.request import urlopen

from control_plane.auth import read_key
from control_plane.demo.person import Person
from control_plane.demo.processes import DidNotStart, Processes
from control_plane.shipped import folder as shipped_folder
from runtime.data.folder import DataFolder, read_json

Json: TypeAlias = Any

START_S: Final = 60.0
CLI: Final = ("-m", "control_plane.cli.main")
ENVIRONMENT: Final = {"TRIMTAB_REVIEW_PROFILE": "demo", "TRIMTAB_OPTIMIZE_CRON": ""}
"""The policy profile for minutes on one machine; the demo fires each cycle itself."""

AUTHOR_ROLES: Final = ("author", "submitter")
REVIEWER_ROLES: Final = ("approver", "operator")


@dataclass(frozen=True, slots=True)
class Stage:
    """The demo's world, ready to play in."""

    data: DataFolder
    url: str
    records_url: str
    author: Person
    reviewer: Person
    processes: Processes

    def service(self) -> dict[str, int]:
        """What the records service has counted."""
        with urlopen(f"{self.records_url}/stats", timeout=10) as answer:  # noqa: S310 (our own)
            counters: dict[str, int] = json.load(answer)
        return counters

    def verify(self) -> Json:
        """What ``trimtab doctor --verify`` finds: also where it finds differences."""
        return run_cli(self.data, "doctor", "--verify", codes=(0, 1))

    def sign_in_link(self) -> str:
        """Return a link that signs a browser in as the reviewer, once."""
        return self.url + str(self.reviewer.post("/api/sign-in")["path"])


@contextmanager
def set_up(root: Path, service_params: str, keep: bool) -> Iterator[Stage]:
    """Start everything in a folder; end it at the close unless it is to be kept."""
    data = DataFolder(root)
    with ExitStack() as opened:
        processes = opened.enter_context(Processes(root / "logs", keep))
        records_url = _start_records(processes, service_params)
        url = _start_server(processes, data)
        people = (_person(data, url, "author", AUTHOR_ROLES),
                  _person(data, url, "reviewer", REVIEWER_ROLES))  # fmt: skip
        author, reviewer = (opened.enter_context(person) for person in people)
        yield Stage(data, url, records_url, author, reviewer, processes)


def _start_records(processes: Processes, params: str) -> str:
    script = shipped_folder() / "healthcare" / "records_service.py"
    processes.start("records", [str(script), "--port", "0", "--params", params])
    out = processes.out("records")
    return processes.until("records", lambda: out.read_text("utf-8").strip() or None, START_S)


def _start_server(processes: Processes, data: DataFolder, *flags: str) -> str:
    processes.start("server", [*CLI, "serve", "--data", str(data.root), *flags], ENVIRONMENT)

    def address() -> str | None:
        told = read_json(data.server_json)
        return None if told is None else str(told["url"])

    return processes.until("server", address, START_S)


def restart_server(stage: Stage) -> None:
    """Start the server again on the same folder and port, after it was killed."""
    stage.data.server_json.unlink(missing_ok=True)
    _start_server(stage.processes, stage.data, "--port", str(urlsplit(stage.url).port))


def _person(data: DataFolder, url: str, name: str, roles: tuple[str, ...]) -> Person:
    asked = [word for role in roles for word in ("--role", role)]
    made = run_cli(data, "keys", "create", name, *asked)
    return Person(name, url, made["key"])


def run_cli(data: DataFolder, *words: str, codes: tuple[int, ...] = (0,)) -> Json:
    """Run a command of ``trimtab`` on a data folder and return its JSON.

    Raises:
        DidNotStart: it ended with another code, or said nothing.
    """
    command = [sys.executable, *CLI, "--data", str(data.root), *words, "-o", "json"]
    done = subprocess.run(  # noqa: S603 (our own command)
        command, capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, **ENVIRONMENT},
    )  # fmt: skip
    if done.returncode not in codes or not done.stdout:
        said = (done.stderr or done.stdout)[-2000:]
        raise DidNotStart(f"trimtab {' '.join(words)} ended with {done.returncode}: {said}")
    return json.loads(done.stdout)


def admin(data: DataFolder, url: str) -> Person:
    """Return the admin of the first start."""
    key = read_key(data.admin_key)
    if key is None:
        raise DidNotStart(f"no admin key in {data.root}")
    return Person("admin", url, key)


def fresh_folder(parent: Path) -> Path:
    """Return a folder for this demo alone, named by the time."""
    name = time.strftime("%Y%m%d-%H%M%S")
    root = parent / name
    for number in range(2, 1000):
        if not root.exists():
            break
        root = parent / f"{name}-{number}"
    parent.mkdir(parents=True, exist_ok=True)
    root.mkdir(mode=0o700)
    return root
