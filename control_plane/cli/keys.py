"""``trimtab keys``: API keys, made and revoked by whoever holds the data folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from control_plane.cli.here import Here, here
from control_plane.cli.output import Code, Format, Output, Refusal, emit_one, emit_rows, say
from control_plane.clock import local, wall

if TYPE_CHECKING:
    from control_plane.auth import Keys

app = typer.Typer(no_args_is_help=True, help="Make, list and revoke API keys.")
ROLES = "viewer, submitter, author, reviewer, approver, operator, policy_admin, agent"


@app.command()
def create(
    ctx: typer.Context,
    principal: Annotated[str, typer.Argument(help="Whose key it is.")],
    role: Annotated[list[str], typer.Option(help=f"A role; may be repeated: {ROLES}.")],
    output: Output = Format.TABLE,
) -> None:
    """Make a key and print it: the only time that it is seen."""
    with _opened(here(ctx)) as keys:
        view, secret = keys.make(principal, role)
    told = {"key": secret, "prefix": view.prefix, "principal": principal, "roles": view.roles}
    emit_one(told, output, lambda t: [t["key"]])
    if output is Format.TABLE:
        say(f"{principal} is {', '.join(view.roles)}; keep the key, it is not shown again")


@app.command("list")
def list_(ctx: typer.Context, output: Output = Format.TABLE) -> None:
    """List keys by prefix."""
    with _opened(here(ctx)) as keys:
        rows = keys.list()
    emit_rows(rows, output, {
        "prefix": "prefix", "principal": "principal", "roles": lambda k: " ".join(k["roles"]),
        "made": lambda k: local(k["made_at"]), "revoked": lambda k: local(k["revoked_at"]),
    })  # fmt: skip


@app.command()
def revoke(
    ctx: typer.Context, prefix: Annotated[str, typer.Argument(help="From the list.")]
) -> None:
    """End a key, and the browser sessions made with it."""
    with _opened(here(ctx)) as keys:
        view = keys.revoke(prefix)
    if view is None:
        raise Refusal(
            f"there is no key {prefix}", command="trimtab keys list", code=Code.NOT_FOUND
        )
    say(f"the key {prefix} of {view.principal} is revoked")


@contextmanager
def _opened(place: Here) -> Iterator[Keys]:
    from control_plane.auth import open_keys

    place.folder.prepare()
    keys = open_keys(place.folder, wall)
    try:
        yield keys
    finally:
        keys.close()
