"""What keeps a command from its folder is said in a sentence, with a code of its own."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from control_plane.cli.proposal import _measured
from runtime.journal.sqlite import SqliteJournal


def trimtab(folder: Path, *words: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "control_plane.cli.main", "--data", str(folder)]
    environ = {k: v for k, v in os.environ.items() if not k.startswith("TRIMTAB_")}
    done = subprocess.run(
        [*command, *words], capture_output=True, text=True, timeout=120,
        env=environ | {"PYTHONPATH": os.getcwd()},
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def bad_json(folder: Path) -> Path:
    (folder / "settings.json").write_text('{"server": ')
    return folder


def bad_shape(folder: Path) -> Path:
    (folder / "settings.json").write_text("[1]")
    return folder


def unreadable(folder: Path) -> Path:
    (folder / "settings.json").mkdir()
    return folder


def no_journal(folder: Path) -> Path:
    (folder / "journal.db").write_bytes(b"this is no journal" * 100)
    return folder


def no_folder(folder: Path) -> Path:
    (folder / "objects").write_text("")
    return folder


@pytest.mark.parametrize(
    ("spoil", "code", "said"),
    [
        (bad_json, 2, "settings.json is no JSON"), (bad_shape, 2, "groups of settings"),
        (unreadable, 2, "settings.json cannot be read: Is a directory"),
        (no_journal, 1, "journal.db cannot be opened: file is not a database"),
        (no_folder, 1, "cannot be the data folder: File exists"),
    ],
)  # fmt: skip
def test_a_server_that_cannot_begin_says_why_in_a_sentence(
    tmp_path: Path, spoil: Callable[[Path], Path], code: int, said: str
) -> None:
    ended, told = trimtab(spoil(tmp_path), "serve", "--port", "0")
    assert (ended, said in told) == (code, True), told
    assert "Traceback" not in told


def test_a_port_that_somebody_has_is_a_conflict(tmp_path: Path) -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ended, told = trimtab(tmp_path, "serve", "--port", port)
    assert (ended, f"127.0.0.1:{port} already" in told) == (5, True), told


def test_proposals_are_read_without_an_engine(tmp_path: Path) -> None:
    assert trimtab(tmp_path, "proposal", "list", "-o", "json") == (0, "[]\n")
    SqliteJournal(tmp_path / "journal.db", 1.0).close()
    assert trimtab(tmp_path, "proposal", "list", "-o", "json") == (0, "[]\n")
    ended, told = trimtab(tmp_path, "proposal", "show", "p-1")
    assert (ended, "no proposal 'p-1'" in told) == (3, True)
    with closing(sqlite3.connect(tmp_path / "journal.db")) as db:
        assert db.execute("select count(*) from writer").fetchone() == (1,)


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("learned", "learned: what each value does is in the record, after 9 control and 8"),
        ("horizon", "inconclusive: horizon, after 9 control and 8 candidate units"),
    ],
)
def test_an_experiment_that_was_there_to_learn_is_told_as_that(reason: str, said: str) -> None:
    units = {"control": 9, "candidate": 8}
    verdict = {"verdict": "inconclusive", "reason": reason, "units": units, "statistics": {}}
    (line,) = _measured({"verdict": verdict, "outcome": None})
    assert said in line
