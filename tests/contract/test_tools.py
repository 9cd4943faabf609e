"""What every tool promises, found by its entry point; then what each one does."""

from __future__ import annotations

import http.server
import json
import os
import sqlite3
import sys
import tomllib
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from listening import listening
from runtime.conformance import Bench, broken_promises
from runtime.errors import ToolError
from runtime.playbook import kinds
from runtime.playbook.tools import TOOLS
from runtime.run.events import ERROR_CLASSES
from runtime.run.state import WAITS_HERE
from runtime.tools import registry
from runtime.tools.answer import retry_after
from runtime.tools.bundled import Bundles
from runtime.tools.guarded import refused
from runtime.tools.port import Outcome
from runtime.tools.python import PythonTool
from runtime.workers.protocol import Items

REPOSITORY = Path(__file__).parents[2]
THIRD_PARTY = REPOSITORY / "tests" / "data" / "third_party"
KINDS = sorted({*TOOLS, "shout"})
"""Ours, and one that another distribution brings."""


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Bench]:
    yield Bench(tmp_path)
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, Bundles)]
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]
    registry.tool.cache_clear()


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """With a distribution on the path that adds the kind ``shout``."""
    monkeypatch.syspath_prepend(str(THIRD_PARTY))
    forget()
    yield
    forget()
    sys.modules.pop("trimtab_shout", None)


def forget() -> None:
    for cached in (kinds.others, kinds._declared, kinds.verbatim, registry.tool):
        cached.cache_clear()


class TestEveryTool:
    def test_ours_are_the_entry_points_of_the_distribution(self) -> None:
        project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
        assert project["entry-points"][kinds.GROUP] == registry.OURS

    def test_a_kind_that_a_playbook_may_name_is_run_by_a_worker_or_answered_by_the_engine(
        self,
    ) -> None:
        assert set(registry.OURS) | WAITS_HERE == set(TOOLS)
        assert WAITS_HERE.isdisjoint(registry.OURS)

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.usefixtures("installed")
    def test_it_keeps_what_every_kind_promises(self, kind: str) -> None:
        assert broken_promises(kind) == []

    @pytest.mark.parametrize("kind", sorted({*KINDS} - WAITS_HERE))
    @pytest.mark.usefixtures("installed")
    def test_it_is_made_once_in_a_process(self, kind: str) -> None:
        assert registry.tool(kind) is registry.tool(kind)

    @pytest.mark.parametrize("kind", sorted({*KINDS} - WAITS_HERE))
    @pytest.mark.usefixtures("installed")
    def test_an_empty_block_is_refused_at_its_place(self, room: Bench, kind: str) -> None:
        fault = room.fault({"kind": kind}, system=True)
        assert fault["cls"] == "permanent"
        assert fault["where"].startswith("clinic/cohort:2")

    @pytest.mark.parametrize("kind", sorted(registry.OURS))
    def test_its_keys_stand_in_the_reference(self, kind: str) -> None:
        text = (REPOSITORY / "docs" / "reference" / "tools.md").read_text()
        section = text.partition(f"\n## {kind}\n")[2].partition("\n## ")[0]
        for key in TOOLS[kind].keys:
            assert f"`{key}`" in section, f"{kind}.{key} is not in docs/reference/tools.md"

    def test_an_unknown_kind_says_which_are_known(self) -> None:
        with pytest.raises(ToolError, match="known are history, http, python, search, shell, sql"):
            registry.tool("prayer")


