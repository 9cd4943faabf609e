"""The calibrator: each night, how far can stated chances be trusted on this installation?

It replays the recorded history of all steps, a family left out at a time, and returns a map
for each objective. The result of its run is the map: kept by its content, one version a
run. Who uses it says so; without one, or with an old one, the gate stays shut and says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from agents.observer import Reader
from optimizer.choice import Others
from optimizer.elsewhere import Elsewhere, StepName, elsewhere, space_of
from optimizer.gate.calibration import Calibration, OtherVersion
from optimizer.gate.lent import gains
from optimizer.gate.replay import calibrated
from optimizer.objective import Objective
from optimizer.resemblance import Described, between, described, earned
from runtime.run.layers import digest

Json: TypeAlias = Any

OBJECTIVES: Final[tuple[Objective, ...]] = ("cost", "time")
STALE_S: Final = 7 * 86400.0
"""A map older than a week is not used."""
AHEAD_S: Final = 3600.0
"""Nor one from further ahead than clocks differ: its age is not known."""


def calibrate(
    reader: Reader, now: float, told: Sequence[Mapping[str, Json]] = ()
) -> dict[str, Json]:  # fmt: skip
    """Return the maps of this installation; ``id`` is the hash of all else but the time.

    ``told`` is what the catalogue says of steps, by which they resemble each other.
    """
    seen = elsewhere(reader.query("evidence_settings"), by_step(told))
    shares = {objective: _earned(seen, objective) for objective in OBJECTIVES}
    maps = {objective: _map(seen, objective, shares[objective]) for objective in OBJECTIVES}
    body: dict[str, Json] = {
        "knob": "runs_on",
        "steps": len(seen.steps),
        "settings": list(seen.settings),
        "maps": {name: one.to_json() for name, one in maps.items() if one is not None},
        "earned": shares,
        "says": {name: _says(one) for name, one in maps.items()},
    }
    return {**body, "id": digest(body), "at": now}


def _map(seen: Elsewhere, objective: Objective, share: float) -> Calibration | None:
    history = seen.history(objective, seen.settings)
    if not len(history):
        return None
    return calibrated(space_of(seen.settings), history, _alike(seen, objective), share)


def _alike(seen: Elsewhere, objective: Objective) -> Any:
    return between([seen.described[at] for at in seen.lenders(objective, seen.settings)])


def _earned(seen: Elsewhere, objective: Objective) -> float:
    """How much of a step's weight may hang on resemblance, as this history bears it out."""
    history = seen.history(objective, seen.settings)
    if not len(history):
        return 0.0
    return earned(gains(history, _alike(seen, objective)), history.families)


def by_step(told: Sequence[Mapping[str, Json]]) -> dict[StepName, Described]:
    """Return the descriptions of the steps that the catalogue tells of."""
    return {(str(one["playbook"]), str(one["step"])): described(one) for one in told}


def _says(found: Calibration | None) -> str:
    if found is None:
        return "too few families of steps ran on two classes of hardware: no change is proposed"
    if not found.proven:
        return f"{found.says()}; replays did too much harm or proposed too little: it stays shut"
    return found.says()


def read_others(
    reader: Reader, told: Mapping[str, Json] | None, now: float,
    catalogue: Sequence[Mapping[str, Json]] = (),
) -> Others:  # fmt: skip
    """Return what other steps show, with the maps that may be used by now.

    Without a map steps weigh alike: resemblance is believed as long as the chances are.
    """
    maps, said = usable(told, now)
    share = dict((told or {}).get("earned") or {}) if maps else {}
    seen = elsewhere(reader.query("evidence_settings"), by_step(catalogue))
    return Others(seen, maps, said, share)


def usable(told: Mapping[str, Json] | None, now: float) -> tuple[dict[str, Calibration], str]:
    """Return the maps of a calibration that may be used, and else why there are none."""
    if not told:
        return {}, "chances were not calibrated on this installation yet"
    age = now - float(told.get("at", 0.0))
    if age < -AHEAD_S:
        return {}, "the calibration is of a later time than this cycle knows of"
    if age > STALE_S:
        return {}, f"the calibration is {age / 86400.0:.0f} days old: too old"
    try:
        return {name: Calibration.from_json(one) for name, one in told["maps"].items()}, (
            "history has too few families of steps to be replayed"
        )
    except OtherVersion as error:
        return {}, str(error)
