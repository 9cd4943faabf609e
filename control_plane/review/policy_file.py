"""A policy file: YAML text in, a policy or every fault at once out.

It is strict: an unknown key, an unknown knob or a value of the wrong kind refuses to load.
Durations are written without their unit in the key: ``watch: 7d``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, replace
from io import StringIO
from typing import TYPE_CHECKING, Any, TypeVar

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError

from control_plane.review.policy import Policy
from control_plane.review.scalars import hint, knob


class PolicyFaults(Exception):
    """The policy does not load. ``faults`` names everything that is wrong with it."""

    def __init__(self, name: str, faults: list[str]) -> None:
        super().__init__(f"{name}: " + "; ".join(faults))
        self.name, self.faults = name, faults


if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")


def parse(source: str, name: str = "policy") -> Policy:
    """Return the policy that a YAML text holds.

    Raises:
        PolicyFaults: with every fault at once.
    """
    try:
        data = YAML(typ="safe", pure=True).load(StringIO(source))
    except MarkedYAMLError as error:
        raise PolicyFaults(name, [f"not YAML: {error}"]) from error
    faults: list[str] = []
    policy = _read(Policy, data, "", faults)
    if policy is not None and not faults:
        faults += _sense(policy)
    if faults or policy is None:
        raise PolicyFaults(name, faults)
    return replace(policy, source=source)


def _read(cls: type[T], data: Any, where: str, faults: list[str]) -> T | None:
    if not isinstance(data, Mapping):
        faults.append(f"{where or 'the policy'}: expected keys and values, got {data!r}")
        return None
    known = {f.name: f for f in fields(cls) if f.metadata}
    written = {_field_of(str(key), known): value for key, value in data.items()}
    for key in written.keys() - known.keys():
        faults.append(f"{_at(where, key)}: unknown key" + hint(key, known))
    for f in known.values():
        if f.default is MISSING and f.name not in written:
            faults.append(f"{_at(where, f.name)}: missing")
    before = len(faults)
    values = {
        k: _value(known[k], v, _at(where, k), faults) for k, v in written.items() if k in known
    }
    return cls(**values) if len(faults) == before and not _missing(known, written) else None


def _missing(known: Mapping[str, Field[Any]], written: Mapping[str, Any]) -> bool:
    return any(f.default is MISSING and f.name not in written for f in known.values())


def _field_of(key: str, known: Mapping[str, Any]) -> str:
    """Durations are written without their unit: ``watch: 7d`` is the field ``watch_s``."""
    return f"{key}_s" if f"{key}_s" in known else key


def _value(f: Field[Any], value: Any, where: str, faults: list[str]) -> Any:
    read = f.metadata["read"]
    if not f.metadata["many"]:
        return _one(read, value, where, faults)
    if f.metadata["many"] == "mapping":
        return _mapping(read, value, where, faults)
    if not isinstance(value, list):
        faults.append(f"{where}: expected a list, got {value!r}")
        return ()
    return tuple(_one(read, v, f"{where}[{i}]", faults) for i, v in enumerate(value))


def _mapping(read: Callable[[Any], Any], value: Any, where: str, faults: list[str]) -> Any:
    if not isinstance(value, Mapping):
        faults.append(f"{where}: expected knobs and steps, got {value!r}")
        return ()
    out = {}
    for name, v in value.items():
        if _one(knob, name, _at(where, str(name)), faults) is not None:
            out[str(name)] = _one(read, v, _at(where, str(name)), faults)
    return tuple(sorted(out.items()))


def _one(read: Any, value: Any, where: str, faults: list[str]) -> Any:
    if isinstance(read, type):
        return _read(read, value, where, faults)
    try:
        return read(value)
    except ValueError as error:
        faults.append(f"{where}: {error}")
        return None


def _sense(policy: Policy) -> list[str]:
    """What is well formed and makes no sense."""
    shares = [s.share for s in policy.ramp]
    faults = []
    if not shares or shares != sorted(shares) or shares[0] <= 0 or shares[-1] > 0.95:
        faults.append("ramp: shares must grow, from above 0% to at most 95%")
    if not 0 < policy.explore.share <= 0.9:
        faults.append("explore.share: must be above 0% and at most 90%")
    for key in ("harm_alpha", "gain_alpha", "min_gain", "noninferiority"):
        if not 0 < getattr(policy.verify, key) < 1:
            faults.append(f"verify.{key}: must be between 0% and 100%")
    if policy.verify.shadow.min_runs > policy.verify.shadow.runs:
        faults.append("verify.shadow.min_runs: more than the runs that are replayed")
    faults += [
        f"freeze[{i}]: ends before it starts"
        for i, f in enumerate(policy.freeze)
        if f.end <= f.start
    ]
    return faults


def _at(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key
