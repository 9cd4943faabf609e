"""The command line: quick help, the first hour, data on stdout, and one code per ending."""

from __future__ import annotations

import io
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from control_plane.cli.embedded import CATCH_UP_S, embedded
from control_plane.cli.main import app, hoisted, main
from control_plane.cli.output import Code
from control_plane.cli.refusals import _BY_NAME
from control_plane.settings import load
from patience import until
from runtime.data.folder import DataFolder
from runtime.journal.port import Append
from runtime.journal.sqlite import SqliteJournal
from runtime.run.events import RunStarted, RunSubmitted, StepHeld
from trimtab import Client

ROOT = Path(__file__).parents[2]
HEAVY = (
    "litestar", "sqlmodel", "sqlalchemy", "pyarrow", "chdb", "sklearn", "qdrant_client", "duckdb",
    "uvicorn", "optuna", "scipy", "numpy", "httpx2", "apscheduler", "rich", "minijinja",
)  # fmt: skip


EXPERIMENT = {
    "kind": "experiment", "playbook": "hello", "step": "greet", "knob_class": "batch",
    "objective": "time", "diff": [{"knob": "each.batch", "from": 5, "values": [8, 10]}],
    "base": {"each.batch": 5}, "evidence": {"support": 0.0}, "predicted": {},
}  # fmt: skip


