"""Makes the virtual environment that the other commands run in.

``prepare.py core`` installs what `make demo` needs, ``prepare.py dev`` that and the tools
of `make test` and `make check`. It says first what does not fit: Python, venv, disk. What
was installed for the same lock file is left as it is. Only the standard library is used,
and old syntax, so that an old Python gets a sentence and not a traceback.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, "bin", "python")
LOCKS = {"core": "requirements.lock", "dev": "requirements-dev.lock"}
NEEDS_GB = {"core": 3.0, "dev": 6.0}


def main(what):
    """Check, then install unless it is done already; write how long it took."""
    check_python()
    stamp = os.path.join(VENV, f"installed-{what}.json")
    wanted = fingerprint(what)
    known = read(stamp)
    if known.get("fingerprint") == wanted and os.path.exists(PYTHON):
        print("environment    .venv is up to date")
        return
    check_disk(NEEDS_GB[what])
    began = time.monotonic()
    make_venv()
    install(what)
    if what == "dev":
        write(os.path.join(VENV, "installed-core.json"), fingerprint("core"), 0.0)
    write(stamp, wanted, time.monotonic() - began)
    print(f"environment    installed in {time.monotonic() - began:.0f} s")


def check_python():
    """Refuse a Python that is too old, or one without venv."""
    if sys.version_info < (3, 11):
        have = ".".join(map(str, sys.version_info[:2]))
        stop(
            f"this is Python {have} ({sys.executable}); 3.11 or newer is needed."
            " Name one: make PYTHON=python3.11"
        )
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        stop("this Python has no venv; on Debian and Ubuntu: apt-get install python3-venv")


def check_disk(needed_gb):
    """Refuse to start what would fill the disk."""
    free_gb = shutil.disk_usage(ROOT).free / 1e9
    if free_gb < needed_gb:
        stop(f"{free_gb:.1f} GB free in {ROOT}; {needed_gb:.0f} GB are needed")


def make_venv():
    """Make .venv, unless one of a fitting Python is there."""
    if os.path.exists(PYTHON) and subprocess.call([PYTHON, "-c", NEW_ENOUGH]) == 0:
        return
    print(f"environment    making .venv with {sys.executable}")
    if subprocess.call([sys.executable, "-m", "venv", "--clear", VENV]) != 0:
        stop("python -m venv failed, see above")


NEW_ENOUGH = "import sys; sys.exit(sys.version_info < (3, 11))"


def install(what):
    """Install the lock file and then this project, in place."""
    lock = os.path.join(ROOT, LOCKS[what])
    with open(lock) as lines:
        total = sum(1 for line in lines if line.strip() and not line.startswith("#"))
    pip = [PYTHON, "-m", "pip", "install", "--disable-pip-version-check", "--no-compile"]
    run_pip([*pip, "-r", lock], total, LOCKS[what])
    run_pip([*pip, "--no-deps", "-e", ROOT], 1, "trimtab")


def run_pip(command, total, name):
    """Run pip with a bar that counts what it has looked at; show all it said if it fails."""
    said = []
    seen = 0
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True
    )
    for line in process.stdout:
        said.append(line)
        if line.startswith(("Collecting", "Requirement already", "Obtaining", "Processing")):
            seen = min(seen + 1, total)
            bar(name, seen, total)
        elif line.startswith("Installing collected"):
            bar(name, total, total, " unpacking")
    code = process.wait()
    if sys.stdout.isatty():
        print()
    if code != 0:
        sys.stdout.write("".join(said[-40:]))
        stop(f"pip could not install {name}, see above")


def bar(name, seen, total, note=""):
    """Draw the bar on a terminal; elsewhere a line at the end is enough."""
    if sys.stdout.isatty():
        full = 30 * seen // total
        drawn = "█" * full + "░" * (30 - full)
        sys.stdout.write(f"\rinstalling     {drawn} {seen}/{total} of {name}{note}")
        sys.stdout.flush()
    elif note:
        print(f"installing     {total} packages of {name}")


def fingerprint(what):
    """Return the hash of all that decides what gets installed."""
    digest = hashlib.sha256(sys.version.encode())
    for name in (LOCKS[what], "pyproject.toml"):
        with open(os.path.join(ROOT, name), "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()


def read(path):
    """Return what a stamp says, or nothing."""
    try:
        with open(path) as file:
            return json.load(file)
    except (OSError, ValueError):
        return {}


def write(path, wanted, took):
    """Leave a stamp: what was installed, and how long it took."""
    with open(path, "w") as file:
        json.dump({"fingerprint": wanted, "install_s": round(took, 1)}, file)


def stop(message):
    """End with one clear sentence."""
    sys.exit("cannot start: " + message)


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in LOCKS:
        stop("say what to install: core or dev")
    main(sys.argv[1])
