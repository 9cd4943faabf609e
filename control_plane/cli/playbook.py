"""``trimtab playbook``: start one, check one, register one, look at what is there."""

from __future__ import annotations

import json
import keyword
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from control_plane.cli.here import KeyFile, here
from control_plane.cli.output import (
    Code,
    Format,
    Output,
    Refusal,
    Row,
    emit_one,
    emit_rows,
    leave,
    say,
)
from control_plane.writable import unwritable

if TYPE_CHECKING:
    from runtime.playbook.model import Playbook

app = typer.Typer(no_args_is_help=True, help="Start, check, register and read playbooks.")
File = Annotated[Path, typer.Argument(help="The playbook's YAML.", exists=True, dir_okay=False)]
Catalogued = Annotated[str, typer.Argument(help="The playbook's catalogue path.")]
Version = Annotated[str | None, typer.Option(help="Version: number or hash; else the latest.")]


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Where to write it.")] = Path(),
    name: Annotated[str, typer.Option(help="The playbook's name.")] = "hello",
) -> None:
    """Write a playbook that runs, and the Python beside it, to start from."""
    from runtime.playbook.starter import named

    module = name.replace("-", "_")
    if not (module.isidentifier() and module.isascii()) or keyword.iskeyword(module):
        raise Refusal(f"{name!r} is no name for a playbook and its Python",
                      hint="letters, digits and _, a letter first", code=Code.USAGE)  # fmt: skip
    texts = {folder / file: text for file, text in named(module).items()}
    there = [str(path) for path in texts if path.exists()]
    if there:
        raise Refusal(f"{' and '.join(there)} would be overwritten", hint="choose another --name",
                      code=Code.CONFLICT)  # fmt: skip
    for path in texts:
        if fault := unwritable(path):
            raise Refusal(f"{path} cannot be written: {fault}",
                          hint="trimtab playbook init FOLDER names another place")  # fmt: skip
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
        typer.echo(str(path))
    say(f"next: trimtab run {folder / f'{module}.yaml'}")


@app.command()
def validate(file: File, output: Output = Format.TABLE) -> None:
    """Check a playbook: every fault at once, with line and column; advice on what is sound."""
    from runtime.net.faults import flow_faults
    from runtime.playbook.advice import advice
    from runtime.playbook.bundle import load
    from runtime.playbook.faults import BundleFault, PlaybookFaults

    faults: list[dict[str, Any]] = []
    hints: list[dict[str, Any]] = []
    try:
        bundle = load(file, judge=flow_faults)
        hints = [_fault(one) for one in advice(bundle.playbook)]
    except PlaybookFaults as found:
        faults = [_fault(fault) for fault in found.faults]
    except BundleFault as found:
        faults = [{"line": 1, "column": 1, "path": "", "message": str(found), "hint": ""}]
    checked = {"file": str(file), "valid": not faults, "faults": faults, "advice": hints}
    shown = [*faults, *({**one, "message": f"advice: {one['message']}"} for one in hints)]
    emit_one(checked, output, lambda _: _fault_lines(file, shown))
    if faults:
        say(f"{len(faults)} fault{'s' if len(faults) > 1 else ''}")
        leave(Code.FAILED)
    say(f"{file} is a sound playbook")


@app.command()
def register(ctx: typer.Context, file: File, key_file: KeyFile = None,
             output: Output = Format.TABLE) -> None:  # fmt: skip
    """Register a playbook with the files beside it. The same bundle is the same version."""
    with here(ctx).client(key_file) as client:
        view = client.register(file)
    emit_one(view, output, lambda v: [f"{v['path']} version {v['number']} ({v['version'][:12]})"])


@app.command("list")
def list_(ctx: typer.Context, output: Output = Format.TABLE) -> None:
    """List the registered playbooks."""
    emit_rows(here(ctx).playbooks().page(), output, {
        "path": "path", "version": lambda p: str(p["number"]),
        "steps": lambda p: str(p["steps"]), "by": "actor",
        "description": lambda p: f"cannot be read: {p['unreadable']}" if p["unreadable"]
        else p["description"],
    }, empty="no playbook is registered; next: trimtab playbook register FILE")  # fmt: skip


