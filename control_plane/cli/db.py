"""``trimtab db``: look after what the data folder keeps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from control_plane.cli.here import KeyFile, here
from control_plane.cli.output import Format, Output, Row, emit_one

app = typer.Typer(no_args_is_help=True, help="Look after what the data folder keeps.")


@app.command()
def gc(
    ctx: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    key_file: KeyFile = None, output: Output = Format.TABLE,
) -> None:  # fmt: skip
    """Collect what retention no longer holds: values, scratch folders, old product versions."""
    with here(ctx).client(key_file) as client:
        told = client.collect(dry_run=dry_run)
    emit_one(told, output, _lines)


@app.command()
def reindex(ctx: typer.Context, key_file: KeyFile = None, output: Output = Format.TABLE) -> None:
    """Make all search points anew from the journal; the old ones serve until that is done."""
    with here(ctx).client(key_file, record=True) as client:
        told = client.reindex()
    emit_one(told, output, _begun)


def _begun(told: Row) -> Iterator[str]:
    said = "the points are being made anew" if told["begun"] else "they already are"
    yield f"{said}; `trimtab doctor` says how far the record is"


def _lines(told: Row) -> Iterator[str]:
    verb = "would remove" if told["dry_run"] else "removed"
    yield (
        f"{verb} {told['objects']} objects ({told['object_bytes'] / 1e6:.1f} MB), "
        f"{told['scratch_folders']} scratch folders, {told['product_versions']} product versions"
    )
    yield (
        f"kept {told['kept']} objects ({told['kept_bytes'] / 1e6:.1f} MB), "
        f"{told['young']} of them only because they are young"
    )
    if told["missing"]:
        yield f"MISSING from the store, and still needed: {', '.join(told['missing'])}"