class Cli:
    """Runs ``trimtab`` as if in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *words: str, code: int = 0, **environ: str) -> tuple[str, str]:
        out, told = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("TRIMTAB_")]:
                patch.delenv(name)
            for name, value in environ.items():
                patch.setenv(name, value)
            patch.chdir(self.folder)
            with redirect_stdout(out), redirect_stderr(told), pytest.raises(SystemExit) as left:
                main([*words, *([] if "demo" in words else ["--data", str(self.folder / "data")])])
        assert (left.value.code or 0) == code, out.getvalue() + told.getvalue()
        return out.getvalue(), told.getvalue()

    def json(self, *words: str, **environ: str) -> Any:
        return json.loads(self(*words, "-o", "json", **environ)[0])


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """A folder in which a playbook has run twice, and which a server owns now."""
    cli = Cli(tmp_path_factory.mktemp("used"))
    cli("playbook", "init")
    for _ in range(2):
        cli("run", "hello.yaml")
    folder = DataFolder(cli.folder / "data")
    flags = {"server.port": 0, "workers.slots": 2, "review.profile": "demo"}
    settings, sources = load(folder, {}, flags)
    with embedded(folder, settings, sources, record=True):
        yield cli


def test_help_is_quick_and_loads_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom control_plane.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print('HEAVY', [m for m in {HEAVY!r} if m in sys.modules])"
    )
    used_s = []
    while min(used_s, default=1.0) >= 0.5 and len(used_s) < 5:  # CPU of a busy machine differs
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        told = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert "HEAVY []" in told
        assert "playbook" in told
        used_s.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(used_s) < 0.5


def test_the_first_hour(cli: Cli) -> None:
    cli("playbook", "init")
    out, told = cli("run", "hello.yaml", "--set", "guests=6")
    assert json.loads(out) == {
        "greeted": 6, "first": "Hello, guest 0!", "last": "Hello, guest 5!"
    }  # fmt: skip
    assert "completed" in told
    code = cli.folder / "hello.py"
    works = code.read_text()
    code.write_text(works.replace("    return [f", "    people = 1 / 0\n    return [f", 1))
    line = 1 + code.read_text().splitlines().index("    people = 1 / 0")
    out, told = cli("run", "hello.yaml", code=1)
    assert out == ""
    assert "ZeroDivisionError" in told
    assert f"hello.py:{line}" in told
    assert "people = 1 / 0" in told
    code.write_text(works.replace("Hello, guest", "Dear guest"))
    out, _ = cli("run", "hello.yaml")
    assert json.loads(out)["first"] == "Dear guest 0!"
    assert [row["number"] for row in cli.json("run", "list")] == [3, 2, 1]
    cli("playbook", "init", code=int(Code.CONFLICT))


def test_an_override_holds_for_one_run(used: Cli) -> None:
    used("run", "hello", "--override", "greet.each.batch=200", "--label", "why=test")
    view = used.json("run", "show", used.json("run", "list")[0]["run"])
    assert view["steps"][0]["batches"] == 1
    assert view["labels"] == {"why": "test"}


def test_who_names_a_server_reads_its_runs_and_not_those_of_the_folder_here(
    used: Cli, tmp_path: Path
) -> None:
    folder = DataFolder(used.folder / "data")
    there = {
        "TRIMTAB_URL": json.loads(folder.server_json.read_text())["url"],
        "TRIMTAB_KEY": folder.admin_key.read_text().strip(),
    }
    elsewhere = Cli(tmp_path)
    rows = elsewhere.json("run", "list", "--limit", "2", **there)
    assert rows == used.json("run", "list", "--limit", "2")
    run = rows[1]["run"]
    assert elsewhere.json("run", "show", run[-8:], **there) == used.json("run", "show", run)
    events = elsewhere.json("run", "events", run, **there)
    assert events == used.json("run", "events", run)
    elsewhere("run", "list", code=int(Code.NOT_FOUND))


READS = [
    ("run", "list"), ("run", "show", "RUN"), ("run", "events", "RUN"), ("playbook", "list"),
    ("playbook", "show", "hello"), ("keys", "list"), ("config", "list"),
    ("config", "get", "server.port"), ("schedule", "next", "*/5 * * * *"), ("schedule", "list"),
    ("search", "Greet guests"), ("trends", "--buckets"), ("cost", "days"), ("status",),
    ("doctor",), ("doctor", "--verify"),
]  # fmt: skip
EMPTY = [
    ("proposal", "list", "--state", "expired"),
    ("schedule", "jobs"),
    ("run", "list", "--state", "failed"),
]


@pytest.mark.parametrize("words", READS, ids=" ".join)
def test_every_read_is_a_table_for_people_and_json_for_programs(
    used: Cli, words: tuple[str, ...]
) -> None:
    run = used.json("run", "list")[0]["run"] if "RUN" in words else ""
    asked = [run[-8:] if word == "RUN" else word for word in words]
    value = used.json(*asked)
    lines = [json.loads(line) for line in used(*asked, "-o", "ndjson")[0].splitlines()]
    assert len(lines) == (len(value) if isinstance(value, list) else 1)
    assert len(used(*asked)[0].splitlines()) >= len(lines)


@pytest.mark.parametrize("words", EMPTY, ids=" ".join)
def test_nothing_is_an_empty_list_and_a_word_on_stderr(used: Cli, words: tuple[str, ...]) -> None:
    assert used.json(*words) == []
    out, told = used(*words)
    assert out == ""
    assert told.strip()


def test_search_trends_and_the_optimizer_work_without_a_server(cli: Cli) -> None:
    cli("playbook", "init")
    cli("run", "hello.yaml")
    told = cli.json("optimize", "once")
    assert told["proposals"] or told["reasons"]
    trends = cli.json("trends", "--playbook", "hello")
    assert sum(row["attempts"] for row in trends) == 41
    drawn, _ = cli("trends", "--playbook", "hello", "--by", "hardware", "--measure", "attempts")
    head, line = drawn.splitlines()
    assert head.split() == ["LINE", "OVER", "TIME", "LAST", "IN", "ALL", "ATTEMPTS", "FAILED"]
    assert line.split()[0] == "local"
    assert cli.json("trends", "--changes") == []


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("run", "list", "--state"), Code.USAGE, "requires an argument"),
        (("run", "nowhere.yaml"), Code.NOT_FOUND, "trimtab playbook init"),
        (("run", "no/such"), Code.NOT_FOUND, "hello"),
        (("run", "show", "ffff"), Code.NOT_FOUND, "trimtab run list"),
        (("run", "hello.yaml", "--set", "guests"), Code.USAGE, "name=value"),
        (("run", "hello.yaml", "--set", "no=1"), Code.USAGE, "no such input"),
        (("run", "hello.yaml", "--override", "greet.each.bath=1"), Code.USAGE, "each.bath"),
        (("config", "set", "server.port", "many"), Code.USAGE, "whole number"),
        (("config", "get", "server.prt"), Code.NOT_FOUND, "trimtab config list"),
        (("config", "set", "workers.slots", "0"), Code.USAGE, "1 to 1024"),
        (("config", "unset", "no.such"), Code.NOT_FOUND, "not set"),
        (("run", "list", "--state", "complted"), Code.USAGE, "completed"),
        (("proposal", "show", ""), Code.USAGE, "no id"),
        (("proposal", "show", "p-1/events"), Code.NOT_FOUND, ""),
        (("kill", "helo"), Code.NOT_FOUND, "helo"),
        (("keys", "create", " ", "--role", "viewer"), Code.USAGE, "name"),
        (("keys", "create", "x", "--role", "king"), Code.USAGE, "policy_admin"),
        (("keys", "revoke", "ffffffff"), Code.NOT_FOUND, "trimtab keys list"),
        (("schedule", "next", "whenever"), Code.USAGE, "five fields"),
        (("proposal", "show", "p-0"), Code.NOT_FOUND, "no proposal"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_a_refusal_has_its_code_and_says_what_to_do(
    used: Cli, words: tuple[str, ...], code: Code, says: str
) -> None:
    out, told = used(*words, code=int(code))
    assert out == ""
    assert says in told


def test_a_faulty_playbook_is_told_line_by_line(used: Cli) -> None:
    text = (used.folder / "hello.yaml").read_text().replace("kind: python", "kind: pyton")
    (used.folder / "faulty.yaml").write_text(text)
    out, told = used("playbook", "validate", "faulty.yaml", code=1)
    assert all(line.startswith("faulty.yaml:") for line in out.splitlines())
    assert len(out.splitlines()) == 2
    assert "2 faults" in told
    _, told = used("run", "faulty.yaml", code=1)
    assert "pyton" in told


@pytest.mark.parametrize("words", [("status",), ("sign-in",), ("run", "hello.yaml", "--detach")])
def test_what_needs_a_server_says_how_to_start_one(cli: Cli, words: tuple[str, ...]) -> None:
    cli("playbook", "init")
    _, told = cli(*words, code=int(Code.UNREACHABLE))
    assert "trimtab dev" in told


def test_a_proposal_is_read_and_approved_by_another_key(used: Cli) -> None:
    key = used.folder / "reviewer.key"
    key.write_text(used("keys", "create", "rita", "--role", "approver")[0])
    key.chmod(0o600)
    with Client(data=used.folder / "data") as client:
        made = client.propose(EXPERIMENT)["id"]
    (listed,) = used.json("proposal", "list", "--state", "proposed")
    assert listed["id"] == made
    told, then = used("proposal", "show", made)
    assert f"trimtab proposal approve {made} --hash {listed['bound_hash']}" in then
    assert "each.batch: try 8 or 10 beside 5" in told
    assert "evidence   support: 0\n" in told
    assert listed["bound_hash"] in told
    _, refused = used("proposal", "approve", made, code=int(Code.REFUSED))
    assert "admin wrote" in refused
    approve = ("proposal", "approve", made, "--key-file", str(key))
    _, stale = used(*approve, "--hash", "0" * 32, code=int(Code.CONFLICT))
    assert listed["bound_hash"] in stale
    out, _ = used(*approve, "--hash", listed["bound_hash"])
    assert out.startswith(made)
    assert used("proposal", "rollback", made)[0].split()[1] in (
        "rolling_back", "rolled_back", "withdrawn",
    )  # fmt: skip


def test_a_proxy_stands_not_between_us_and_our_own_server(used: Cli) -> None:
    nowhere = "http://127.0.0.1:9"
    used("status", http_proxy=nowhere, HTTP_PROXY=nowhere, all_proxy=nowhere)


def test_a_fault_is_told_once(used: Cli) -> None:
    _, told = used("run", "hello", "--set", "no=1", code=int(Code.USAGE))
    assert told.count("no such input") == 1


def test_doctor_says_how_strong_an_author_is(cli: Cli) -> None:
    (trust,) = [check for check in cli.json("doctor") if check["name"] == "trust"]
    assert "admin" in trust["found"]


def _heed_interrupts() -> None:
    """A shell has what it starts in the background ignore them."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_an_interrupted_run_says_how_it_goes_on(cli: Cli) -> None:
    cli("playbook", "init")
    code = cli.folder / "hello.py"
    code.write_text(code.read_text().replace("time.sleep(0.02)", "time.sleep(60)"))
    words = [sys.executable, "-m", "control_plane.cli.main", "run", "hello.yaml"]
    environ = {**os.environ, "TRIMTAB_DATA": str(cli.folder / "data"), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        words, cwd=cli.folder, env=environ, stderr=subprocess.PIPE, text=True,
        preexec_fn=_heed_interrupts,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        run = process.stderr.readline().split()[1]
        process.send_signal(signal.SIGINT)
        told = process.stderr.read()
    assert process.returncode == 130
    assert f"trimtab run cancel {run[-8:]}" in told
    assert "Traceback" not in told


def test_an_interrupt_is_heard_while_the_record_catches_up(cli: Cli) -> None:
    cli("playbook", "init")
    cli("run", "hello.yaml")
    cli("config", "set", "record.clickhouse", "http://127.0.0.1:9")  # it never will
    data = DataFolder(cli.folder / "data")
    words = [sys.executable, "-m", "control_plane.cli.main", "optimize", "once"]
    environ = {**os.environ, "TRIMTAB_DATA": str(data.root), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(words, env=environ, preexec_fn=_heed_interrupts) as process:
        until(lambda: data.recorder_json.exists(), "a recorder")
        process.send_signal(signal.SIGINT)
        assert process.wait(CATCH_UP_S / 2) == 130


def test_one_step_is_studied_and_its_knobs_are_tried_in_the_simulator(used: Cli) -> None:
    told = used.json("optimize", "study", "hello#greet")
    assert [knob["knob"] for knob in told["knobs"]] == ["each.batch", "each.in_flight"]
    assert all(knob["text"] for knob in told["knobs"])
    assert "each.batch, now 5" in used("optimize", "study", "hello#greet")[0]
    rows = used.json("optimize", "simulate", "hello#greet", "--trials", "3", "--most", "40")
    assert len(rows) == 3
    assert rows[0]["values"] == {"each.batch": 5, "each.in_flight": 2}
    assert all(r["values"]["each.batch"] * r["values"]["each.in_flight"] <= 40 for r in rows)
    again = used.json("optimize", "simulate", "hello#greet", "--trials", "3", "--most", "40")
    assert again == rows
    out, told = used("optimize", "study", "hello#no", code=int(Code.NOT_FOUND))
    assert out == ""
    assert "there are: hello#greet" in told


def test_the_kill_switch_is_set_and_released(used: Cli) -> None:
    assert used.json("kill", "hello") == {"killed": ["hello"]}
    assert used.json("kill", "hello", "--off") == {"killed": []}


def test_a_playbooks_flow_is_drawn_from_its_file_or_the_catalogue(used: Cli) -> None:
    drawn, _ = used("playbook", "graph", "hello.yaml")
    assert "greet --> tell" in drawn
    assert used("playbook", "graph", "hello")[0] == drawn


def test_the_demo_tells_its_own_options(cli: Cli) -> None:
    assert "--service" in cli("demo", "--help")[0]


def test_a_key_is_printed_alone_and_only_once(cli: Cli) -> None:
    out, told = cli("keys", "create", "ada", "--role", "approver", "--role", "author")
    assert out.startswith("tt_")
    assert len(out.split()) == 1
    assert "ada is approver, author" in told
    listed = cli.json("keys", "list")
    assert [key["principal"] for key in listed] == ["admin", "ada"]
    assert out.strip() not in json.dumps(listed)


def test_a_setting_is_kept_shown_with_its_source_and_forgotten(cli: Cli) -> None:
    cli("config", "set", "workers.slots", "3")
    assert cli.json("config", "get", "workers.slots")["source"] == "settings.json"
    told = json.loads(
        cli("config", "get", "workers.slots", "-o", "json", TRIMTAB_WORKERS_SLOTS="4")[0]
    )
    assert (told["value"], told["source"]) == (4, "environment")
    cli("config", "unset", "workers.slots")
    assert cli.json("config", "get", "workers.slots")["source"] == "default"


def test_a_secret_setting_is_never_printed(cli: Cli) -> None:
    told = cli("config", "set", "record.qdrant_key", "hunter2")
    for words in (("list",), ("get", "record.qdrant_key"), ("list", "-o", "json")):
        told += cli("config", *words)
    assert "hunter2" not in "".join(told)


def test_schedules_are_made_and_removed(used: Cli) -> None:
    used("schedule", "add", "early", "0 6 * * *", "hello", "--set", "guests=7")
    listed = {row["name"]: row for row in used.json("schedule", "list")}
    assert listed["early"]["workload"] == {"guests": 7}
    used("schedule", "remove", "early")
    assert "early" not in [row["name"] for row in used.json("schedule", "list")]


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        (("playbook", "init"), ""),
        (("playbook", "schema"), "--to"),
        (("demo", "--stage", "1"), "--report"),
    ],
)
def test_a_place_that_cannot_be_written_is_told_before_anything_is_done(
    cli: Cli, words: tuple[str, ...], flag: str
) -> None:
    (cli.folder / "file").touch()
    at = str(cli.folder / "file" / "x")
    told = "".join(cli(*words, *([flag] if flag else []), at, code=1))
    assert f"{at}{'' if flag else '/hello.yaml'} cannot be written: " in told
    assert "names another place" in told


