"""The wheel: what it holds, and that it works in an environment of its own, far from here.

One environment for the whole file, made once: the lock file's versions, then the wheel
without its dependencies. Everything is run from a folder that knows nothing of the
repository.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {"control_plane", "agents", "optimizer", "runtime"}
CARRIED = (
    "control_plane/_playbooks/healthcare/patient_cohort.yaml",
    "control_plane/_playbooks/healthcare/records_service.py",
    "control_plane/_playbooks/healthcare/contracts/cohort_features.yaml",
    "control_plane/_playbooks/system/optimize.yaml",
    "control_plane/review/policies/demo.yaml",
    "runtime/journal/schema.sql",
    "runtime/engine/hardware.example.yaml",
)
CARRIED_FOLDERS = (
    "control_plane/web/static/", "control_plane/web/templates/", "runtime/record/sql/",
    "runtime/record/model/",
)  # fmt: skip


def run(
    *command: str | Path, cwd: Path, within_s: float = 240.0
) -> subprocess.CompletedProcess[str]:
    """Run a command that knows nothing of this repository's environment."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_"))}
    clean["HOME"] = str(cwd)
    clean["XDG_DATA_HOME"] = str(cwd / "share")
    return subprocess.run(
        [str(word) for word in command], cwd=cwd, env=clean, capture_output=True, text=True,
        timeout=within_s, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    built = run(
        sys.executable, "-m", "build", "--wheel", "--outdir", out, ROOT, cwd=out, within_s=200
    )
    assert built.returncode == 0, built.stdout + built.stderr
    (found,) = out.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def trimtab(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command, as the wheel installs it."""
    home = tmp_path_factory.mktemp("installed")
    venv.create(home / "venv", with_pip=True)
    pip = (home / "venv" / "bin" / "python", "-m", "pip", "install", "-q", "--no-compile")
    for what in (("-r", ROOT / "requirements.lock"), ("--no-deps", wheel)):
        done = run(*pip, *what, cwd=home, within_s=280)
        assert done.returncode == 0, done.stdout + done.stderr
    return home / "venv" / "bin" / "trimtab"


def test_the_wheel_holds_the_four_packages_and_the_client_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == PACKAGES | {"trimtab"}
    assert not [name for name in names if "node_modules" in name or "__pycache__" in name]


def test_the_wheel_carries_what_is_not_python(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert not [name for name in CARRIED if name not in names]
    assert not [f for f in CARRIED_FOLDERS if not any(name.startswith(f) for name in names)]


def test_an_installed_trimtab_helps(trimtab: Path, tmp_path: Path) -> None:
    done = run(trimtab, "--help", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for verb in ("run", "playbook", "proposal", "dev", "doctor"):
        assert re.search(rf"\b{verb}\b", done.stdout)


def test_a_newcomer_runs_edits_and_sees_a_fault_at_its_line(trimtab: Path, tmp_path: Path) -> None:
    assert run(trimtab, "playbook", "init", cwd=tmp_path).returncode == 0
    first = run(trimtab, "run", "hello.yaml", cwd=tmp_path)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "Hello, guest 0!" in first.stdout

    code = tmp_path / "hello.py"
    text = code.read_text(encoding="utf-8")
    code.write_text(text.replace("Hello, guest", "Good day, guest"), encoding="utf-8")
    second = run(trimtab, "run", "hello.yaml", cwd=tmp_path)
    assert "Good day, guest 0!" in second.stdout, second.stdout + second.stderr

    broken = text.replace("time.sleep(0.02)", "no_such_name(0.02)")
    code.write_text(broken, encoding="utf-8")
    line = next(i for i, t in enumerate(broken.splitlines(), 1) if "no_such_name(" in t)
    third = run(trimtab, "run", "hello.yaml", cwd=tmp_path)
    assert third.returncode == 1
    assert f"hello.py:{line}" in third.stdout + third.stderr
    assert "NameError" in third.stdout + third.stderr
    assert re.search(r"\bhello:\d+, step greet", third.stdout + third.stderr)

    code.write_text(text, encoding="utf-8")
    assert run(trimtab, "run", "hello.yaml", cwd=tmp_path).returncode == 0
    asked = run(trimtab, "optimize", "once", cwd=tmp_path)
    assert asked.returncode == 0, asked.stdout + asked.stderr
    assert "hello#greet" in asked.stdout + asked.stderr  # a proposal, or why there is none
