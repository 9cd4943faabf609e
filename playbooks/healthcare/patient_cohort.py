"""The work of the patient cohort: who is in it, their records, and features out of them.

Every function may run again and leave the same behind: the cohort is computed from its
size, records are upserted by patient, features are read back in the order of the ids.
"""

from __future__ import annotations

import http.client
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from diabetes import who

from trimtab import errors

if TYPE_CHECKING:
    import pyarrow as pa

Record = Mapping[str, Any]

_TABLE: Final = """
create table if not exists records (
  patient_id integer primary key, age real, sex real, bmi real, blood_pressure real,
  cholesterol real, ldl real, hdl real, cholesterol_ratio real, log_triglycerides real,
  glucose real, progression real)
"""
_UPSERT: Final = """
insert or replace into records values (
  :patient_id, :age, :sex, :bmi, :blood_pressure,
  :cholesterol, :ldl, :hdl, :cholesterol_ratio, :log_triglycerides,
  :glucose, :progression)
"""


# ---- load -------------------------------------------------------------------------------


def cohort(patients: int, run_folder: str) -> pa.Table:
    """Make the run's database, and return the cohort: ids from 1, with age and sex."""
    import pyarrow as pa

    make_database(run_folder)
    return pa.Table.from_pylist([{"patient_id": n, **who(n)} for n in range(1, patients + 1)])


def make_database(run_folder: str) -> None:
    """Make the database that a run's workers upsert into; leave one that is there.

    Its mode is set here, once: SQLite does not wait when several switch it at a time.
    """
    with closing(sqlite3.connect(_path(run_folder), isolation_level=None)) as database:
        database.execute("pragma journal_mode = wal")
        database.execute(_TABLE)


# ---- fetch ------------------------------------------------------------------------------


def fetch(items: Sequence[Record], service: str, run_folder: str) -> dict[str, int]:
    """Fetch the records of a batch of patients in one request, and upsert them."""
    records = ask(service, [item["patient_id"] for item in items])
    rows = [{**item, **record} for item, record in zip(items, records, strict=True)]
    with _transaction(_database(run_folder)) as database:
        database.executemany(_UPSERT, rows)
    return {"upserted": len(rows)}


def ask(service: str, ids: Sequence[int]) -> list[Record]:
    """Return the records of these patients.

    Raises:
        errors.Throttled: too many requests at once; says when to come back.
        errors.Transient: not now.
        errors.DataError: the answer is not what was asked for.
    """
    status, headers, body = _get(service, f"/records?ids={','.join(map(str, ids))}")
    if status == 429:
        raise errors.Throttled(
            f"the records service answered {status}",
            retry_after=float(headers.get("Retry-After", 1)),
        )
    if status >= 500:
        raise errors.Transient(f"the records service answered {status}")
    if status != 200:
        raise errors.Permanent(f"the records service answered {status}: {body[:200]!r}")
    records: list[Record] = json.loads(body)["records"]
    if [record["id"] for record in records] != ids:
        raise errors.DataError("the records service answered for other patients than asked")
    return records


def _get(service: str, path: str) -> tuple[int, Mapping[str, str], bytes]:
    connection = _connection(service)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, dict(answer.headers), answer.read()
    except (OSError, http.client.HTTPException) as problem:
        connection.close()  # the next request opens it anew
        raise errors.Transient(f"{service}: {problem!r}") from problem


@cache
def _connection(service: str) -> http.client.HTTPConnection:
    """One connection per worker, kept open from batch to batch."""
    return http.client.HTTPConnection(urlsplit(service).netloc, timeout=20)


@lru_cache(maxsize=4)
def _database(run_folder: str) -> sqlite3.Connection:
    """One connection per worker and run. The run's workers write to one file, in turns.

    NORMAL leaves the sync to checkpoints: what a power cut takes, the contract's row count
    misses.
    """
    database = sqlite3.connect(_path(run_folder), timeout=20, isolation_level=None)
    database.execute("pragma synchronous = normal")
    return database


def _path(run_folder: str) -> Path:
    return Path(run_folder) / "records.db"


@contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    try:
        database.execute("begin immediate")
    except sqlite3.OperationalError as problem:
        raise errors.Transient(f"the run's database: {problem}") from problem
    try:
        yield database
    except BaseException:
        database.execute("rollback")
        raise
    database.execute("commit")


# ---- features ---------------------------------------------------------------------------


def features(run_folder: str) -> pa.Table:
    """Return a row of features per patient, in the order of the ids."""
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = _database(run_folder).execute("select * from records order by patient_id")
    names = [column[0] for column in rows.description]
    of = {
        name: pa.array(values) for name, values in zip(names, zip(*rows, strict=True), strict=True)
    }
    return pa.table(
        {
            "patient_id": of["patient_id"],
            "age": of["age"],
            "sex": of["sex"],
            "bmi": of["bmi"],
            "obese": pc.greater_equal(of["bmi"], 30.0),
            "blood_pressure": of["blood_pressure"],
            "ldl_share": pc.round(pc.divide(of["ldl"], of["cholesterol"]), 6),
            "cholesterol_ratio": of["cholesterol_ratio"],
            "log_triglycerides": of["log_triglycerides"],
            "high_glucose": pc.greater_equal(of["glucose"], 100.0),
            "progression": of["progression"],
        }
    )
