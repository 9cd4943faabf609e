"""Publishing: a table becomes a version of a data product, whole or not at all.

The contract is checked first. Equal rows in the same order give equal bytes, whatever
batches they came in, so that two runs can be compared by the hash of what they published.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from runtime.data import contract as contracts
from runtime.data import reference
from runtime.data.contract import Check, ContractBroken
from runtime.data.folder import write_bytes
from runtime.data.objects import schema_of
from runtime.data.store import sync_folder
from runtime.errors import Permanent

if TYPE_CHECKING:
    import pyarrow as pa

_ROW_GROUP: Final = 1 << 17
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_MEDIA: Final = {"parquet": reference.PARQUET, "arrow": reference.ARROW}


class Publish(msgspec.Struct, frozen=True):
    """The step's result is to become this product, if it passes the contract.

    ``folder`` is the product's own folder; ``contract`` a file's name in the bundle.
    """

    product: str
    format: str
    contract: str | None
    number: int
    folder: str


def publish_table(
    table: pa.Table, publish: Publish, bundle: Path, inputs: list[str]
) -> dict[str, Any]:
    """Check the table, write it, and return the fields of ``ProductPublished`` less step.

    Raises:
        ContractBroken: a check failed; nothing is written.
        Permanent: the contract cannot be read, or the product's name is not one.
    """
    checks = verify(table, publish, bundle)
    if not _NAME.fullmatch(publish.product):
        raise Permanent(f"{publish.product!r} is no name of a product: use letters, digits, . _ -")
    if publish.format not in _MEDIA:
        raise Permanent(f"a product is published as parquet or arrow, not {publish.format!r}")
    data = encode(table, publish.format)
    folder = Path(publish.folder)
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        sync_folder(folder.parent)
    path = folder / f"{publish.number}.{publish.format}"
    write_bytes(path, data, 0o444)
    sync_folder(folder)
    return {
        "product": publish.product,
        "number": publish.number,
        "location": os.path.relpath(path, folder.parents[1]),
        "media": _MEDIA[publish.format],
        "rows": table.num_rows,
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "schema": schema_of(table),
        "checks": [check.to_json() for check in checks],
        "inputs": inputs,
    }


def verify(table: pa.Table, publish: Publish, bundle: Path) -> list[Check]:
    """Make the checks of the product's contract, if it has one."""
    if publish.contract is None:
        return []
    path = bundle / publish.contract
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise Permanent(f"contract {publish.contract} cannot be read: {error}") from error
    checks = contracts.check(contracts.parse(text, publish.contract), table)
    if not all(check.ok for check in checks):
        raise ContractBroken(publish.product, checks)
    return checks


def encode(table: pa.Table, format_: str) -> bytes:
    """The table as a file's bytes: the same for the same rows, however they are chunked."""
    import pyarrow as pa

    table = table.replace_schema_metadata(None).combine_chunks()
    sink = pa.BufferOutputStream()
    if format_ == "arrow":
        with pa.ipc.new_file(sink, table.schema) as file:
            file.write_table(table)
    else:
        import pyarrow.parquet as pq

        pq.write_table(table, sink, compression="zstd", row_group_size=_ROW_GROUP, version="2.6")
    data: bytes = sink.getvalue().to_pybytes()
    return data