class TestPython:
    def write(self, room: Bench, text: str, name: str = "work.py") -> None:
        (room.bundle / name).write_text(text)

    def call(self, room: Bench, name: str, **options: Any) -> Any:
        return room.run({"kind": "python", "call": f"work:{name}"}, **options)

    def test_a_function_gets_what_it_asks_for_by_name(self, room: Bench) -> None:
        self.write(
            room,
            "def f(items, table, batch, key, run_folder, workload, log, limit, extra=5):\n"
            "    log('hello', n=1); log.spend(0.5)\n"
            "    return [items, table.num_rows, batch.index, batch.start, batch.count, key,\n"
            "            run_folder.is_dir(), workload, limit, extra]\n",
        )
        items = Items([{"a": 1}, {"a": 2}], 50, 2, sliced=True)
        call = room.call(
            {"kind": "python", "call": "work:f"}, items=items, args={"limit": 9}, workload={"w": 1}
        )
        value = registry.tool("python").run(call).value
        assert value == [[{"a": 1}, {"a": 2}], 2, 3, 50, 2, "the key", True, {"w": 1}, 9, 5]
        assert call.log.spend_usd == 0.5
        assert call.rows_in == 2

    def test_what_is_not_asked_for_is_not_opened(self, room: Bench) -> None:
        self.write(room, "def f(): return 1\ndef g(items): return items")
        gone = {**room.objects.put_json([1]), "$ref": "0" * 64 + ".json"}
        items = Items(gone, 0, 1, sliced=False)
        assert self.call(room, "f", items=items) == 1
        assert room.fault({"kind": "python", "call": "work:g"}, items=items)["cls"] == "data"

    def test_references_among_the_arguments_are_opened(self, room: Bench) -> None:
        self.write(room, "def f(people, more): return [people.num_rows, more]")
        ref = room.objects.put_table(pa.table({"n": [1, 2, 3]}))
        call = room.call(
            {"kind": "python", "call": "work:f"},
            args={"people": ref, "more": {"x": room.objects.put_json([1])}},
        )
        assert registry.tool("python").run(call).value == [3, {"x": [1]}]
        assert ref["$ref"] in call.inputs
        assert call.rows_in == 4

    def test_what_it_lacks_or_does_not_take_is_said_before_it_runs(self, room: Bench) -> None:
        self.write(room, "def f(items, size): raise RuntimeError")
        fault = room.fault({"kind": "python", "call": "work:f"}, args={"sise": 1})
        assert "work:f needs `items`, `size` and takes no `sise`" in fault["message"]

    def test_a_coroutine_is_run_to_its_end(self, room: Bench) -> None:
        self.write(
            room, "import asyncio\nasync def f():\n    await asyncio.sleep(0)\n    return 'done'"
        )
        assert self.call(room, "f") == "done"

    def test_a_function_with_keywords_takes_every_argument(self, room: Bench) -> None:
        self.write(room, "def f(*parts, **all): return all")
        assert self.call(room, "f", args={"a": 1, "b": 2}) == {"a": 1, "b": 2}

    def test_a_new_hash_is_new_code_and_an_old_one_is_kept(self, room: Bench) -> None:
        tool = PythonTool()

        def value(bundle: Path) -> Any:
            call = room.call({"kind": "python", "call": "work:f"}, bundle=str(bundle))
            return tool.run(call).value

        for name, answer in (("one", 1), ("two", 2)):
            folder = room.root / "bundles" / name
            folder.mkdir(exist_ok=True)
            (folder / "beside.py").write_text(f"ANSWER = {answer}")
            (folder / "work.py").write_text(
                "import beside\nloaded = []\n"
                "def f():\n    loaded.append(1)\n    return [beside.ANSWER, len(loaded)]"
            )
        one, two = room.root / "bundles" / "one", room.root / "bundles" / "two"
        assert [value(b) for b in (one, two, one, two)] == [[1, 1], [2, 1], [1, 2], [2, 2]]

    def test_a_traceback_shows_the_playbook_and_the_authors_lines_alone(self, room: Bench) -> None:
        self.write(
            room,
            "import json\n\ndef f():\n    return inner('{')\n\n"
            "def inner(text):\n    return json.loads(text)\n",
        )
        fault = room.fault({"kind": "python", "call": "work:f"})
        assert fault["where"] == "work.py:7"
        assert fault["traceback"].splitlines() == [
            "clinic/cohort:2, step s",
            "  work.py:4, in f",
            "    return inner('{')",
            "  work.py:7, in inner",
            "    return json.loads(text)",
            "  " + fault["message"],
        ]
        assert fault["message"].startswith("JSONDecodeError: Expecting property name")

    def test_causes_are_told_in_the_order_they_happened(self, room: Bench) -> None:
        self.write(
            room,
            "def f():\n    try: 1 / 0\n"
            "    except ZeroDivisionError as e: raise ValueError('outer') from e",
        )
        lines = room.fault({"kind": "python", "call": "work:f"})["traceback"].splitlines()
        assert lines.index("  ZeroDivisionError: division by zero") < lines.index("which led to")
        assert lines[-1] == "  ValueError: outer"

    def test_a_syntax_error_says_file_and_line(self, room: Bench) -> None:
        self.write(room, "x = 1\ndef f(:\n    pass")
        fault = room.fault({"kind": "python", "call": "work:f"})
        assert (fault["cls"], fault["where"]) == ("permanent", "work.py:2")
        assert "def f(:" in fault["traceback"]

    @pytest.mark.parametrize(
        ("call", "told"),
        [
            ("work", "must be module:function"),
            ("absent:f", "there is no module 'absent'"),
            ("work:absent", "work has no `absent`"),
            ("work:VALUE", "is a int, not a function"),
            ("statistics:mean", "has the name of another module"),
        ],
    )
    def test_a_call_that_leads_nowhere_says_why(self, room: Bench, call: str, told: str) -> None:
        self.write(room, "VALUE = 1")
        self.write(room, "def mean(): pass", "statistics.py")
        fault = room.fault({"kind": "python", "call": call})
        assert fault["cls"] == "permanent"
        assert told in fault["message"]

    def test_a_missing_import_of_the_code_is_not_mistaken_for_the_module(
        self, room: Bench
    ) -> None:
        self.write(room, "import absent_library\ndef f(): pass")
        fault = room.fault({"kind": "python", "call": "work:f"})
        assert fault["message"] == "ModuleNotFoundError: No module named 'absent_library'"
        assert fault["where"] == "work.py:1"

    def test_installed_functions_can_be_called(self, room: Bench) -> None:
        tool = {"kind": "python", "call": "statistics:mean"}
        assert room.run(tool, args={"data": [1, 2, 3]}) == 2

    def test_inline_code_assigns_a_result_or_defines_main(self, room: Bench) -> None:
        assert room.run({"kind": "python", "code": "result = a + 1"}, args={"a": 1}) == 2
        code = "def main(items): return [i * 2 for i in items]"
        items = Items([1, 2], 0, 2, sliced=True)
        assert room.run({"kind": "python", "code": code}, items=items) == [2, 4]
        code = "def double(): return [i * 2 for i in items]\nresult = double()"
        assert room.run({"kind": "python", "code": code}, items=items) == [2, 4]
        fault = room.fault({"kind": "python", "code": "x = 1"})
        assert "neither assigned `result`" in fault["message"]

    def test_inline_code_is_named_by_its_line_in_the_playbook(self, room: Bench) -> None:
        code = "a = 1\n\nresult = a / 0\n"
        text = "workflow:\n  - step: s\n    tool:\n      kind: python\n      code: |\n"
        self.write(
            room, text + "".join(f"        {x}\n" for x in code.splitlines()), "playbook.yaml"
        )
        fault = room.fault({"kind": "python", "code": code})
        assert fault["where"] == "clinic/cohort:8"
        assert "    result = a / 0" in fault["traceback"].splitlines()
        broken = room.fault({"kind": "python", "code": "result = = 1"})
        assert broken["where"] == "clinic/cohort:2 (line 1 of its code)"

    def test_a_tool_block_may_give_errors_another_class(self, room: Bench) -> None:
        self.write(room, "def f(): raise KeyError('x')")
        tool = {"kind": "python", "call": "work:f", "errors": {"LookupError": "transient"}}
        assert room.fault(tool)["cls"] == "transient"

    def test_the_record_and_services_are_for_system_runs(self, room: Bench) -> None:
        self.write(room, "def f(history): pass\ndef g(services): return services")
        for name in ("f", "g"):
            fault = room.fault({"kind": "python", "call": f"work:{name}"}, services={"a": 1})
            assert fault["cls"] == "permanent"
            assert "system runs only" in fault["message"]
        assert self.call(room, "g", services={"a": 1}, system=True) == {"a": 1}


