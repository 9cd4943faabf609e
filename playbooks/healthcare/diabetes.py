"""The patients: 442 real rows, repeated under new ids.

The rows are the diabetes study of Efron, Hastie, Johnstone and Tibshirani ("Least Angle
Regression", Annals of Statistics, 2004), as scikit-learn ships them (BSD 3-clause):
age, sex, body mass index, blood pressure, six serum measurements and the disease's
progression a year later. Patient ``n`` has the values of row ``n mod 442``, so a cohort
of 10,000 repeats each row about 23 times. Nobody is to read medicine out of it: it is
here because its values are real, free to pass on, and already installed.

The files are read as they lie in the package: importing scikit-learn for them would
take a second.
"""

from __future__ import annotations

import gzip
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

WHO: Final = ("age", "sex")
MEASURED: Final = (
    "bmi", "blood_pressure", "cholesterol", "ldl", "hdl", "cholesterol_ratio",
    "log_triglycerides", "glucose", "progression",
)  # fmt: skip
ROWS: Final = 442


def who(number: int) -> dict[str, float]:
    """Return age and sex of a patient; numbers past the study repeat its rows."""
    return dict(zip(WHO, _rows()[number % ROWS], strict=False))


def measured(number: int) -> dict[str, float]:
    """Return what was measured of a patient; numbers past the study repeat its rows."""
    return dict(zip(MEASURED, _rows()[number % ROWS][len(WHO) :], strict=True))


@cache
def _rows() -> tuple[tuple[float, ...], ...]:
    baseline = _numbers("diabetes_data_raw.csv.gz")
    progression = _numbers("diabetes_target.csv.gz")
    return tuple((*row, *end) for row, end in zip(baseline, progression, strict=True))


def _numbers(name: str) -> list[tuple[float, ...]]:
    with gzip.open(_folder() / name, "rt", encoding="ascii") as lines:
        return [tuple(float(word) for word in line.split()) for line in lines]


def _folder() -> Path:
    spec = find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("the cohort's patients come with scikit-learn: install it")
    return Path(spec.origin).parent / "datasets" / "data"