@app.command()
def show(ctx: typer.Context, path: Catalogued, version: Version = None,
         output: Output = Format.TABLE) -> None:  # fmt: skip
    """Show a playbook's steps, and the knob values in force for each."""
    emit_one(here(ctx).playbooks().get(path, version), output, _lines)


@app.command()
def graph(
    ctx: typer.Context,
    target: Annotated[str, typer.Argument(help="A playbook's file, or its catalogue path.")],
    version: Version = None,
) -> None:
    """Print a playbook's flow as a Mermaid diagram."""
    from runtime.playbook.parse import parse
    from runtime.playbook.tree import decoded

    path = Path(target)
    if path.is_file():
        source = decoded(path.read_bytes(), path.name)
    else:
        source = here(ctx).playbooks().get(target, version).source
    for text in _diagram(parse(source, path.name)):
        typer.echo(text)


@app.command()
def schema(
    to: Annotated[Path | None, typer.Option(help="Write it to this file.", dir_okay=False)] = None,
) -> None:
    """Print the JSON Schema of playbooks, for editors, or write it to a file."""
    from runtime.playbook.schema import json_schema

    text = json.dumps(json_schema(), indent=2)
    if to is None:
        typer.echo(text)
        return
    if fault := unwritable(to):
        raise Refusal(f"{to} cannot be written: {fault}", hint="--to FILE names another place")
    to.write_text(text + "\n", encoding="utf-8")
    say(f"wrote {to}; a playbook beside it begins with this line:")
    typer.echo(f"# yaml-language-server: $schema={to.name}")


def _diagram(playbook: Playbook) -> Iterator[str]:
    from runtime.net.legend import arcs_of, join_words

    yield "flowchart TD"
    for step in playbook.steps:
        kind = str(step.tool["kind"]) if step.tool else "routes"
        each = f", each {step.each.batch}" if step.each else ""
        waits = f"<br/>{words}" if (words := join_words(step.join)) else ""
        yield f'    {step.name}["{step.name}<br/>{kind}{each}{waits}"]'
    for step in playbook.steps:
        for arc in arcs_of(step):
            label = '|"' + arc.words.replace('"', "'") + '"|' if arc.words else ""
            yield f"    {step.name} {'-.->' if arc.late else '-->'}{label} {arc.to}"


def _fault(fault: Any) -> dict[str, Any]:
    return {"line": fault.line, "column": fault.column, "path": fault.path,
            "message": fault.message, "hint": fault.hint}  # fmt: skip


def _fault_lines(file: Path, faults: Iterable[Row]) -> Iterator[str]:
    for fault in faults:
        hint = f" ({fault['hint']})" if fault["hint"] else ""
        path = f"{fault['path']}: " if fault["path"] else ""
        yield f"{file}:{fault['line']}:{fault['column']}: {path}{fault['message']}{hint}"


def _lines(view: Row) -> Iterator[str]:
    yield f"{view['path']} version {view['number']} of {len(view['versions'])} by {view['actor']}"
    if view["description"]:
        yield view["description"]
    for entry in view["inputs"]:
        yield f"  input {entry['name']} ({entry['type']}) = {json.dumps(entry['default'])}"
    for step in view["steps"]:
        yield f"  {step['name']} ({step['tool'] or 'routes'})"
        yield from _knobs(step)


def _knobs(step: Row) -> Iterator[str]:
    tunable = {knob["name"] for knob in step["tune"]}
    for name, value in step["effective"].items():
        if name in step["stable"]:
            yield f"      {name} = {value}  (approved; was {step['defaults'].get(name)})"
        elif name in tunable:
            yield f"      {name} = {value}  (tunable)"
    for name in step["suspended"]:
        yield f"      {name}: an approved value is suspended, because the step was changed"
    if step["experiment"]:
        yield f"      experiment {step['experiment']} is on"


@app.command()
def clear(
    ctx: typer.Context, playbook: Catalogued,
    step: Annotated[str, typer.Argument(help="The step that is poison.")],
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    key_file: KeyFile = None, output: Output = Format.TABLE,
) -> None:  # fmt: skip
    """Let a step run again that was found to be poison: its attempts killed their workers."""
    with here(ctx).client(key_file) as client:
        cleared = client.clear(playbook, step, reason)
    what = f"{step} of {playbook}"
    told = f"{what} may run again" if cleared else f"{what} was not poison: nothing is changed"
    emit_one({"cleared": cleared}, output, lambda _: [told])
