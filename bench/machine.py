"""The machine that figures were measured on, and how busy it was: part of every report."""

from __future__ import annotations

import os
import platform
import sqlite3
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def machine() -> dict[str, Any]:
    """What it was measured on, and how busy that was."""
    cpus = Path("/proc/cpuinfo").read_text().splitlines()
    names = (line.split(":")[1].strip() for line in cpus if "model name" in line)
    return {
        "cpu": next(names, platform.machine()),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "load": [round(n, 2) for n in os.getloadavg()],
        "at": datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds"),
    }
