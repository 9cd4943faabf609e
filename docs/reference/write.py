"""Writes the reference from the code: `make docs`. A test says when it is stale.

Each page is a function from the code's own tables to text, so that nothing is told twice. In
a page that is written by hand, a picture of a table follows a comment that names it.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from inspect import cleandoc
from itertools import groupby
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[2]))

from msgspec import NODEFAULT, structs

from control_plane.settings import named
from runtime.run.events import TYPES
from runtime.run.life import pictures

HERE: Final = Path(__file__).parent
NOTE: Final = "<!-- written by `make docs` from the code: change it there -->\n"


def events() -> str:
    """Return the page of all events."""
    lines = [
        "# Events",
        "",
        "Everything that can happen. A field with a default may be left out.",
        "",
    ]
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
    """Return the page of all settings."""
    lines = [
        "# Settings", "",
        "A setting comes from, last one wins: its default, `settings.json` in the data folder",
        "(`trimtab config set`), the environment, a flag. `trimtab config list` shows each with",
        "its source.", "",
        "| setting | environment | default | what it is |", "| --- | --- | --- | --- |",
    ]  # fmt: skip
    lines += [f"| `{s.name}` | `{s.variable}` | `{s.default}` | {s.text} |" for s in named()]
    lines += ["", PRICES]
    return "\n".join(lines)


PRICES: Final = cleandoc("""
    ## Prices

    What an hour of a hardware class costs is yours to say, in `hardware.yaml` in the data
    folder. Without it the example that ships is used, and every cost is then an example:

    ```yaml
    hardware:
      - class: local
        prices:
          - {from: 2026-01-01, usd_per_hour: 0.048}
          - {from: 2027-01-01, usd_per_hour: 0.052}
      - class: gpu-l4
        cpus: 8
        memory_gib: 32
        accelerator: nvidia-l4
        accelerators: 1
        spot: true
        region: europe-west4
        prices:
          - {from: 2026-01-01, until: 2026-07-01, usd_per_hour: 0.71}
          - {from: 2026-07-01, usd_per_hour: 0.65, hours: {22-6: 0.31}, zone: Europe/Berlin}
    ```

    A price holds from its day (UTC) until the day in `until`, else until the next one begins.
    `hours` have a price of their own, on the clock of `zone` (UTC unless said); an attempt has
    that of the hour in which it began. A class without a price that applies on the day has
    none: its cost is unknown, never zero.
    `trimtab config prices check FILE` names every fault with line and column, `trimtab config
    prices show` what is in force. A changed price holds within seconds, without a restart, for
    attempts that end from then on; what has ended keeps the price in its `attempt.finished` and
    is never priced again. A file with faults leaves the prices as they were and is named in the
    server's log. [What things cost](../concepts/cost.md) says how cost is made from prices.
    Classes and their slots hold within seconds too.

    ## Budgets

    What a playbook may cost in a month (UTC), in `budgets.yaml` in the data folder; `*` stands for
    all playbooks together. Without `warn_at` a word is said at 80%:

    ```yaml
    budgets:
      - {playbook: etl/load, usd_per_month: 100, warn_at: [50%, 80%]}
      - {playbook: "*", usd_per_month: 1000}
    ```

    ## Hardware

    The classes in `hardware.yaml` are those that a step's `runs_on` may name, and `local`,
    which is always there: this machine, as it is. A class may say how many attempts run on it
    at once:

    ```yaml
    hardware:
      - class: cpu-large
        slots: 2
        prices:
          - {from: 2026-01-01, usd_per_hour: 0.21}
    ```

    Without `slots` they are as many as this machine has; with 0 there are none. A change of the
    file holds within seconds, without a restart: what waited for a slot goes on as soon as there
    are more, what runs is left to end when there are fewer; `trimtab doctor` says when a server
    has others than the file. How many processes work at all (`workers.slots`) is read at the
    start.

    Slots are paid for while a server is up, busy or not: all `slots` of a class, and as `local`
    what is left of the server's `workers.slots`. Another number of them, or none where a class
    is paid by use, is said by `reserved`:

    ```yaml
    hardware:
      - class: spot-large
        slots: 8
        reserved: 0
        prices:
          - {from: 2026-01-01, usd_per_hour: 0.07}
    ```

    A playbook
    whose step runs on a class that is not there is refused when it is registered, an override
    when it is submitted. Where a class went away since, or an overlay or a trial names one that
    is not there, the attempt fails with class `permanent` and says so. Nothing waits for workers
    that cannot come.
