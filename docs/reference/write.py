"""Writes the reference from the code: `make docs`. A test says when it is stale.

The prose of a page stands in the page. What the code knows stands between a comment that names
it and ``<!-- end -->``, and is written from the code's own tables, so that nothing is told
twice. A picture of a table follows a comment that names it.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from inspect import cleandoc
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[2]))

from msgspec import NODEFAULT, structs

from control_plane.settings import named
from runtime.run.events import TYPES
from runtime.run.life import pictures

HERE: Final = Path(__file__).parent
RESULTS: Final = HERE.parents[1] / "bench" / "results"
RUNS: Final = HERE.parent / "concepts" / "runs.md"
PART: Final = re.compile(r"(<!-- ([\w ]+) -->\n).*?(<!-- end -->)", re.DOTALL)
PICTURE: Final = re.compile(r"(<!-- picture: (\w+) -->\n```mermaid\n)(.*?)(\n```)", re.DOTALL)


def events() -> str:
    """Return each event with its fields."""
    lines: list[str] = []
    for name, cls in TYPES.items():
        lines += [f"## `{name}`", "", f"Version {cls.VERSION}. {_prose(cls)}", "",
                  "| field | type | default |", "| --- | --- | --- |"]  # fmt: skip
        kinds = {
            n: kind.replace(" | None", " \\| None") for n, kind in cls.__annotations__.items()
        }
        lines += [
            f"| `{f.name}` | `{kinds[f.name]}` | {_default(f)} |" for f in structs.fields(cls)
        ]
        lines.append("")
    return "\n".join(lines)


def settings() -> str:
    """Return the table of all settings."""
    lines = ["| setting | environment | default | what it is |", "| --- | --- | --- | --- |"]
    lines += [f"| `{s.name}` | `{s.variable}` | `{s.default}` | {s.text} |" for s in named()]
    return "\n".join(lines)


def routes() -> str:
    """Return the table of all routes."""
    from control_plane.app import ROUTES

    lines = ["| method | path | what it does |", "| --- | --- | --- |"]
    found = sorted(_routes(ROUTES))
    lines += [f"| {method} | `{path}` | {text} |" for path, method, text in found]
    return "\n".join(lines)


def commands() -> str:
    """Return the table of all commands."""
    import typer

    from control_plane.cli.main import app

    lines = ["| command | what it does |", "| --- | --- |"]
    found = _commands(typer.main.get_command(app), "trimtab")
    lines += [f"| `{name}` | {text} |" for name, text in found]
    return "\n".join(lines)


def metrics() -> str:
    """Return the table of all metrics."""
    from runtime.telemetry.table import BUCKETS_S, METRICS

    lines = ["| metric | kind | labels | what it is |", "| --- | --- | --- | --- |"]
    lines += [
        f"| `{m.name}` | {m.kind} | {', '.join(f'`{label}`' for label in m.labels)} | {m.text} |"
        for m in METRICS
    ]
    edges = ", ".join(f"{bound:g}" for bound in BUCKETS_S)
    return "\n".join([*lines, "", f"A histogram's buckets end at {edges} seconds."])


def tools() -> dict[str, str]:
    """Return the declaration of each kind of tool."""
    from runtime.playbook.tools import TOOLS

    return {f"kind {kind}": _declaration(kind) for kind in TOOLS}


def _declaration(kind: str) -> str:
    from runtime.playbook.tools import CANCEL, TOOLS

    tool = TOOLS[kind]
    lines = ["| key | what it is |", "| --- | --- |"]
    for name, key in tool.keys.items():
        lines.append(_key(name, key, tool.required))
        lines += [_key(f"{name}.{inner}", k, ()) for inner, k in key.within.items()]
    if tool.one_of:
        lines += ["", f"It has one of {', '.join(f'`{name}`' for name in tool.one_of)}."]
    once = f", `once` with `{tool.once_when[0]}` {' or '.join(tool.once_when[1])}"
    lines += [
        "", f"Result: {_shape(tool.result)}. Errors: {', '.join(f'`{c}`' for c in tool.raises)}. "
        f"Effect unless the step says: `{tool.effect}`{once if tool.once_when[0] else ''}. "
        f"When it is cancelled or over its time, {CANCEL[tool.cancel]}.",
    ]  # fmt: skip
    return "\n".join(lines)


def _key(name: str, key: Any, required: tuple[str, ...]) -> str:
    notes = ["needed"] if name in required else []
    notes += ["as written"] if key.verbatim else []
    if key.choices and key.shape == "word":
        notes.insert(0, " ".join(f"`{choice}`" for choice in key.choices))
    return f"| `{name}` | {'; '.join([key.means, *notes])} |"


def _shape(schema: dict[str, Any]) -> str:
    """Words for the schema of a result."""
    if "anyOf" in schema:
        return ", or ".join(map(_shape, schema["anyOf"]))
    if "description" in schema:
        return str(schema["description"])
    if schema.get("type") == "object":
        return f"`{{{', '.join(schema['required'])}}}`"
    if schema.get("type") == "array":
        return f"a list of {_shape(schema['items'])}"
    return str(schema["type"])


TOLD: Final = re.compile(
    r"^CREATE TABLE (\w+)\n\((.*?)^\)\nENGINE = (\w+)(.*?)^COMMENT '(.*?)';$",
    re.MULTILINE | re.DOTALL,
)
COLUMN: Final = re.compile(
    r"^    `(\w+)` (.+?)(?: DEFAULT \S+)? COMMENT '((?:[^'\\]|\\.)*)'", re.MULTILINE
)


def _tables() -> str:
    """Every table and column of the record, with the comments of the DDL."""
    ddl = (HERE.parents[1] / "tests" / "golden" / "record.sql").read_text(encoding="utf-8")
    return "\n".join(line for found in TOLD.findall(ddl) for line in _table(*found))


def _table(name: str, columns: str, engine: str, rest: str, comment: str) -> Iterator[str]:
    order = re.findall(r"^(PARTITION|ORDER) BY \(?(.*?)\)?$", rest, re.MULTILINE)
    by = dict(order)
    yield f"### `{name}`\n\n{_plain(comment)[0].upper()}{_plain(comment)[1:]}. {engine},"
    parts = f" in parts by `{by['PARTITION']})`" if "PARTITION" in by else ""
    yield f"ordered by `{by['ORDER']}`{parts}.\n"
    yield "| column | type | what it is |\n| --- | --- | --- |"
    for column, kind, text in COLUMN.findall(columns):
        yield f"| `{column}` | `{kind}` | {_plain(text)} |"
    yield ""


def _plain(text: str) -> str:
    """A comment without the quoting of SQL, safe in a table."""
    return re.sub(r"\\(.)", r"\1", text).replace("|", "\\|").replace("<", "&lt;")


def _statements() -> str:
    from runtime.record.statements import load

    lines = ["| statement | what it is for | parameters |", "|---|---|---|"]
    for name, said in load().items():
        needed = [f"`{p}`" + ("" if p in said.defaults else " (needed)") for p in said.parameters]
        lines.append(f"| `{name}` | {said.purpose} | {', '.join(needed) or '–'} |")
    return "\n".join(lines)


def optimizer_results() -> dict[str, str]:
    """Return how well the optimizer does, with the last figures."""
    from bench.optimizer_page import PARTS

    told = _kept("optimizer")
    return {f"measured {name}": "\n".join(part(told)) for name, part in PARTS.items()}


def planted_truths() -> str:
    """Return what the optimizer said of planted truths, as it was last asked."""
    from bench.planted_page import page as tables

    return "\n".join(tables(_kept("planted")))


def runtime_results() -> str:
    """Return the runtime's speed, with the last figures."""
    from bench.runtime_page import page as tables

    return "\n".join(tables(_kept("runtime")))


