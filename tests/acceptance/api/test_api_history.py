"""The record leaves as Arrow, streamed: whole, filtered, and refused before it begins."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx2
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from runtime.record.access import await_caught_up
from trimtab import ApiError, Client, Unreachable

ROOT = Path(__file__).parents[3]
PLAYBOOK = """
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: tests/history}
workflow:
  - step: many
    each: {in: "{{ range(40) }}", batch: 2, in_flight: 4}
    tool: {kind: python, code: "result = items"}
    next: breaks
  - step: breaks
    tool: {kind: python, code: "raise ValueError('it breaks')"}
"""


@pytest.fixture(scope="module")
def run(api: Any) -> str:
    api.post("/api/playbooks", {"source": PLAYBOOK})
    line = api.post("/api/runs", {"playbook": "tests/history"})
    assert api.ended(line["run"])["state"] == "failed"
    await_caught_up(api.folder, api.written(), 240, ("clickhouse",))
    return str(line["run"])


@pytest.fixture
def client(api: Any) -> Any:
    with Client(api.url, api.keys["viewer"]) as client:
        yield client


def test_attempts_come_as_a_table_and_as_frames(client: Client, run: str) -> None:
    table = client.history("attempts", run=run)
    assert isinstance(table, pa.Table)
    assert table.num_rows == 21
    assert {"total_s", "config", "hardware", "cost_usd"} <= set(table.schema.names)
    pandas = client.history_pandas("attempts", run=run)
    assert isinstance(pandas, pd.DataFrame)
    assert pandas["attempt"].tolist() == table["attempt"].to_pylist()
    polars = client.history_polars("attempts", run=run)
    assert isinstance(polars, pl.DataFrame)
    assert polars["attempt"].to_list() == table["attempt"].to_pylist()


@pytest.mark.parametrize(
    ("filters", "rows"),
    [
        ({"step": "many"}, 20), ({"outcome": "failed"}, 1), ({"error_class": "permanent"}, 1),
        ({"limit": 3}, 3), ({"until": 1.0}, 0), ({"playbook": "no/such"}, 0),
        ({"playbook": "tests/history", "step": "breaks"}, 1),
    ],
    ids=str,
)  # fmt: skip
def test_filters_narrow_it_and_an_empty_answer_has_its_columns(
    client: Client, run: str, filters: dict[str, Any], rows: int
) -> None:
    table = client.history("attempts", run=run, **filters)
    assert table.num_rows == rows
    assert "attempt" in table.schema.names


def test_transitions_come_in_the_order_of_the_run(client: Client, run: str) -> None:
    table = client.history("transitions", run=run)
    sequence = table["stream_seq"].to_pylist()
    assert sequence == sorted(sequence)
    finished = client.history("transitions", run=run, transition="finished")
    assert finished.num_rows == 21
    batches = list(client.history_batches("transitions", run=run))
    assert sum(batch.num_rows for batch in batches) == table.num_rows


def test_trends_add_up_to_the_attempts(client: Client, run: str) -> None:
    trend = client.history("trends", playbook="tests/history", bucket_s=31 * 86_400)
    whole = client.history("attempts", playbook="tests/history")
    assert sum(trend["attempts"].to_pylist()) == whole.num_rows


def test_the_answer_is_an_arrow_stream_for_any_reader(api: Any, run: str) -> None:
    answer = api.ask("GET", "/api/history/attempts", "viewer", params={"run": run})
    assert answer.headers["content-type"] == "application/vnd.apache.arrow.stream"
    with pa.ipc.open_stream(answer.content) as stream:
        assert stream.read_all().num_rows == 21


@pytest.mark.parametrize(
    ("path", "who", "status"),
    [
        ("attempts", None, 401), ("attempts?limit=0", "viewer", 400),
        ("attempts?since=-1", "viewer", 400), ("attempts?since=9&until=1", "viewer", 422),
        ("trends?bucket_s=1", "viewer", 400), ("nothing", "viewer", 404),
        ("attempts?limit=x", "viewer", 400),
    ],
)  # fmt: skip
def test_a_refusal_is_a_problem_before_the_first_byte(
    api: Any, path: str, who: str | None, status: int
) -> None:
    answer = api.ask("GET", f"/api/history/{path}", who)
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_client_raises_the_problem(client: Client) -> None:
    with pytest.raises(ApiError, match="after until"):
        client.history("attempts", since=9.0, until=1.0)


def test_half_a_table_is_never_taken_for_a_whole_one() -> None:
    whole = pa.BufferOutputStream()
    table = pa.table({"n": range(100_000)})
    with pa.ipc.new_stream(whole, table.schema) as stream:
        stream.write_table(table, max_chunksize=10_000)
    half = whole.getvalue().to_pybytes()[:300_000]

    def breaks(_: httpx2.Request) -> httpx2.Response:
        def pieces() -> Any:
            yield half
            raise httpx2.RemoteProtocolError("peer closed connection")

        return httpx2.Response(200, content=pieces())

    client = Client("http://127.0.0.1:1", "key")
    client._http = httpx2.Client(base_url=client.url, transport=httpx2.MockTransport(breaks))
    with pytest.raises(Unreachable, match="broke off"):
        client.history("attempts")
    client.close()


def test_the_examples_of_the_docs_run(client: Client, run: str) -> None:
    page = ROOT.joinpath("docs/concepts/history.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(example, "history.md", "exec"), names)
    assert {step for step, _ in names["slowest_steps"](client, "tests/history")} == {
        "many",
        "breaks",
    }
    assert set(names["failures"](client, "tests/history")) == {"permanent"}
