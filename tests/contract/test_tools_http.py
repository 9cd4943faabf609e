"""The http tool against a real server: pages, redirects, forms of answers, connections."""

from __future__ import annotations

import asyncio
import http.server
import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pyarrow as pa
import pytest

from runtime.conformance import Bench
from runtime.data.folder import DataFolder
from runtime.errors import Permanent, Throttled
from runtime.playbook.parse import PlaybookFaults, parse
from runtime.tools import registry
from runtime.workers.local import LocalPool
from runtime.workers.protocol import Report, Task

ROWS = [{"id": n} for n in range(7)]


class Server(http.server.ThreadingHTTPServer):
    """A records service; ``accepted`` counts the connections that were made to it."""

    daemon_threads = True

    def __init__(self) -> None:
        self.accepted = 0
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.elsewhere = ""
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def get_request(self) -> Any:
        self.accepted += 1
        return super().get_request()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.seen.append((self.path, dict(self.headers)))
        parts = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        way = getattr(self, "at_" + parts.path.strip("/").replace("/", "_"))
        way(asked)

    def send(self, body: Any, media: str = "application/json", **headers: str) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(int(headers.pop("status", "200")))
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", media)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def at_linked(self, asked: dict[str, str]) -> None:
        at = int(asked.get("at", 0))
        more = {"Link": f'</linked?at={at + 3}>; rel="next"'} if at + 3 < len(ROWS) else {}
        self.send(ROWS[at : at + 3], **more)

    def at_cursor(self, asked: dict[str, str]) -> None:
        at = int(asked.get("cursor", 0))
        found = {"results": ROWS[at : at + 3]}
        self.send(found | ({"cursor": str(at + 3)} if at + 3 < len(ROWS) else {}))

    def at_next(self, asked: dict[str, str]) -> None:
        at = int(asked.get("at", 0))
        self.send({"data": ROWS[at : at + 2], "next": f"?at={at + 2}" if at + 2 < 7 else None})

    def at_numbered(self, asked: dict[str, str]) -> None:
        at = (int(asked["page"]) - 1) * 3
        self.send(ROWS[at : at + 3])

    def at_offset(self, asked: dict[str, str]) -> None:
        at = int(asked["skip"])
        self.send(ROWS[at : at + int(asked["size"])])

    def at_round(self, asked: dict[str, str]) -> None:
        self.send({"items": [1], "next": "/round"})

    def at_away(self, asked: dict[str, str]) -> None:
        self.send([1], Link=f"<{self.server.elsewhere}/linked?at=6>; rel=next")

    def at_moved(self, asked: dict[str, str]) -> None:
        self.send({}, status="302", Location=self.server.elsewhere + "/linked?at=6")

    def at_busy(self, asked: dict[str, str]) -> None:
        self.send({}, status="429", **{"Retry-After": "Fri, 31 Dec 2999 23:59:59 GMT"})

    def at_arrow(self, asked: dict[str, str]) -> None:
        table = pa.table({"id": [1, 2]})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        self.send(sink.getvalue().to_pybytes(), "application/vnd.apache.arrow.stream")

    def at_picture(self, asked: dict[str, str]) -> None:
        self.send(b"\x89PNG\xff\x00", "image/png")

    def at_text(self, asked: dict[str, str]) -> None:
        self.send("größer".encode("latin-1"), "text/plain; charset=latin-1")

    def at_model(self, asked: dict[str, str]) -> None:
        usage = {"total_tokens": 12, "cost": "0.25", "free": None, "gift": -1}
        self.send({"said": "yes", "usage": usage}, **{"x-cost": "0.5"})

    def at_mute(self, asked: dict[str, str]) -> None:
        threading.Event().wait(30)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def serving() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def service() -> Iterator[Server]:
    yield from serving()


@pytest.fixture
def other() -> Iterator[Server]:
    yield from serving()


Get = Callable[..., dict[str, Any]]


@pytest.fixture
def get(service: Server) -> Iterator[Get]:
    def tool(path: str, **more: Any) -> dict[str, Any]:
        return {"kind": "http", "url": service.url + path, "allow_loopback": True, **more}

    yield tool
    for client in registry.tool("http")._clients.values():  # type: ignore[attr-defined]
        client.close()
    registry.tool.cache_clear()