class TestShell:
    def test_the_output_is_the_result(self, room: Bench) -> None:
        assert room.run({"kind": "shell", "run": "echo hi; echo no >&2"}) == {
            "exit_code": 0, "stdout": "hi\n",
        }  # fmt: skip

    def test_the_last_line_may_be_json(self, room: Bench) -> None:
        tool = {"kind": "shell", "run": "echo working; echo '{\"n\": 1}'", "output": "json"}
        assert room.run(tool) == {"n": 1}
        assert room.fault({**tool, "run": "echo nothing"})["cls"] == "data"

    def test_the_reason_of_a_failed_command_may_stand_above_its_last_line(
        self, room: Bench
    ) -> None:
        run = "echo starting >&2; dd if=/dev/zero of=/dev/full bs=1k count=4"
        assert "No space left on device" in room.fault({"kind": "shell", "run": run})["message"]

    def test_an_exit_code_is_permanent_unless_said_otherwise(self, room: Bench) -> None:
        tool: dict[str, Any] = {"kind": "shell", "run": "echo 'no space' >&2; exit 75"}
        fault = room.fault(tool)
        assert (fault["cls"], fault["message"]) == ("permanent", "exit code 75: no space")
        assert room.fault({**tool, "errors": {"75": "transient"}})["cls"] == "transient"
        assert room.fault({**tool, "errors": {75: "transient"}})["cls"] == "transient"
        killed = room.fault({"kind": "shell", "run": "kill -9 $$"})
        assert killed["message"] == "signal 9 (SIGKILL)"

    def test_values_reach_it_as_variables_never_as_code(self, room: Bench) -> None:
        args = {"name": "$(touch owned); '\"", "many": [1, 2]}
        tool = {
            "kind": "shell",
            "run": 'echo "$name|$many|$TRIMTAB_KEY|$MORE"',
            "env": {"MORE": 3},
        }
        out = room.run(tool, args=args)["stdout"]
        assert out == "$(touch owned); '\"|[1,2]|the key|3\n"

    def test_items_come_on_standard_input(self, room: Bench) -> None:
        items = Items([{"a": 1}, {"a": 2}], 0, 2, sliced=True)
        assert room.run({"kind": "shell", "run": "cat"}, items=items)["stdout"] == (
            '{"a":1}\n{"a":2}\n'
        )

    def test_words_are_run_without_a_shell(self, room: Bench) -> None:
        assert room.run({"kind": "shell", "run": ["echo", "$HOME", 3]})["stdout"] == "$HOME 3\n"
        assert "no program" in room.fault({"kind": "shell", "run": ["/no/such"]})["message"]

    def test_it_runs_in_the_runs_folder(self, room: Bench) -> None:
        room.run({"kind": "shell", "run": "echo x > made"})
        assert (room.root / "runs" / "r" / "made").exists()

    def test_what_it_leaves_running_is_not_waited_for(self, room: Bench) -> None:
        out = room.run({"kind": "shell", "run": "sleep 60 & echo $!"})["stdout"]
        assert Path(f"/proc/{int(out)}").exists()
        os.kill(int(out), 9)

    def test_both_outputs_are_passed_on_whole_and_in_time(
        self, room: Bench, capfd: pytest.CaptureFixture[str]
    ) -> None:
        run = "seq 1 60000; seq 1 60000 >&2; exec >&- 2>&-; sleep 0.05; exit 3"
        said = "exit code 3: 59997\n59998\n59999\n60000"
        assert room.fault({"kind": "shell", "run": run})["message"] == said
        said = capfd.readouterr()
        assert said.out == said.err == "".join(f"{n}\n" for n in range(1, 60001))

    def test_what_prints_for_ever_in_the_background_is_not_waited_for(self, room: Bench) -> None:
        file = room.root / "pid"
        room.run({"kind": "shell", "run": f"yes & echo $! > {file}; sleep 0.1"})
        os.kill(int(file.read_text()), 9)


