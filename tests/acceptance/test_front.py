"""`trimtab run FILE` goes straight in: the same words, the same answers, less to load."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import typer

from control_plane.cli import front
from control_plane.cli.main import app

BOOK = """
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: test/quick}
workload:
  n: {type: integer, default: 1}
workflow:
  - step: one
    tool: {kind: python, code: "result = n + 1"}
    with: {n: "{{ workload.n }}"}
"""
SPY = """
import sys
from control_plane.cli.front import main
try:
    main()
finally:
    heavy = {"typer", "pydantic", "litestar", "sqlmodel"}
    print(sorted(heavy & set(sys.modules)), file=sys.stderr)
"""


@pytest.fixture
def book(tmp_path: Path) -> Path:
    file = tmp_path / "quick.yaml"
    file.write_text(BOOK, encoding="utf-8")
    return file


def ran(tmp_path: Path, program: list[str], *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *program, "--data", str(tmp_path / "data"), *words]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)


def test_the_quick_way_knows_only_flags_of_the_command_that_take_a_value() -> None:
    run = typer.main.get_command(app).commands["run"].commands["start"]  # type: ignore[attr-defined]
    valued = {o for p in run.params for o in p.opts if not getattr(p, "is_flag", False)}
    assert valued >= front.FLAGS - {"--data"}


def test_a_plain_run_loads_neither_the_command_line_nor_the_server(
    tmp_path: Path, book: Path
) -> None:
    done = ran(tmp_path, ["-c", SPY], "run", str(book), "--set", "n=41")
    assert (done.returncode, done.stdout) == (0, "42\n")
    assert done.stderr.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "words",
    [("--set", "n=x"), ("--set", "m=1"), ("--override", "one.none=1"), ("--output", "csv"), ()],
)
def test_both_ways_answer_alike(tmp_path: Path, book: Path, words: tuple[str, ...]) -> None:
    short, long = (
        ran(tmp_path, ["-m", f"control_plane.cli.{way}"], "run", str(book), *words)
        for way in ("front", "main")
    )
    assert (short.returncode, short.stdout) == (long.returncode, long.stdout)


def test_a_file_that_is_not_there_is_refused_before_anything_starts(tmp_path: Path) -> None:
    done = ran(tmp_path, ["-m", "control_plane.cli.front"], "run", "none.yaml")
    assert done.returncode == 3
    assert "there is no file none.yaml" in done.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("words", "module"),
    [(("run", "none.yaml"), "control_plane.cli.talk"), (("status",), "control_plane.cli.loop")],
)
def test_an_interrupt_while_it_loads_ends_it_without_a_traceback(
    tmp_path: Path, words: tuple[str, ...], module: str
) -> None:
    program = f"""
import signal, sys
from control_plane.cli.front import main
signal.signal(signal.SIGINT, signal.default_int_handler)
class Pressed:
    def find_spec(self, name, path, target=None):
        if name == {module!r}:
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Pressed())
main()
"""
    done = ran(tmp_path, ["-c", program], *words)
    assert (done.returncode, done.stderr) == (130, "")


def test_what_goes_on_with_runs_after_a_crash_loads_before_the_application() -> None:
    program = """
import sys
import control_plane.ground
print(sorted({"litestar", "sqlalchemy", "sqlmodel", "uvicorn", "typer"} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "[]\n"