""")


def api() -> str:
    """Return the page of all routes."""
    from control_plane.app import ROUTES

    lines = [API, "| method | path | what it does |", "| --- | --- | --- |"]
    routes = sorted(_routes(ROUTES))
    lines += [f"| {method} | `{path}` | {text} |" for path, method, text in routes]
    return "\n".join(lines)


def cli() -> str:
    """Return the page of all commands."""
    import typer

    from control_plane.cli.main import app

    lines = [CLI, "| command | what it does |", "| --- | --- |"]
    commands = _commands(typer.main.get_command(app), "trimtab")
    lines += [f"| `{name}` | {text} |" for name, text in commands]
    return "\n".join(lines)


API: Final = """# API

`GET /schema/openapi.json` is the whole of it. Send `Authorization: Bearer <key>`. Refusals are
`application/problem+json`, with a reason and a hint.
"""

CLI: Final = """# Command line

`trimtab [--data FOLDER] COMMAND`. Reads take `-o table|json|ndjson`. Exit codes: 0 done,
1 failed, 2 usage, 3 not found, 4 refused, 5 conflict, 6 timeout, 7 unreachable; 130 and 143
when SIGINT or SIGTERM left a `trimtab run` to the next start. `serve` and `dev` drain on a
signal and exit with 0; a second signal ends any of them at once (130, 143).

`dev` and `serve` that cannot begin say why in a sentence and end: 5 when somebody listens on the
port or owns the data folder, 2 when a setting cannot be read or be so, 1 when the folder cannot be
written or its journal cannot be opened.

`TRIMTAB_URL` names a server elsewhere, `TRIMTAB_KEY` the key for it: what changes something is
done there, and `run list`, `show`, `events` and `watch` read its runs. `run replay`, `run at`,
`run what-if` and `doctor --verify` need a journal at hand and read that of the folder here.
"""


def metrics() -> str:
    """Return the page of all metrics."""
    from runtime.telemetry.table import BUCKETS_S, METRICS

    lines = [METRICS_PAGE, "| metric | kind | labels | what it is |", "| --- | --- | --- | --- |"]
    lines += [
        f"| `{m.name}` | {m.kind} | {', '.join(f'`{label}`' for label in m.labels)} | {m.text} |"
        for m in METRICS
    ]
    edges = ", ".join(f"{bound:g}" for bound in BUCKETS_S)
    return "\n".join([*lines, "", f"A histogram's buckets end at {edges} seconds."])


METRICS_PAGE: Final = """# Metrics

What `GET /metrics` exposes and what is sent to `metrics.push_url`. Counters begin at nothing with
each server. [Metrics and traces](../concepts/metrics.md) says how to collect them.
"""


def tools() -> str:
    """Return the page of all tools: its prose, with each kind's declaration written anew."""
    text = (HERE / "tools.md").read_text(encoding="utf-8")
    return DECLARED.sub(lambda found: _declaration(found["kind"]), text)


DECLARED: Final = re.compile(r"<!-- kind (?P<kind>\w+) -->.*?<!-- end -->", re.DOTALL)