class Service(http.server.BaseHTTPRequestHandler):
    """Answers what the path asks for; remembers requests and connections."""

    protocol_version = "HTTP/1.1"
    seen: list[dict[str, Any]]
    connections: set[Any]

    def answer(self) -> None:
        self.connections.add(self.client_address)
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        self.seen.append(
            {"method": self.command, "path": self.path, "body": body, **dict(self.headers)}
        )
        status = int(self.path.strip("/").split("/")[0].split("?")[0])
        said, media = (b'{"ok": true}', "application/json") if status < 400 else (b"sorry", "text")
        self.send_response(status)
        if "soon" in self.path:
            self.send_header("Retry-After", "3")
        if "cookie" in self.path:
            self.send_header("Set-Cookie", "session=mine")
        if status == 302:
            self.send_header("Location", "/200")
        self.send_header("Content-Type", media)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        if "cut" not in self.path:
            self.wfile.write(said)
        else:
            self.close_connection = True

    do_GET = do_POST = do_PUT = answer  # noqa: N815 - names of the standard library

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def service() -> Iterator[tuple[str, type[Service]]]:
    handler = type("Handler", (Service,), {"seen": [], "connections": set()})
    with listening(handler) as url:
        yield url, handler


@pytest.fixture
def request_(
    room: Bench, service: tuple[str, type[Service]]
) -> Iterator[Callable[..., dict[str, Any]]]:
    def tool(path: str, **more: Any) -> dict[str, Any]:
        return {"kind": "http", "url": service[0] + path, "allow_loopback": True, **more}

    yield tool
    for client in registry.tool("http")._clients.values():  # type: ignore[attr-defined]
        client.close()