def test_what_nothing_holds_is_shown_and_then_collected(used: Cli) -> None:
    stray = used.folder / "data" / "objects" / "ab" / ("ab" * 32 + ".json")
    stray.parent.mkdir(exist_ok=True)
    stray.write_text("[]")
    os.utime(stray, (1, 1))
    assert used.json("db", "gc", "--dry-run")["objects"] == 1
    assert stray.exists()
    assert "removed 1 objects (0.0 MB)" in used("db", "gc")[0]
    assert not stray.exists()


def test_a_run_that_waits_for_hours_says_so_without_a_server_too(cli: Cli) -> None:
    folder = DataFolder(cli.folder / "data")
    folder.prepare()
    submitted = RunSubmitted("nightly", "v", 1, {}, "me")
    held = StepHeld("dear", 1_800_000_000.0, "22-6", "c", zone="Europe/Berlin")
    with closing(SqliteJournal(folder.journal, 1.0)) as journal:
        for run, events in (("a" * 32, (held,)), ("b" * 32, ())):
            journal.append([Append(f"run/{run}", 0, 1.0, (submitted, RunStarted(), *events))])
    listed, _ = cli("run", "list", TZ="UTC")
    assert "waiting until 01-15 08:00" in listed
    assert listed.count("running") == 1
    (line,) = cli.json("run", "list", "--state", "waiting")
    assert (line["run"], line["state"], line["waits"]["hours"]) == ("a" * 32, "running", "22-6")
    shown, _ = cli("run", "show", "a" * 32)
    assert "state      waiting until 2027-01-15" in shown
    assert "dear             waiting" in shown


