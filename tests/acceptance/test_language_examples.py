"""Every example in docs/language comes to what its page says, and together they show every key."""

from __future__ import annotations

import asyncio
import http.server
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from ruamel.yaml import YAML

from listening import listening
from runtime.data.folder import DataFolder
from runtime.engine.engine import Engine, Submit
from runtime.engine.errors import EngineError, NotWaiting
from runtime.engine.local import open_local
from runtime.playbook import keys
from runtime.playbook.bundle import load_text
from runtime.playbook.parse import parse
from runtime.playbook.tools import TOOLS, ToolKey

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "language").glob("*.md"))
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"(?:#|--) (\S+\.\w+)\n")
ELSEWHERE = {
    "sql connection": "needs a server: test_tools_postgres.py",
    "tool history": "only system playbooks may: test_optimize_playbook.py",
    "tool search": "only system playbooks may: test_record_recorder.py",
}
"""Keys whose example needs more than an engine, and the tests that show them."""


AT_ONCE = 6


@dataclass(frozen=True)
class Told:
    """One run of an example, as its page tells it."""

    lines: tuple[str, ...]

    def of(self, word: str) -> dict[str, Any]:
        """What the lines that begin with a word give: name → value."""
        found = (re.fullmatch(rf"{word}([\w.]+) = (.*)", line) for line in self.lines)
        return {match[1]: json.loads(match[2]) for match in found if match}

    @property
    def overrides(self) -> dict[str, dict[str, Any]]:
        """Step → knob → value."""
        found: dict[str, dict[str, Any]] = {}
        for name, value in self.of("override ").items():
            step, _, knob = name.partition(".")
            found.setdefault(step, {})[knob] = value
        return found

    def after(self, word: str) -> str | None:
        return next((x.removeprefix(word) for x in self.lines if x.startswith(word)), None)


@dataclass
class Example:
    """A playbook of a page, its files, and what is told of its runs."""

    page: str
    source: str
    files: dict[str, str] = field(default_factory=dict)
    runs: list[Told] = field(default_factory=list)

    @cached_property
    def path(self) -> str:
        return parse(self.source).path


def read(page: Path) -> Iterator[Example]:
    example = None
    for language, text in FENCE.findall(page.read_text(encoding="utf-8")):
        named = NAMED.match(text)
        if language == "yaml" and not named:
            example = Example(page.name, text)
            yield example
        elif example is not None and named:
            example.files[named[1]] = text
        elif example is not None and language == "text":
            blocks = text.strip().split("\n\n")
            example.runs += [Told(tuple(block.splitlines())) for block in blocks]


EXAMPLES = [example for page in PAGES for example in read(page)]
RUNS = [(e, told) for e in EXAMPLES for told in e.runs]


# ---- running them -----------------------------------------------------------------------


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers every request with what it was, and /list with a page of the numbers below five."""

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        told: dict[str, Any] = {"path": self.path, "body": body, "who": self.headers.get("X-Who")}
        self.send_response(200)
        if self.path.startswith("/list"):
            asked = {name: int(value) for name, value in parse_qsl(urlsplit(self.path).query)}
            start = asked.get("from", 2 * asked.get("page", 0))
            more = start + 2 if start + 2 < 5 else None
            told = {"found": list(range(start, min(start + 2, 5))), "more": more}
            if more is not None:
                self.send_header("Link", f'</list?from={more}>; rel="next"')
        answer = json.dumps(told).encode()
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_PUT = do_POST = do_GET  # noqa: N815  # the names that http.server asks for

    def log_message(self, *_: object) -> None:
        """Say nothing."""


async def play(engine: Engine, path: str, told: Told, standing: Mapping[str, str]) -> list[str]:
    """Run an example once; what came of it, in the page's words."""
    workload = {n: standing.get(str(v), v) for n, v in told.of("").items()}
    try:
        run = await engine.submit(Submit(path, workload, overrides=told.overrides))
    except EngineError as error:
        return [f"→ refused: {error}"]
    for name, value in told.of("signal ").items():
        await engine.signal(run, name, value, "me")
    for word in ("approve ", "reject "):
        if step := told.after(word):
            await answered(engine, run, step, approved=word == "approve ")
    row = await engine.wait(run)
    state = engine.state(run)
    if row.state != "completed":
        return [f"→ {row.state}: {state.fault.cls if state.fault else ''}", str(state.fault)]
    lines = [f"→ completed: {json.dumps(state.result)}"]
    return [*lines, "file: " + " ".join(Path(standing["<file>"]).read_text().split())] if (
        "<file>" in told.of("").values()
    ) else lines  # fmt: skip


async def answered(engine: Engine, run: str, step: str, *, approved: bool) -> None:
    while True:
        try:
            return await engine.approve(run, step, approved=approved, actor="me")
        except NotWaiting:
            await asyncio.sleep(0.01)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, list[str]]]:
    """What each run of an example came to, all of them in one engine."""
    root = tmp_path_factory.mktemp("language")

    async def whole(server: str) -> dict[int, list[str]]:
        async with open_local(DataFolder(root / "data"), slots=4) as engine:
            for example in EXAMPLES:
                bundle = load_text(example.source, example.files)
                await engine.register(bundle, "me")
            turns = asyncio.Semaphore(AT_ONCE)

            async def one(path: str, told: Told, file: Path) -> list[str]:
                async with turns:
                    return await play(
                        engine, path, told, {"<server>": server, "<file>": str(file)}
                    )

            found = [one(e.path, t, root / f"{n}.txt") for n, (e, t) in enumerate(RUNS)]
            return dict(enumerate(await asyncio.wait_for(asyncio.gather(*found), 120)))

    with listening(Echo) as server, pytest.MonkeyPatch.context() as patch:
        for _, told in RUNS:
            for name, value in told.of("secret ").items():
                patch.setenv(f"TRIMTAB_SECRET_{name.upper()}", value)
        yield asyncio.run(whole(server))


