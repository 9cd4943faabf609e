"""Writes the record's DDL as it stands, and as it stood after each step of its way.

``python tests/golden/dump_record.py``: ``record.sql`` is written anew; a file in ``record/``
is a database that somebody has, so one that is there is never written again.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Final

from runtime.record.schema import Schema, Step, steps, told

HERE: Final = Path(__file__).parent
WHOLE: Final = HERE / "record.sql"
STATES: Final = HERE / "record"


def after(client: Any, way: tuple[Step, ...]) -> str:
    """Return the DDL of a database that took these steps."""
    client.command("CREATE DATABASE made")
    client.command("USE made")
    Schema(client).advance(lambda _: None, way)
    text = told(client)
    client.command("USE default")
    client.command("DROP DATABASE made SYNC")
    return text


def main() -> None:
    """Write the files."""
    import clickhouse_connect

    with tempfile.TemporaryDirectory() as folder:
        client = clickhouse_connect.get_client(dsn=f"chdb://{folder}/ch")
        way = steps()
        for n in range(1, len(way)):
            path = STATES / way[n - 1].name
            if not path.exists():
                path.write_text(after(client, way[:n]), encoding="utf-8")
        WHOLE.write_text(after(client, way), encoding="utf-8")
        client.close()


if __name__ == "__main__":
    main()