@pytest.fixture
def room(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


PAGED = [
    ("/linked", {"next": "link"}, 3),
    ("/cursor", {"next": "{{ body.cursor | default('') }}", "param": "cursor",
                 "items": "{{ body.results }}"}, 3),
    ("/next", {"next": "{{ body.next }}", "items": "{{ body.data }}"}, 4),
    ("/numbered", {"page": "page"}, 4),
    ("/offset?size=4", {"offset": "skip"}, 3),
]  # fmt: skip


class TestSpend:
    @pytest.mark.parametrize(("spend", "usd", "tokens", "calls"), [
        ({"tokens": "{{ body.usage.total_tokens }}", "usd": "{{ body.usage.cost }}", "calls": 1},
         0.25, 12, 1),
        ({"usd": "{{ body.usage.total_tokens * 0.5 }}"}, 6.0, 0, 0),
        ({"usd": "{{ headers['x-cost'] }}", "calls": "{{ body.usage.free }}"}, 0.5, 0, 0),
        ({"usd": "{{ body.price | default(0) }}"}, 0.0, 0, 0),
    ])  # fmt: skip
    def test_what_an_answer_cost_is_read_from_it(
        self, room: Bench, get: Get, spend: dict[str, Any], usd: float, tokens: int, calls: int
    ) -> None:
        call = room.call(get("/model", spend=spend))
        registry.tool("http").run(call)
        assert (call.log.spend_usd, call.log.tokens, call.log.calls) == (usd, tokens, calls)

    def test_every_page_costs_and_those_that_were_read_count_when_the_next_fails(
        self, room: Bench, get: Get
    ) -> None:
        pages = {"next": "link", "max_pages": 2}
        call = room.call(get("/linked", pages=pages, spend={"usd": 0.5, "calls": 1}))
        with pytest.raises(Permanent, match="more than 2 pages"):
            registry.tool("http").run(call)
        assert (call.log.spend_usd, call.log.calls) == (1.0, 2)

    def test_an_answer_that_is_an_error_costs_nothing(self, room: Bench, get: Get) -> None:
        call = room.call(get("/busy", spend={"usd": 1}))
        with pytest.raises(Throttled):
            registry.tool("http").run(call)
        assert call.log.spend_usd == 0

    @pytest.mark.parametrize(("spend", "says"), [
        ({"tokens": "{{ body.usage.tokens }}"}, "spend.tokens.*tokens"),
        ({"usd": "{{ body.said }}"}, "spend.usd.* gave 'yes', which is no amount"),
        ({"usd": "{{ body.usage.gift }}"}, "gave -1, which is no amount"),
    ])  # fmt: skip
    def test_a_cost_that_cannot_be_read_fails_the_attempt(
        self, room: Bench, get: Get, spend: dict[str, Any], says: str
    ) -> None:
        fault = room.fault(get("/model", spend=spend))
        assert fault["cls"] == "permanent"
        assert re.search(says, fault["message"])

    def test_a_spend_that_reads_nothing_of_the_answer_is_refused_with_its_place(self) -> None:
        text = (
            "apiVersion: trimtab/v1\nkind: Playbook\nmetadata: {path: p}\nworkflow:\n- step: s\n"
            '  tool: {kind: http, url: "http://x", '
            'spend: {usd: -1, tokens: "{{ load.n }}", eur: 1}}'
        )
        with pytest.raises(PlaybookFaults) as caught:
            parse(text)
        told = "\n".join(map(str, caught.value.faults))
        assert "usd is 0 or more, not -1" in told
        assert "unknown name load" in told
        assert "eur" in told


class TestPages:
    @pytest.mark.parametrize(("path", "pages", "count"), PAGED)
    def test_the_items_of_all_pages_are_one_list(
        self, room: Bench, get: Get, service: Server, path: str, pages: dict[str, Any], count: int
    ) -> None:
        answer = room.run(get(path, pages=pages))
        assert answer == {"status": 200, "pages": count, "items": ROWS}
        assert service.accepted == 1

    @pytest.mark.parametrize(("path", "pages", "count"), PAGED)
    def test_or_one_table(
        self, room: Bench, get: Get, path: str, pages: dict[str, Any], count: int
    ) -> None:
        found = room.run(get(path, pages=pages, **{"as": "table"}))["items"]
        assert isinstance(found, pa.Table)
        assert found.to_pylist() == ROWS

    def test_half_a_list_is_never_taken_for_the_whole(self, room: Bench, get: Get) -> None:
        exact = room.run(get("/linked", pages={"next": "link", "max_pages": 3}))
        assert exact["items"] == ROWS
        fault = room.fault(get("/linked", pages={"next": "link", "max_pages": 2}))
        assert (fault["cls"], "more than 2 pages" in fault["message"]) == ("permanent", True)

    def test_a_page_that_leads_back_is_refused(self, room: Bench, get: Get) -> None:
        pages = {"next": "{{ body.next }}", "items": "{{ body.items }}"}
        fault = room.fault(get("/round", pages=pages))
        assert "was read before" in fault["message"]

    def test_a_field_that_is_not_there_is_no_end(self, room: Bench, get: Get) -> None:
        pages = {"next": "{{ body.cursor }}", "param": "cursor", "items": "{{ body.results }}"}
        fault = room.fault(get("/cursor", pages=pages))
        assert "body has no cursor" in fault["message"]

    def test_all_pages_together_fit_the_limit_of_the_result(self, room: Bench, get: Get) -> None:
        tool = get("/linked", pages={"next": "link"})
        size = len(json.dumps(ROWS[:3]))
        fault = room.fault(tool, output_bytes=size + 5)
        assert (fault["cls"], "2 pages" in fault["message"]) == ("resource", True)

    def test_a_long_list_travels_by_reference(self, room: Bench, get: Get) -> None:
        rows = [{"id": n, "text": "x" * 50} for n in range(2000)]
        value = {"status": 200, "pages": 2, "items": rows}
        assert room.settled("http", value)["items"] == rows

    def test_a_body_that_is_no_list_says_what_to_write(self, room: Bench, get: Get) -> None:
        fault = room.fault(get("/cursor", pages={"next": "link"}))
        assert "pages.items" in fault["message"]


STEP = """\
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: t/p}
workflow:
  - step: a
    tool: {kind: http, url: "https://x.org", pages: PAGES}
"""


@pytest.mark.parametrize(
    ("pages", "says"),
    [
        ("{}", "pages needs next or page or offset"),
        ("{next: link, page: p}", "pages has one of next and page and offset"),
        ("{next: body.next}", "next reads nothing of the answer"),
        ("{next: '{{ answer.next }}'}", "unknown name answer"),
        ("{next: '{{ body.next'}", "never closed"),
        ("{next: link, max_pages: 0}", "max_pages must be 1 to 100000"),
        ("{next: link, until: x}", "unknown key until"),
        ("3", "pages must be a mapping"),
    ],
)
def test_pages_are_checked_when_the_playbook_is_read(pages: str, says: str) -> None:
    with pytest.raises(PlaybookFaults) as caught:
        parse(STEP.replace("PAGES", pages), name="p.yaml")
    (fault,) = caught.value.faults
    assert says in fault.message
    assert fault.line == 6


class TestOtherHosts:
    @pytest.mark.parametrize("path", ["/away", "/moved"])
    def test_a_key_goes_to_no_host_that_the_playbook_did_not_name(
        self, room: Bench, get: Get, service: Server, other: Server, path: str
    ) -> None:
        service.elsewhere = other.url
        more = {"pages": {"next": "link"}} if path == "/away" else {}
        room.run(get(path, headers={"X-Api-Key": "mine", "Authorization": "Bearer x"}, **more))
        assert service.seen[0][1]["X-Api-Key"] == "mine"
        (asked,) = other.seen
        assert not {"x-api-key", "authorization"} & {name.lower() for name in asked[1]}

    def test_a_redirect_can_be_kept_at_home_or_seen(
        self, room: Bench, get: Get, service: Server, other: Server
    ) -> None:
        service.elsewhere = other.url.replace("127.0.0.1", "localhost")
        fault = room.fault(get("/moved", redirects="same_host"))
        assert (fault["cls"], "another host" in fault["message"]) == ("permanent", True)
        assert room.run(get("/moved", redirects="none"))["status"] == 302
        assert other.seen == []


class TestAnswers:
    def test_an_arrow_stream_is_a_table(self, room: Bench, get: Get) -> None:
        body = room.run(get("/arrow"))["body"]
        assert body.to_pylist() == [{"id": 1}, {"id": 2}]
        assert (
            room.settled("http", {"status": 1, "headers": {}, "body": body})["body"]["rows"] == 2
        )

    def test_what_is_no_text_is_bytes_by_reference(self, room: Bench, get: Get) -> None:
        for asked in ({}, {"as": "bytes"}):
            seen = room.settled("http", room.run(get("/picture", **asked)))["body"]
            assert (seen["media"], room.objects.read(seen)) == ("image/png", b"\x89PNG\xff\x00")

    def test_a_text_is_read_in_the_encoding_it_names(self, room: Bench, get: Get) -> None:
        assert room.run(get("/text"))["body"] == "größer"

    def test_the_tool_may_say_what_it_is(self, room: Bench, get: Get) -> None:
        text = room.run(get("/linked", **{"as": "text"}))["body"]
        assert json.loads(text) == ROWS[:3]
        table = room.run(get("/linked", **{"as": "table"}))["body"]
        assert table.to_pylist() == ROWS[:3]
        assert room.fault(get("/text", **{"as": "json"}))["cls"] == "transient"

    def test_a_date_in_retry_after_is_waited_for(self, room: Bench, get: Get) -> None:
        fault = room.fault(get("/busy"))
        assert fault["cls"] == "throttled"
        assert fault["retry_after_s"] > 1e9

    def test_a_slow_answer_is_a_timeout(self, room: Bench, get: Get) -> None:
        assert room.fault(get("/mute"), timeout_s=0.2)["cls"] == "timeout"


async def _attempts(tmp_path: Path, tool: dict[str, Any], count: int) -> list[Report]:
    """The reports of so many attempts, one after another, of a pool of one worker."""
    reports: asyncio.Queue[Report] = asyncio.Queue()
    folder = DataFolder(tmp_path)
    pool = LocalPool(1, folder)
    pool.start(asyncio.get_running_loop(), lambda worker, report: reports.put_nowait(report))
    call = Bench(tmp_path / "bench").call(tool)
    found = []
    for slot in range(count):
        task: Task = msgspec.structs.replace(call.task, slot=slot, attempt=f"r/s/{slot}/1")
        pool.send(task)
        pool.flush()
        found.append(await reports.get())
    await pool.stop()
    return found


def test_a_worker_keeps_its_connection_over_its_attempts(
    tmp_path: Path, get: Get, service: Server
) -> None:
    found = asyncio.run(_attempts(tmp_path, get("/linked"), 20))
    assert [report.outcome for report in found] == ["succeeded"] * 20
    assert (len(service.seen), service.accepted) == (20, 1)