@pytest.mark.parametrize(
    "number", range(len(RUNS)), ids=[f"{e.page}:{e.path.partition('/')[2]}" for e, _ in RUNS]
)
def test_an_example_comes_to_what_its_page_says(
    number: int, outcomes: dict[int, list[str]]
) -> None:
    _, told = RUNS[number]
    expected = [line for line in told.lines if line.startswith(("→", "file: "))]
    found = outcomes[number]
    assert expected, "the page does not say what it comes to"
    if refused := told.after("→ refused: "):
        assert found[0].startswith("→ refused: ")
        assert refused in found[0]
    elif told.after("→ completed: "):
        assert found[0].startswith("→ completed: "), found
        assert json.loads(found[0].partition(": ")[2]) == json.loads(told.after("→ completed: "))
        assert found[1:] == expected[1:]
    else:
        assert found[:1] == expected[:1]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e.path)
def test_every_example_is_run(example: Example) -> None:
    assert example.runs, f"{example.page} does not say what {example.path} comes to"


def test_every_example_has_a_path_of_its_own() -> None:
    paths = [example.path for example in EXAMPLES]
    assert [path for path in paths if paths.count(path) > 1] == []


# ---- every key --------------------------------------------------------------------------

NESTED = {
    "metadata": "metadata", "each": "each", "failures": "failures", "retry": "retry",
    "hedge": "hedge", "start": "start",
    "join": "join", "repeat": "repeat", "slo": "slo", "publishes": "publishes",
    "record": "record",
}  # fmt: skip
"""Keys of a step or playbook whose value is a mapping of a table of the same name."""


def shown(source: str) -> Iterator[str]:
    """The keys that a playbook uses, each with the name of its table."""
    yaml = YAML(typ="safe", pure=True)
    book = yaml.load(source)
    yield from under("playbook", book)
    for given in book.get("workload", {}).values():
        if isinstance(given, dict) and set(given) <= set(keys.INPUT):
            yield from under("input", given)
    for limit in book.get("limits", {}).values():
        yield from under("limit", limit)
    for step in book["workflow"]:
        yield from of_step("step", step)
    for step in book.get("finally", []):
        yield from of_step("finally", step)


def under(table: str, mapping: Mapping[str, Any]) -> Iterator[str]:
    for key, value in mapping.items():
        yield f"{table} {key}"
        if key in NESTED and isinstance(value, dict):
            yield from under(NESTED[key], value)


def of_step(table: str, step: Mapping[str, Any]) -> Iterator[str]:
    yield from under(table, step)
    for block in (step.get("tool"), step.get("compensate")):
        if block:
            yield f"tool {block['kind']}"
            yield from of_tool(block["kind"], block, TOOLS[block["kind"]].keys)
    arcs = step.get("next")
    for arc in arcs if isinstance(arcs, list) else []:
        yield from under("arc", arc) if isinstance(arc, dict) else ()
    for bounds in step.get("tune", {}).values():
        yield from under("bounds", bounds) if isinstance(bounds, dict) else ()
    for value in step.get("set", {}).values():
        if isinstance(value, dict) and len(value) == 1 and set(value) <= set(keys.REDUCERS):
            yield from under("reducers", value)


def of_tool(kind: str, block: Mapping[str, Any], known: Mapping[str, ToolKey]) -> Iterator[str]:
    for key, value in block.items():
        if key != "kind":
            yield f"{kind} {key}"
        if key in known and known[key].within:
            yield from of_tool(f"{kind} {key}", value, known[key].within)


def keys_of(kind: str, known: Mapping[str, ToolKey]) -> Iterator[str]:
    for name, key in known.items():
        yield f"{kind} {name}"
        yield from keys_of(f"{kind} {name}", key.within)


def wanted() -> set[str]:
    """Every key of every table, and every kind of tool with its keys."""
    tables = {
        name.lower(): list(table)
        for name, table in vars(keys).items()
        if name.isupper() and isinstance(table, dict) and name != "HABITS"
    }
    tables["finally"] = list(keys.FINALLY)
    tables["tool"] = list(TOOLS)
    of_tools = {key for kind, tool in TOOLS.items() for key in keys_of(kind, tool.keys)}
    return of_tools | {f"{table} {key}" for table, found in tables.items() for key in found}


def test_every_key_of_every_table_is_in_an_example_that_runs() -> None:
    seen = {key for e in EXAMPLES if e.runs for key in shown(e.source)}
    missing = sorted(wanted() - seen)
    allowed = {
        key for key in missing
        if key in ELSEWHERE or f"tool {key.partition(' ')[0]}" in ELSEWHERE
    }  # fmt: skip
    assert sorted(set(missing) - allowed) == [], "show them in docs/language"
    assert {key for key in ELSEWHERE if key in seen} == set()


@pytest.mark.parametrize("why", sorted(ELSEWHERE.values()))
def test_what_is_shown_elsewhere_is_shown_there(why: str) -> None:
    name = why.rpartition(": ")[2]
    assert list((ROOT / "tests").rglob(name))
