"""`make bench-trends`: how soon a change of level is known, and how often one is made up.

Prints one JSON object. Made series (hourly, with and without slow noise and a daily rhythm) get
a step of 10, 30 or 100 in 100 after 300 points, or a ramp; real noise of virtual machines
(medians of six hours) is read as it is and with a step of 10 or 30 in 100 put in. What is told
on the real noise without a step counts as a false alarm, though some of it really happened.
See bench/results/trends.json::

    python -m bench.trends --noise tests/data/vm_noise/samples.parquet
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bench.machine import machine
from optimizer.changes import DAY_S, regimes, slots_of_day

Array = NDArray[Any]
HOUR_S: Final = 3600
SIX_H: Final = 6 * HOUR_S
MONTH_S: Final = 30.4 * DAY_S
STEP_AT: Final = 300
PATIENCE: Final = 96
"""A step that is not known after so many points was missed."""
NOISE: Final = [(cv, rho, season) for cv in (0.03, 0.1, 0.3)
                for rho, season in ((0.0, 0.0), (0.6, 0.0), (0.0, 0.2))]  # fmt: skip
STEPS: Final = (1.1, 1.3, 2.0)


def made(rng: np.random.Generator, n: int, cv: float, rho: float, season: float) -> Array:
    """Return the logarithms of a series: AR(1) noise on a daily rhythm."""
    noise = rng.normal(size=n)
    for i in range(1, n):
        noise[i] = rho * noise[i - 1] + np.sqrt(1 - rho**2) * noise[i]
    return cv * noise + season * np.sin(np.arange(n) * 2 * np.pi / 24)


def on_made(series: int) -> list[dict[str, Any]]:
    """Return, per kind of noise, false alarms a month and what becomes of steps and ramps."""
    rng = np.random.default_rng(7)
    told = []
    for cv, rho, season in NOISE:
        row: dict[str, Any] = {"cv": cv, "rho": rho, "season": season}
        quiet = [found_in(made(rng, 720, cv, rho, season), HOUR_S) for _ in range(series)]
        row["false_alarms_per_month"] = sum(map(len, quiet)) / (series * 720 * HOUR_S / MONTH_S)
        for step in STEPS:
            row[f"step_{step:g}"] = power(
                [stepped(made(rng, 420, cv, rho, season), step) for _ in range(series)], HOUR_S
            )
        ramp = np.clip((np.arange(420) - STEP_AT) / 48, 0, 1) * np.log(1.5)
        ramps = [(made(rng, 420, cv, rho, season) + ramp, STEP_AT) for _ in range(series)]
        row["ramp_1.5_in_48"] = power(ramps, HOUR_S)
        told.append(row)
    return told


def stepped(logs: Array, step: float, at: int = STEP_AT) -> tuple[Array, int]:
    """Return a series that goes to another level, and where it does."""
    return logs + np.where(np.arange(len(logs)) >= at, np.log(step), 0.0), at


def found_in(logs: Array, bucket_s: int, times: Array | None = None) -> list[tuple[int, int]]:
    """Return start and discovery of each change for the worse or the better."""
    at = np.arange(len(logs)) * bucket_s if times is None else times
    return [(r.start, r.found) for r in regimes(np.exp(logs), slots_of_day(at, bucket_s))[1:]]


def power(cases: list[tuple[Array, int]], bucket_s: int) -> dict[str, float | None]:
    """Return the share of steps that are known in time, how soon, and how well placed."""
    delays, off = [], []
    for logs, at in cases:
        hits = [f for f in found_in(logs, bucket_s) if at <= f[1] < at + PATIENCE]
        if hits:
            delays.append(hits[0][1] - at + 1)
            off.append(abs(hits[0][0] - at))
    return {
        "power": len(delays) / len(cases),
        "delay_p50_points": float(np.median(delays)) if delays else None,
        "misplaced_p50_points": float(np.median(off)) if off else None,
    }


def on_noise(path: Path) -> dict[str, Any]:
    """Return false alarms per series-month and power on real noise, by class of machine."""
    groups: dict[str, list[tuple[Array, Array]]] = {}
    for name, times, values in series_of(path):
        groups.setdefault(name, []).append((times, np.log(values)))
    told: dict[str, Any] = {name: _judged(series) for name, series in sorted(groups.items())}
    every = [one for series in groups.values() for one in series]
    return {**told, "all": _judged(every)}


def _judged(series: list[tuple[Array, Array]]) -> dict[str, Any]:
    months = sum(len(logs) for _, logs in series) * SIX_H / MONTH_S
    alarms = sum(len(found_in(logs, SIX_H, times)) for times, logs in series)
    told: dict[str, Any] = {
        "series": len(series), "months": round(months, 1), "told": alarms,
        "false_alarms_per_month": alarms / months,
    }  # fmt: skip
    for step in STEPS[:2]:
        cases = [stepped(logs, step, int(len(logs) * 0.6)) for _, logs in series]
        told[f"step_{step:g}"] = power(cases, SIX_H)
    return told


def series_of(path: Path, fewest: int = 60) -> Iterator[tuple[str, Array, Array]]:
    """Yield each series: its class of machine, times and medians of six hours."""
    frame = pq.read_table(path).to_pandas()
    frame["bucket"] = frame.t.astype("datetime64[s]").astype("int64") // SIX_H * SIX_H
    by = ["family", "test", "vm_sku", "region", "lifespan"]
    for (_, _, sku, _, lifespan), part in frame.groupby(by, observed=True):
        medians = part.groupby("bucket").value.median()
        medians = medians[medians > 0]
        if len(medians) >= fewest:
            yield f"{sku}, {lifespan}-lived", medians.index.to_numpy(), medians.to_numpy(float)


def main() -> None:
    said = argparse.ArgumentParser(description=__doc__)
    said.add_argument("--noise", type=Path, default=Path("tests/data/vm_noise/samples.parquet"))
    said.add_argument("--series", type=int, default=20)
    args = said.parse_args()
    began = time.process_time()
    told = {"made": on_made(args.series), "noise": on_noise(args.noise)}
    told["cpu_s"] = round(time.process_time() - began, 1)
    told["machine"] = machine()
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
