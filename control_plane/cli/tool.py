"""``trimtab tool``: the kinds of tools that are installed, and what each declares.

Authors of a kind check it here before a playbook names it (`runtime.conformance`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from control_plane.cli.output import Code, Format, Output, Refusal, Row, emit_one, emit_rows, leave

app = typer.Typer(no_args_is_help=True, help="See and check the kinds of tools.")
Kind = Annotated[str, typer.Argument(help="The kind, as a playbook names it.")]


@app.command("list")
def list_(output: Output = Format.TABLE) -> None:
    """List every kind of tool that is installed here."""
    from runtime.playbook.kinds import names

    emit_rows([_line(kind) for kind in names()], output, {
        "kind": "kind", "from": "from", "effect": "effect", "cancelled": "cancel",
        "what it does": "means",
    })  # fmt: skip


@app.command()
def show(kind: Kind, output: Output = Format.TABLE) -> None:
    """Show what a kind declares: arguments, result, classes of errors, effect, cancellation."""
    emit_one(_declared(kind), output, _lines)


@app.command()
def check(kind: Kind, output: Output = Format.TABLE) -> None:
    """Check a kind: what it does not keep of what every kind promises."""
    from runtime.conformance import broken_promises
    from runtime.playbook.kinds import names

    broken = broken_promises(kind)
    if kind not in names():
        raise Refusal(broken[0], command="trimtab tool list", code=Code.NOT_FOUND)
    checked = {"kind": kind, "keeps": not broken, "broken": broken}
    emit_one(checked, output, lambda _: broken or [f"{kind} keeps what every kind promises"])
    if broken:
        leave(Code.FAILED)


def _line(kind: str) -> Row:
    from runtime.playbook.kinds import KindFault, declaration

    try:
        tool = declaration(kind)
    except KindFault as fault:
        return {"kind": kind, "from": _home(kind), "effect": "", "cancel": "", "means": str(fault)}
    return {"kind": kind, "from": _home(kind), "effect": tool.effect, "cancel": tool.cancel,
            "means": tool.means}  # fmt: skip


def _home(kind: str) -> str:
    """The distribution that brings a kind."""
    from runtime.playbook.kinds import others

    entry = others().get(kind)
    if entry is None:
        return "trimtab"
    return entry.dist.name if entry.dist is not None else entry.value


def _declared(kind: str) -> Row:
    from runtime.playbook.kinds import KindFault, declaration
    from runtime.playbook.schema import arguments
    from runtime.playbook.tools import CANCEL

    try:
        tool = declaration(kind)
    except KindFault as fault:
        raise Refusal(str(fault), command="trimtab tool list", code=Code.NOT_FOUND) from None
    return {
        **_line(kind), "cancel": CANCEL[tool.cancel], "raises": list(tool.raises),
        "arguments": arguments(kind), "result": tool.result,
    }  # fmt: skip


def _lines(tool: Row) -> Iterator[str]:
    yield f"{tool['kind']} ({tool['from']}): {tool['means']}"
    properties: dict[str, Any] = tool["arguments"]["properties"]
    needed = tool["arguments"].get("required", ())
    for name, shape in properties.items():
        if name != "kind":
            yield f"  {name}{' (needed)' if name in needed else ''}: {shape['description']}"
    yield f"  errors may be {', '.join(tool['raises'])}; the effect is {tool['effect']}"
    yield f"  when it is cancelled or over its time, {tool['cancel']}"