def test_the_data_folder_may_be_named_anywhere() -> None:
    assert hoisted(["run", "list", "--data", "d"]) == ["--data", "d", "run", "list"]
    assert hoisted(["run", "--data=d", "list"]) == ["--data=d", "run", "list"]
    assert hoisted(["run", "list"]) == ["run", "list"]


def test_every_command_says_what_it_does() -> None:
    import typer

    silent = [name for name, text in described(typer.main.get_command(app)) if not text]
    assert silent == []


def test_no_list_of_commands_cuts_what_one_does(capsys: pytest.CaptureFixture[str]) -> None:
    for group in ([], ["run"], ["playbook"], ["optimize"], ["schedule"], ["cost"], ["db"]):
        with pytest.raises(SystemExit):
            main([*group, "--help"])
        listed = capsys.readouterr().out.partition("Commands:")[2]
        assert listed, group
        assert "..." not in listed, group


def described(command: Any, name: str = "trimtab") -> list[tuple[str, str]]:
    found = [(name, command.help or "")]
    for word, child in getattr(command, "commands", {}).items():
        found += described(child, f"{name} {word}")
    return found


def test_every_foreseen_error_is_one_that_exists() -> None:
    from importlib import import_module

    for name in _BY_NAME:
        module, _, word = name.rpartition(".")
        cls = getattr(import_module(module), word)
        assert issubclass(cls, Exception), name
        assert f"{cls.__module__}.{cls.__qualname__}" == name  # it is known by where it is defined