class TestHttp:
    def test_json_comes_back_as_a_value_over_one_connection(
        self, room: Bench, request_: Callable[..., dict[str, Any]], service: Any
    ) -> None:
        for _ in range(3):
            answer = room.run(request_("/200", params={"q": "a b"}))
            assert (answer["status"], answer["body"]) == (200, {"ok": True})
            assert answer["headers"]["content-type"] == "application/json"
        assert len(service[1].connections) == 1
        assert service[1].seen[0]["path"] == "/200?q=a+b"
        assert "Idempotency-Key" not in service[1].seen[0]

    def test_a_write_carries_its_body_and_the_idempotency_key(
        self, room: Bench, request_: Callable[..., dict[str, Any]], service: Any
    ) -> None:
        room.run(request_("/200", method="POST", json={"a": 1}, headers={"X-Me": "1"}))
        items = Items([{"id": 1}], 0, 1, sliced=True)
        room.run(request_("/200", method="PUT"), items=items)
        room.run(request_("/200", method="POST", body="plain"))
        bodies = [seen["body"] for seen in service[1].seen]
        assert bodies == [b'{"a":1}', b'[{"id":1}]', b"plain"]
        assert {seen["Idempotency-Key"] for seen in service[1].seen} == {"the key"}
        assert service[1].seen[0]["X-Me"] == "1"

    @pytest.mark.parametrize(
        ("path", "cls", "wait"),
        [
            ("/404", "permanent", None), ("/408", "timeout", None), ("/429", "throttled", None),
            ("/429/soon", "throttled", 3.0), ("/500", "transient", None),
            ("/503/soon", "throttled", 3.0), ("/200/cut", "transient", None),
        ],
    )  # fmt: skip
    def test_statuses_have_classes(
        self, room: Bench, request_: Callable[..., dict[str, Any]], path: str, cls: str,
        wait: float | None,
    ) -> None:  # fmt: skip
        fault = room.fault(request_(path))
        assert (fault["cls"], fault["retry_after_s"]) == (cls, wait)
        assert cls in ERROR_CLASSES
        refined = room.fault(request_(path, errors={path[1:4]: "data", "Exception": "data"}))
        assert refined["cls"] == "data"

    def test_a_refused_connection_is_transient(self, room: Bench) -> None:
        tool = {"kind": "http", "url": "http://127.0.0.1:9/", "allow_loopback": True}
        assert room.fault(tool)["cls"] == "transient"
        assert room.fault({"kind": "http", "url": "ftp://x/"})["cls"] == "permanent"

    def test_this_machine_is_refused_by_any_name_unless_allowed(
        self, room: Bench, request_: Callable[..., dict[str, Any]], service: Any
    ) -> None:
        port = service[0].rsplit(":", 1)[1]
        for host in ("127.0.0.1", "localhost", "127.1", "[::ffff:127.0.0.1]", "0.0.0.0"):
            fault = room.fault({"kind": "http", "url": f"http://{host}:{port}/200"})
            assert fault["cls"] == "permanent", host
            assert "allow_loopback: true" in fault["message"]
        assert service[1].seen == []

    def test_cookies_of_one_attempt_are_not_sent_by_the_next(
        self, room: Bench, request_: Callable[..., dict[str, Any]], service: Any
    ) -> None:
        for _ in range(2):
            assert "set-cookie" not in room.run(request_("/200/cookie"))["headers"]
        assert [seen.get("Cookie") for seen in service[1].seen] == [None, None]
        assert len(service[1].connections) == 1

    def test_a_redirect_is_followed(
        self, room: Bench, request_: Callable[..., dict[str, Any]]
    ) -> None:
        assert room.run(request_("/302"))["body"] == {"ok": True}

    def test_an_answer_over_the_limit_is_refused(
        self, room: Bench, request_: Callable[..., dict[str, Any]]
    ) -> None:
        assert room.fault(request_("/200"), output_bytes=4)["cls"] == "resource"

    @pytest.mark.parametrize(
        ("address", "no"),
        [
            ("127.0.0.1", True), ("169.254.169.254", True), ("::1", True), ("fe80::1%eth0", True),
            ("0.0.0.0", True), ("::ffff:127.0.0.1", True), ("10.0.0.1", False), ("8.8.8.8", False),
        ],
    )  # fmt: skip
    def test_addresses_of_this_machine_and_its_link_are_known(
        self, address: str, no: bool
    ) -> None:
        assert refused(address) is no

    def test_retry_after_may_be_seconds_or_a_date(self) -> None:
        now = 1_800_000_000.0
        assert retry_after("7", now) == 7.0
        assert retry_after("-1", now) == 0.0
        assert retry_after(formatdate(now + 30, usegmt=True), now) == 30.0
        assert retry_after("soon", now) is None
        assert retry_after(None, now) is None