def _declaration(kind: str) -> str:
    from runtime.playbook.tools import CANCEL, TOOLS

    tool = TOOLS[kind]
    lines = [f"<!-- kind {kind} -->", "| key | what it is |", "| --- | --- |"]
    for name, key in tool.keys.items():
        lines.append(_key(name, key, tool.required))
        lines += [_key(f"{name}.{inner}", k, ()) for inner, k in key.within.items()]
    if tool.one_of:
        lines += ["", f"It has one of {', '.join(f'`{name}`' for name in tool.one_of)}."]
    once = f", `once` with `{tool.once_when[0]}` {' or '.join(tool.once_when[1])}"
    lines += [
        "", f"Result: {_shape(tool.result)}. Errors: {', '.join(f'`{c}`' for c in tool.raises)}. "
        f"Effect unless the step says: `{tool.effect}`{once if tool.once_when[0] else ''}. "
        f"When it is cancelled or over its time, {CANCEL[tool.cancel]}.", "<!-- end -->",
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


def record() -> str:
    """Return the page of the record: its prose, with tables and statements written anew."""
    text = (HERE / "record.md").read_text(encoding="utf-8")
    made = {"tables": _tables(), "statements": _statements()}
    return RECORDED.sub(lambda found: f"{found[1]}{made[found[2]]}{found[3]}", text)


RECORDED: Final = re.compile(r"(<!-- (tables|statements) -->\n).*?(<!-- end -->)", re.DOTALL)
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
    return "\n".join(line for found in TOLD.findall(ddl) for line in _table(*found)) + "\n"


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
    return "\n".join(lines) + "\n"


def search_results() -> str:
    """Return the page of how well search finds causes, with the last figures."""
    text = (HERE / "search-results.md").read_text(encoding="utf-8")
    kept = HERE.parents[1] / "bench" / "results" / "search.json"
    made = "\n".join(_searched(json.loads(kept.read_text(encoding="utf-8")))) + "\n"
    return MEASURED.sub(lambda found: f"{found[1]}{made}{found[2]}", text)


def runtime_results() -> str:
    """Return the page of the runtime's speed, with the last figures."""
    text = (HERE / "runtime-results.md").read_text(encoding="utf-8")
    kept = HERE.parents[1] / "bench" / "results" / "runtime.json"
    made = "\n".join(_ran(json.loads(kept.read_text(encoding="utf-8")))) + "\n"
    return MEASURED.sub(lambda found: f"{found[1]}{made}{found[2]}", text)


def _ran(told: dict[str, Any]) -> Iterator[str]:
    cpu, syncs, rss = told["cpu_ms_per_step"], told["fdatasyncs_per_step"], told["rss_mb"]
    yield "| what | measured |"
    yield "|---|---|"
    yield f"| fan-out of 1,000 steps | {told['fanout_steps_per_s']:,} steps/s |"
    recorded = told["with_recorder"]["fanout_steps_per_s"]
    yield f"| the same with the recorder | {recorded:,} steps/s |"
    yield f"| 50 runs × 5 steps at once | {told['concurrent_steps_per_s']:,} steps/s |"
    yield f"| 1,000 runs × 5 steps at once | {told['concurrent_1000x5_steps_per_s']:,} steps/s |"
    chain, sync = told["chain_p50_ms"], told["fdatasync_p50_ms"]
    yield f"| one step after another, p50 | {chain} ms, of which {sync} ms are the disk's sync |"
    yield f"| CPU a step, chain and fan-out | {cpu['chain']}, {cpu['fanout']} ms |"
    yield f"| syncs, chain and fan-out | {syncs['chain']} and {syncs['fanout']} a step |"
    yield f"| memory of `trimtab run` and of the server | {rss['run']} and {rss['server']} MB |"
    yield f"| an `each` of a million batches, all processes | {told['million_rss_mb']} MB |"
    yield f"| `trimtab run FILE` to the first step done | {told['cold_start_s']} s |"
    yield f"| replay | {told['replay_events_per_s']:,} events/s |"
    back = told["recovery_s"]
    yield f"| from `kill -9` of a worker, a server | {back['worker']}, {back['server']} s |"
    yield from _beside(told.get("peers") or {})
    on = told["machine"]
    yield f"\nMeasured {on['at']} on {on['cores']} cores ({on['cpu']}), Python {on['python']},"
    yield f"SQLite {on['sqlite']}, load average {on['load'][0]} at the start."


def _beside(peers: dict[str, Any]) -> Iterator[str]:
    yield "\n| ours over | fan-out | chain | their CPU a step, fan-out and chain |"
    yield "|---|---|---|---|"
    for name, jobs in peers.items():
        fan, chain = jobs["fan"], jobs["chain"]
        spent = [job["cpu_ms_per_step"]["theirs"] for job in (fan, chain)]
        times = f"{fan['over']:.1f}× | {chain['over']:.1f}×"
        yield f"| {name} | {times} | {spent[0]:.2f} and {spent[1]:.2f} ms |"


MEASURED: Final = re.compile(r"(<!-- measured -->\n).*?(<!-- end -->)", re.DOTALL)
PARTS: Final = {
    "test": "test half, failures",
    "test_all_kinds": "test half, all kinds of points",
    "test_without_plain_words": "test half, without the plain words",
    "dev": "tuning half (seen while tuning)",
}


def _searched(told: dict[str, Any]) -> Iterator[str]:
    yield "| embedder | questions | ranking | nDCG@10 | recall@10 | MRR |"
    yield "|---|---|---|---|---|---|"
    for embedder, found in told["more"].items():
        for part, title in PARTS.items():
            for way in ("bm25", "dense", "hybrid"):
                figures = (f"{found[part][m][way]:.3f}" for m in ("ndcg10", "recall10", "mrr"))
                asked = f"{title} ({found[part]['questions']})"
                yield f"| {embedder} | {asked} | {way} | {' | '.join(figures)} |"
    yield from _unlisted(told.get("unlisted", {}))
    for embedder, found in told["more"].items():
        if "groups" not in found:
            continue
        by = found["groups"]
        yield f"\n{embedder}: failures of {by['causes']} causes came as {by['groups']} groups;"
        yield f"of the pairs grouped {by['precision']:.0%} belong together, of those that do"
        yield f"{by['recall']:.0%} are grouped."
    on = told["machine"]
    yield f"\n{told['executions']:,} executions, on {on['cores']} cores."
    for part, when in told["measured"].items():
        yield f"Measured {when['at']} with a load average of {when['load'][0]}: {part}."
    yield "Times of the clock are those of a machine that others use."
    yield from _timed(told)


OUTSIDE: Final = {"left_out": "of kinds left out", "others": "of the other kinds"}


def _unlisted(told: dict[str, Any]) -> Iterator[str]:
    yield "\n## Errors outside the catalogue\n"
    yield "The tuning half again, each third of the kinds of error left out in turn:\n"
    yield "| embedder | questions | ranking | nDCG@10 | recall@10 | MRR |"
    yield "|---|---|---|---|---|---|"
    for embedder, found in told.items():
        for part, title in OUTSIDE.items():
            for way in ("bm25", "dense", "hybrid"):
                figures = (f"{found[part][m][way]:.3f}" for m in ("ndcg10", "recall10", "mrr"))
                asked = f"{title} ({found[part]['questions']} askings)"
                yield f"| {embedder} | {asked} | {way} | {' | '.join(figures)} |"


def _timed(told: dict[str, Any]) -> Iterator[str]:
    yield "\n| points | query p50 | p99 | CPU | longest stall of another thread |"
    yield "|---|---|---|---|---|"
    for size in told["query_p99_ms"]:
        parts = ("query_p50_ms", "query_p99_ms", "query_cpu_ms", "longest_stall_ms")
        yield f"| {size} | " + " | ".join(f"{told[p][size]} ms" for p in parts) + " |"
    yield f"\nEdge took {told['limits']['edge_upserts_per_cpu_s']:,} points a CPU second."
    p50, p99 = told["index_lag_p50_s"], told["index_lag_p99_s"]
    yield f"\nAt {told['attempts_offered_per_s']:,} attempts a second the index was behind by"
    yield f"{p50} s (p50) and {p99} s (p99), with {told['index_cpu_share']:.0%} of a core for it."


def optimizer_results() -> str:
    """Return the page of how well the optimizer does, with the last figures."""
    from bench.optimizer_page import PARTS

    text = (HERE / "optimizer-results.md").read_text(encoding="utf-8")
    told = _optimized()
    made = {name: "\n".join(part(told)).rstrip() + "\n" for name, part in PARTS.items()}
    return PARTLY.sub(lambda found: f"{found[1]}{made[found[2]]}{found[3]}", text)


PARTLY: Final = re.compile(r"(<!-- measured (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def planted_truths() -> str:
    """Return the page of what the optimizer said of planted truths, as it was last asked."""
    from bench.planted_page import page as tables

    text = (HERE / "planted-truths.md").read_text(encoding="utf-8")
    kept = HERE.parents[1] / "bench" / "results" / "planted.json"
    made = "\n".join(tables(json.loads(kept.read_text(encoding="utf-8")))) + "\n"
    return MEASURED.sub(lambda found: f"{found[1]}{made}{found[2]}", text)


def _optimized() -> Any:
    kept = HERE.parents[1] / "bench" / "results" / "optimizer.json"
    return json.loads(kept.read_text(encoding="utf-8"))


def plots() -> dict[str, str]:
    """Return the pictures beside the pages, by file."""
    from bench.optimizer_plots import regret, within
    from bench.optimizer_targets import searches

    rows = searches(_optimized()["rows"])
    return {"optimizer-regret.svg": regret(rows), "optimizer-within.svg": within(rows)}


def queries() -> str:
    """Return the page of what each statement of the record reads, as it was measured."""
    from runtime.record.statements import load

    path = HERE.parents[1] / "bench" / "results" / "record-queries.json"
    kept = json.loads(path.read_text(encoding="utf-8"))
    text = [QUERIES.format(attempts=kept["attempts"]), *_sizes(kept["tables"])]
    text += [
        "",
        "| statement | rows read | bytes read | bytes given |",
        "| --- | ---: | ---: | ---: |",
    ]
    asked = {name: said for name, said in kept["statements"].items() if name in load()}
    for name, told in asked.items():
        numbers = (told["rows_read"], told["bytes_read"], told["bytes_given"])
        text.append(f"| [`{name}`](#{name}) | " + " | ".join(f"{n:,}" for n in numbers) + " |")
    if new := [f"`{name}`" for name in load() if name not in asked]:
        text += ["", f"Not measured yet: {', '.join(new)}."]
    text += ["", *_ways()]
    for name, told in asked.items():
        text += ["", *_query(name, load()[name], told)]
    return "\n".join(text)


WAYS: Final = """## Other codecs and orders

The last {days} days of the two largest tables, copied into tables that are made in another way
(`python -m bench.record_codecs`): bytes on disk, seconds of processor time for copying and
merging, and bytes that the statements read which are asked of them. Why they are as they are
stands in [0011](../decisions/0011-the-records-order-and-codecs.md).
"""


def _ways() -> Iterator[str]:
    path = HERE.parents[1] / "bench" / "results" / "record-codecs.json"
    kept = json.loads(path.read_text(encoding="utf-8"))
    yield WAYS.format(days=kept["days"])
    for table, ways in groupby(kept["ways"], key=lambda way: str(way["table"])):
        rows = list(ways)
        read = [f"`{name}`" for name in rows[0]["read"]]
        yield f"| `{table}` | bytes on disk | CPU s | {' | '.join(read)} |"
        yield f"| --- | ---: | ---: |{' ---: |' * len(read)}"
        for way in rows:
            numbers = [way["bytes"], *(told["bytes_read"] for told in way["read"].values())]
            size, *given = [f"{int(n):,}" for n in numbers]
            yield f"| {way['way']} | {size} | {way['cpu_s']} | {' | '.join(given)} |"
        yield ""


QUERIES: Final = """# What each query reads

Each statement of [the record](record.md), asked of a record with {attempts:,} attempts by
`make bench-record-queries`: with the parameters that a page or the optimizer asks with, of the
busiest playbook and the last week where it takes these. Events and transitions are those of the
last twentieth of the runs. Bytes are those of the columns as they are in memory. The statements
for `trimtab doctor --verify` read everything: that is what they are for. `printed` looks through
everything that was printed since a time, which no key shortens.
"""
HIDDEN: Final = re.compile(
    r"^[ │└├─]*"
    r"(Output:|Filter column:|Aggregates:|Prewhere|Skip merging|Read type|Expression|Ranges)"
)


def _sizes(tables: dict[str, Any]) -> Iterator[str]:
    yield "| table | rows | bytes on disk |\n| --- | ---: | ---: |"
    for name, size in tables.items():
        yield f"| `{name}` | {size['rows']:,} | {size['bytes']:,} |"


def _query(name: str, said: Any, told: dict[str, Any]) -> Iterator[str]:
    given = ", ".join(f"`{key}` = `{value}`" for key, value in told["parameters"].items())
    yield f"## {name}\n\n{said.purpose[0].upper()}{said.purpose[1:]}"
    yield f"Asked with {given or 'nothing'}: {told['rows_read']:,} rows and"
    yield f"{told['bytes_read']:,} bytes read, {told['bytes_given']:,} given."
    yield f"\n```sql\n{said.text}\n```\n\n```text"
    for line in told["explain"]:
        if not HIDDEN.match(line) and line.strip():
            yield line if len(line) <= 120 else line[:119] + "…"
    yield "```"


PAGES: Final[dict[str, Callable[[], str]]] = {
    "events.md": events,
    "settings.md": settings,
    "api.md": api,
    "cli.md": cli,
    "tools.md": tools,
    "record.md": record,
    "runtime-results.md": runtime_results,
    "search-results.md": search_results,
    "optimizer-results.md": optimizer_results,
    "planted-truths.md": planted_truths,
    "metrics.md": metrics,
    "record-queries.md": queries,
}
PROSE: Final = frozenset({
    "tools.md", "record.md", "runtime-results.md", "search-results.md", "optimizer-results.md",
    "planted-truths.md",
})  # fmt: skip
"""Pages of which only parts are written from the code."""


RUNS: Final = HERE.parent / "concepts" / "runs.md"
PICTURE: Final = re.compile(r"(<!-- picture: (\w+) -->\n```mermaid\n)(.*?)(\n```)", re.DOTALL)


def page(name: str) -> str:
    """Return a page as it should stand."""
    return ("" if name in PROSE else NOTE) + PAGES[name]().rstrip() + "\n"


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
