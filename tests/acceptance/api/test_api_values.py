"""Values leave whole, streamed, as JSON or as Arrow; what cannot be had so is refused first."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import httpx2
import pyarrow as pa
import pytest

from control_plane.values import object_of
from runtime.data.objects import Objects
from runtime.run.evolve import evolve
from trimtab import Client

PLAYBOOK = """
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: tests/gives}
workload:
  rows: {type: integer, default: 200000}
workflow:
  - step: table
    tool:
      kind: python
      code: |
        import datetime
        import pyarrow as pa
        def main(workload):
            n = workload["rows"]
            return pa.table({"n": range(n), "day": [datetime.date(2026, 1, 1)] * n})
    next: small
  - step: small
    tool: {kind: python, code: "result = [{'a': 1}, {'a': 2}]"}
    next: list
  - step: list
    tool: {kind: python, code: "result = list(range(30_000))"}
    next: odd
  - step: odd
    tool: {kind: python, code: "result = {'a': [1, {'b': 2}]}"}
"""


@pytest.fixture(scope="module")
def run(api: Any) -> str:
    api.post("/api/playbooks", {"source": PLAYBOOK})
    line = api.post("/api/runs", {"playbook": "tests/gives"})
    assert api.ended(line["run"])["state"] == "completed"
    return str(line["run"])


def raw(api: Any, path: str) -> Any:
    answer = api.ask("GET", path, "viewer")
    assert answer.status_code == 200, answer.text
    return answer


def table_in(answer: Any) -> pa.Table:
    assert answer.headers["content-type"] == "application/vnd.apache.arrow.file"
    assert int(answer.headers["content-length"]) == len(answer.content)
    return pa.ipc.open_file(answer.content).read_all()


def test_a_table_is_had_as_its_file_and_as_rows(api: Any, run: str) -> None:
    where = f"/api/runs/{run}/values"
    ref = api.get(where)["table"]
    assert ref["rows"] == 200_000
    table = table_in(raw(api, f"{where}/table"))
    assert table.num_rows == 200_000
    assert table_in(raw(api, f"/api/objects/{ref['$ref']}?form=arrow")) == table
    rows = raw(api, f"{where}/table?form=json").json()
    assert len(rows) == 200_000
    assert rows[123_456] == {"n": 123_456, "day": "2026-01-01"}


def test_json_is_had_as_it_is_and_a_list_of_rows_as_a_table(api: Any, run: str) -> None:
    where = f"/api/runs/{run}/values"
    assert raw(api, f"{where}/small").json() == [{"a": 1}, {"a": 2}]
    assert table_in(raw(api, f"{where}/small?form=arrow")).to_pydict() == {"a": [1, 2]}
    assert raw(api, f"{where}/list?form=json").json() == list(range(30_000))
    assert table_in(raw(api, f"{where}/list?form=arrow")).num_rows == 30_000
    with Client(api.url, api.keys["viewer"]) as client:
        assert client.value(run, "odd") == {"a": [1, {"b": 2}]}
        assert client.table(run, "table").num_rows == 200_000


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("values/odd?form=arrow", 422), ("values/nothing", 404), ("values/odd?form=xml", 400),
    ],
)  # fmt: skip
def test_what_cannot_be_had_is_refused_before_a_byte(
    api: Any, run: str, path: str, status: int
) -> None:
    answer = api.ask("GET", f"/api/runs/{run}/{path}", "viewer")
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("application/problem+json")


@pytest.mark.parametrize("name", ["ab" * 32 + ".json", "journal.db", "..%2Fkeys.db", "x"])
def test_no_other_file_is_an_object(api: Any, name: str) -> None:
    assert api.ask("GET", f"/api/objects/{name}", "viewer").status_code == 404


def test_the_server_answers_others_while_a_large_answer_is_read_slowly(api: Any, run: str) -> None:
    headers = {"Authorization": f"Bearer {api.keys['viewer']}"}
    url = f"{api.url}/api/runs/{run}/values/table?form=json"
    with httpx2.stream("GET", url, headers=headers) as answer:
        first = next(answer.iter_raw(1000))
        assert first.startswith(b'[{"n":0,')
        assert api.get(f"/api/runs/{run}/line")["state"] == "completed"


def test_an_answer_of_a_large_table_is_made_piece_by_piece(tmp_path: Path) -> None:
    objects = Objects(tmp_path)
    ref = objects.put_table(pa.table({"n": range(500_000)}))
    pieces = list(object_of(ref["$ref"], objects, "json").pieces)
    assert max(map(len, pieces)) < 40_000
    assert len(pieces) > 200
    files = list(object_of(ref["$ref"], objects, "as-is").pieces)
    assert sum(map(len, files)) == ref["bytes"]
    empty = objects.put_table(pa.table({"n": pa.array([], pa.int64())}))
    assert b"".join(object_of(empty["$ref"], objects, "json").pieces) == b"[]"


def test_an_ended_run_is_folded_in_another_thread_than_the_loops(
    api: Any, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folding = set()

    def told(*event: Any) -> None:
        folding.add(threading.current_thread().name)
        evolve(*event)

    monkeypatch.setattr("runtime.engine.engine.evolve", told)
    assert set(api.get(f"/api/runs/{run}/values")) == {"table", "small", "list", "odd"}
    assert folding
    assert "server" not in folding