class TestSql:
    def test_values_are_bound_from_with_and_workload(self, room: Bench) -> None:
        for engine in ("duckdb", "sqlite"):
            tool = {"kind": "sql", "engine": engine, "query": "select $a as a, $b as b, '$c' as c"}
            table = room.run(tool, args={"a": "x'; drop"}, workload={"a": "hidden", "b": 2})
            assert table.to_pylist() == [{"a": "x'; drop", "b": 2, "c": "$c"}], engine

    @pytest.mark.parametrize("engine", ["duckdb", "sqlite"])
    def test_a_name_that_nobody_gave_is_named(self, room: Bench, engine: str) -> None:
        fault = room.fault({"kind": "sql", "engine": engine, "query": "select $x"}, args={"y": 1})
        assert fault["cls"] == "permanent"
        assert "$x" in fault["message"]
        assert "y" in fault["message"]

    def test_the_batch_is_a_table_called_items(self, room: Bench) -> None:
        ref = room.objects.put_table(pa.table({"n": list(range(100))}))
        items = Items(ref, 10, 5, sliced=False)
        tool = {"kind": "sql", "engine": "duckdb", "query": "select sum(n)::bigint s from items"}
        assert room.run(tool, items=items).to_pylist() == [{"s": 60}]
        query = "select sum(value ->> 'n') s from json_each($items)"
        tool = {"kind": "sql", "engine": "sqlite", "query": query}
        assert room.run(tool, items=items).to_pylist() == [{"s": 60}]

    def test_tables_among_the_arguments_can_be_selected_from(self, room: Bench) -> None:
        ref = room.objects.put_table(pa.table({"n": [1, 2, 3]}))
        query = "select * from people where n > $least"
        tool = {"kind": "sql", "engine": "duckdb", "query": query}
        assert room.run(tool, args={"people": ref, "least": 1})["n"].to_pylist() == [2, 3]

    @pytest.mark.parametrize("engine", ["duckdb", "sqlite"])
    def test_a_database_lasts_as_long_as_its_file(self, room: Bench, engine: str) -> None:
        tool = {"kind": "sql", "engine": engine, "database": "kept.db"}
        made = "create table t (n integer); insert into t values (1), (2);"
        assert room.run({**tool, "query": made}) is None
        assert room.run({**tool, "query": "select * from t;"})["n"].to_pylist() == [1, 2]
        assert (room.root / "runs" / "r" / "kept.db").exists()

    def test_a_script_that_fails_changes_nothing_in_sqlite(self, room: Bench) -> None:
        tool = {"kind": "sql", "engine": "sqlite", "database": "kept.db"}
        room.run({**tool, "query": "create table t (n integer)"})
        fault = room.fault({**tool, "query": "insert into t values (1); select * from nowhere"})
        assert "nowhere" in fault["message"]
        assert room.run({**tool, "query": "select * from t"}).num_rows == 0

    @pytest.mark.parametrize("engine", ["duckdb", "sqlite"])
    def test_rows_are_written_into_a_table(self, room: Bench, engine: str) -> None:
        tool = {"kind": "sql", "engine": engine, "database": "kept.db"}
        room.run({**tool, "query": "create table t (n integer primary key, s varchar)"})
        rows = room.objects.put_table(pa.table({"s": ["a", "b"], "n": [1, 2]}))
        assert room.run({**tool, "into": "t"}, args={"rows": rows}) == {"rows": 2}
        items = Items([{"n": 3, "s": "c"}], 0, 1, sliced=True)
        assert room.run({**tool, "into": "t"}, items=items) == {"rows": 1}
        assert room.fault({**tool, "into": "t"}, items=items)["cls"] == "data"
        assert "rows" in room.fault({**tool, "into": "t"})["message"]
        found = room.run({**tool, "query": "select s, n from t order by n"})
        assert found.to_pylist() == [{"s": s, "n": n} for n, s in enumerate("abc", start=1)]

    def test_a_busy_database_is_transient(
        self, room: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("runtime.tools.sql._WAIT_S", 0.05)
        tool = {"kind": "sql", "engine": "sqlite", "database": "kept.db"}
        room.run({**tool, "query": "create table t (n integer)"})
        other = sqlite3.connect(room.root / "runs" / "r" / "kept.db", isolation_level=None)
        other.execute("begin exclusive")
        assert room.fault({**tool, "query": "insert into t values (1)"})["cls"] == "transient"
        other.close()

    def test_sqlite_columns_find_a_type(self, room: Bench) -> None:
        query = (
            "select 1 n, 0.5 x, 'a' s, x'00' b, null z, 1 as mixed "
            "union all select null, 1, 'b', null, null, 'two'"
        )
        table = room.run({"kind": "sql", "engine": "sqlite", "query": query})
        kinds = {field.name: str(field.type) for field in table.schema}
        assert kinds == {
            "n": "int64", "x": "double", "s": "string", "b": "binary", "z": "null",
            "mixed": "string",
        }  # fmt: skip
        empty = room.run({"kind": "sql", "engine": "sqlite", "query": "select 1 as n where false"})
        assert (empty.num_rows, empty.column_names) == (0, ["n"])

    @pytest.mark.parametrize("engine", ["duckdb", "sqlite"])
    def test_facts_of_the_attempt_can_be_bound_too(self, room: Bench, engine: str) -> None:
        query = "select $key as key, $run_folder as home, cast($batch as varchar) as batch"
        tool = {"kind": "sql", "engine": engine, "query": query}
        (row,) = room.run(tool, items=Items([1], 7, 1, sliced=True)).to_pylist()
        assert (row["key"], row["home"]) == ("the key", str(room.root / "runs" / "r"))
        assert "7" in row["batch"]
        assert "$batch" in room.fault(tool)["message"]

    @pytest.mark.parametrize("engine", ["duckdb", "sqlite"])
    @pytest.mark.parametrize("name", ["../../keys.db", "{root}/keys.db", ".", "../r2/x.db"])
    def test_a_database_lies_in_the_runs_folder(self, room: Bench, engine: str, name: str) -> None:
        name = name.format(root=room.root)
        tool = {"kind": "sql", "engine": engine, "query": "select 1 as n", "database": name}
        fault = room.fault(tool)
        assert fault["cls"] == "permanent"
        assert "must be a file in the run's folder" in fault["message"]

    @pytest.mark.parametrize(
        "query",
        [
            "select * from read_text('/etc/passwd')", "select * from read_csv('/etc/passwd')",
            "select * from glob('{root}/*')", "select * from read_text('{root}/admin.key')",
            "select * from read_json('{root}/tokens.json')",
            "select * from read_text('{root}/runs/r/../../admin.key')",
            "select * from read_text('{root}/runs/r/link')",
            "attach '{root}/journal.db' as j", "copy (select 1) to '{root}/out.csv'",
            "copy (select 1) to '{root}/objects/out.csv'",
            "prepare p as copy (select 1) to '{root}/products/out.csv'; execute p",
            "explain analyze copy (select 1) to '{root}/bundles/one/out.csv'",
            "select * from read_parquet('http://127.0.0.1:9/x.parquet')",
            "install httpfs", "load httpfs", "set enable_external_access = true",
            "set allowed_directories = ['/']", "reset lock_configuration",
        ],
    )  # fmt: skip
    def test_duckdb_stays_within_the_folders_of_its_run(self, room: Bench, query: str) -> None:
        for name in ("admin.key", "tokens.json", "journal.db"):
            (room.root / name).write_text("{}")
        for name in ("products", "runs/r"):
            (room.root / name).mkdir(parents=True)
        (room.root / "runs" / "r" / "link").symlink_to(room.root / "admin.key")
        query = query.format(root=room.root)
        assert room.fault({"kind": "sql", "query": query})["cls"] == "permanent"
        assert list(room.root.rglob("out.csv")) == []

    def test_duckdb_reads_and_writes_the_files_of_its_run(
        self, room: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        home = room.root / "runs" / "r"
        room.run({"kind": "sql", "query": f"copy (select 1 as n) to '{home}/made.csv'"})
        made = {"kind": "sql", "query": "from read_csv($run_folder || '/made.csv')"}
        assert room.run(made).to_pylist() == [{"n": 1}]
        for folder in ("objects", "products", "bundles/one", "elsewhere"):
            (room.root / folder).mkdir(exist_ok=True)
            (room.root / folder / "kept.csv").write_text("n\n2\n")
        kept = {"kind": "sql", "query": "from read_csv($file)"}
        for folder in ("objects", "products", "bundles/one"):
            found = room.run(kept, args={"file": f"{room.root}/{folder}/kept.csv"})
            assert found.to_pylist() == [{"n": 2}]
        args = {"file": f"{room.root}/elsewhere/kept.csv"}
        assert "TRIMTAB_SQL_FOLDERS" in room.fault(kept, args=args)["message"]
        monkeypatch.setenv("TRIMTAB_SQL_FOLDERS", f"/nowhere:{room.root}/elsewhere")
        assert room.run(kept, args=args).to_pylist() == [{"n": 2}]

    def test_duckdb_sees_no_variable_of_the_program(self, room: Bench) -> None:
        fault = room.fault({"kind": "sql", "query": "select 1 as n; select * from result"})
        assert "result does not exist" in fault["message"]

    @pytest.mark.parametrize(
        "query",
        ["attach '{root}/keys.db' as k", "attach '{root}' || '/keys.db' as k",
         "attach 'keys.db' as k", "attach 'file:{root}/keys.db' as k",
         "attach '{root}/runs/r/../../keys.db' as k"],
    )  # fmt: skip
    def test_sqlite_stays_within_the_runs_folder(self, room: Bench, query: str) -> None:
        sqlite3.connect(room.root / "keys.db").close()
        tool = {"kind": "sql", "engine": "sqlite", "query": query.format(root=room.root)}
        fault = room.fault(tool)
        assert fault["cls"] == "permanent"
        assert "not authorized" in fault["message"]
        beside = f"attach '{room.root}/runs/r/more.db' as more"
        assert room.run({"kind": "sql", "engine": "sqlite", "query": beside}) is None

    def test_a_query_may_lie_in_a_file(self, room: Bench) -> None:
        (room.bundle / "q.sql").write_text("select 42 as n")
        tool = {"kind": "sql", "engine": "duckdb", "file": "q.sql"}
        assert room.run(tool).to_pylist() == [{"n": 42}]
        assert room.fault({**tool, "file": "no.sql"})["cls"] == "permanent"

    def test_a_wrong_query_says_what_is_wrong(self, room: Bench) -> None:
        fault = room.fault({"kind": "sql", "engine": "duckdb", "query": "selct 1"})
        assert fault["cls"] == "permanent"
        assert "selct" in fault["message"]


class TestHistory:
    def test_an_ordinary_run_may_not_read(self, room: Bench) -> None:
        fault = room.fault({"kind": "history", "query": "runs_recent"})
        assert fault["cls"] == "permanent"
        assert "system runs only" in fault["message"]


def test_an_outcome_holds_a_value() -> None:
    assert Outcome(json.loads("[1]")).value == [1]