def search_results() -> str:
    """Return how well search finds causes, with the last figures."""
    from bench.search_page import page as tables

    return "\n".join(tables(_kept("search")))


def queries() -> str:
    """Return what each statement of the record reads, as it was measured."""
    from bench.record_queries_page import page as tables

    return "\n".join(tables(_kept("record-queries"), _kept("record-codecs")))


def _kept(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def plots() -> dict[str, str]:
    """Return the pictures beside the pages, by file."""
    from bench.optimizer_plots import regret, within
    from bench.optimizer_targets import searches

    rows = searches(_kept("optimizer")["rows"])
    return {"optimizer-regret.svg": regret(rows), "optimizer-within.svg": within(rows)}


PAGES: Final[dict[str, Callable[[], Mapping[str, str]]]] = {
    "events.md": lambda: {"events": events()},
    "settings.md": lambda: {"settings": settings()},
    "api.md": lambda: {"routes": routes()},
    "cli.md": lambda: {"commands": commands()},
    "tools.md": tools,
    "record.md": lambda: {"tables": _tables(), "statements": _statements()},
    "runtime-results.md": lambda: {"measured": runtime_results()},
    "search-results.md": lambda: {"measured": search_results()},
    "optimizer-results.md": optimizer_results,
    "planted-truths.md": lambda: {"measured": planted_truths()},
    "metrics.md": lambda: {"metrics": metrics()},
    "record-queries.md": lambda: {"measured": queries()},
}
"""What is written from the code, by page and by the comment before it."""


def page(name: str) -> str:
    """Return a page as it should stand."""
    made, text = PAGES[name](), (HERE / name).read_text(encoding="utf-8")
    if {found[1] for found in PART.findall(text)} != set(made):
        raise ValueError(f"{name}: its comments should be {', '.join(sorted(made))}")
    return PART.sub(lambda found: f"{found[1]}{made[found[2]].rstrip()}\n{found[3]}", text)


def drawn(text: str) -> str:
    """Return a page with every picture in it as the code's tables say."""
    return PICTURE.sub(lambda found: found[1] + pictures()[found[2]] + found[4], text)


def _prose(thing: object) -> str:
    return " ".join(cleandoc(thing.__doc__ or "").replace("``", "`").split())


def _default(f: Any) -> str:
    if f.default is not NODEFAULT:
        return f"`{f.default!r}`"
    return "required" if f.default_factory is NODEFAULT else f"`{f.default_factory()!r}`"


def _routes(routes: Any) -> Iterator[tuple[str, str, str]]:
    from litestar import Controller, Router
    from litestar.handlers import HTTPRouteHandler

    for route in routes:
        if isinstance(route, HTTPRouteHandler):
            yield from _handler("", route)
        elif isinstance(route, type) and issubclass(route, Controller):
            for handler in vars(route).values():
                if isinstance(handler, HTTPRouteHandler):
                    yield from _handler(str(route.path), handler)
        elif isinstance(route, Router):
            yield from _routes(route.route_handlers)


def _handler(prefix: str, handler: Any) -> Iterator[tuple[str, str, str]]:
    text = cleandoc(handler.fn.__doc__ or "").splitlines()[0].replace("``", "`")
    for path in handler.paths:
        whole = (prefix + path).rstrip("/") or "/"
        for method in sorted(m for m in handler.http_methods if m not in ("HEAD", "OPTIONS")):
            yield whole.replace(":str", "").replace(":path", ""), method, text


def _commands(command: Any, name: str) -> Iterator[tuple[str, str]]:
    for word, sub in getattr(command, "commands", {}).items():
        if hasattr(sub, "commands"):
            yield from _commands(sub, f"{name} {word}")
        elif not sub.hidden:
            yield f"{name} {word}", " ".join((sub.help or "").split("\n\n")[0].split())


if __name__ == "__main__":
    for name in PAGES:
        (HERE / name).write_text(page(name), encoding="utf-8")
    for name, svg in plots().items():
        (HERE / name).write_text(svg, encoding="utf-8")
    RUNS.write_text(drawn(RUNS.read_text(encoding="utf-8")), encoding="utf-8")
