"""The calibrator: each night, how far can stated chances be trusted on this installation?

It replays the recorded history of all steps, a family left out at a time, and returns a map
for each objective. The result of its run is the map: kept by its content, one version a
run. Who uses it says so; without one, or with an old one, the gate stays shut and says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from agents.observer import Reader
from optimizer.choice import Others
from optimizer.elsewhere import Elsewhere, elsewhere, space_of
from optimizer.gate.calibration import Calibration, OtherVersion
from optimizer.gate.replay import calibrated
from optimizer.objective import Objective
from runtime.run.layers import digest

Json: TypeAlias = Any

OBJECTIVES: Final[tuple[Objective, ...]] = ("cost", "time")
STALE_S: Final = 7 * 86400.0
"""A map older than a week is not used."""


def calibrate(reader: Reader, now: float) -> dict[str, Json]:
    """Return the maps of this installation; ``id`` is the hash of all else but the time."""
    seen = elsewhere(reader.query("evidence_settings"))
    maps = {objective: _map(seen, objective) for objective in OBJECTIVES}
    body: dict[str, Json] = {
        "knob": "runs_on",
        "steps": len(seen.steps),
        "settings": list(seen.settings),
        "maps": {name: one.to_json() for name, one in maps.items() if one is not None},
        "says": {name: _says(one) for name, one in maps.items()},
    }
    return {**body, "id": digest(body), "at": now}


def _map(seen: Elsewhere, objective: Objective) -> Calibration | None:
    history = seen.history(objective, seen.settings)
    return calibrated(space_of(seen.settings), history) if len(history) else None


def _says(found: Calibration | None) -> str:
    if found is None:
        return "too few families of steps ran on two classes of hardware: no change is proposed"
    if not found.proven:
        return f"{found.says()}; replays did too much harm or proposed too little: it stays shut"
    return found.says()


def read_others(reader: Reader, told: Mapping[str, Json] | None, now: float) -> Others:
    """Return what other steps show, with the maps that may be used by now."""
    maps, said = usable(told, now)
    return Others(elsewhere(reader.query("evidence_settings")), maps, said)


def usable(told: Mapping[str, Json] | None, now: float) -> tuple[dict[str, Calibration], str]:
    """Return the maps of a calibration that may be used, and else why there are none."""
    if not told:
        return {}, "chances were not calibrated on this installation yet"
    age = now - float(told.get("at", 0.0))
    if age > STALE_S:
        return {}, f"the calibration is {age / 86400.0:.0f} days old: too old"
    try:
        return {name: Calibration.from_json(one) for name, one in told["maps"].items()}, (
            "history has too few families of steps to be replayed"
        )
    except OtherVersion as error:
        return {}, str(error)
