"""Where a query may read and write: the folders of its run, and no other.

A query comes from a playbook and runs as the user who owns the data folder, beside whose
tables lie keys and tokens. So DuckDB is locked into the run's folder, the bundle, the
object store and the products; SQLite into the run's folder. A query that could write
files (``copy``, ``attach``, ``export``, ``explain analyze``) gets the run's folder alone.
Folders named in ``TRIMTAB_SQL_FOLDERS`` of the server's environment may be read too.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from runtime.data.folder import DataFolder
from runtime.errors import Permanent
from runtime.tools.port import Call
from runtime.tools.variables import SQL_FOLDERS

_KEEPS_FILES: Final = frozenset(
    {"SELECT", "CREATE", "CREATE_FUNC", "INSERT", "UPDATE", "DELETE", "MERGE_INTO", "DROP",
     "ALTER", "TRANSACTION", "SET", "ANALYZE"}
)  # fmt: skip
"""DuckDB's kinds of statement that write no file but the database."""
_LOCKED: Final = (
    "enable_external_access = false",
    "autoinstall_known_extensions = false",
    "autoload_known_extensions = false",
    "python_enable_replacements = false",
    "lock_configuration = true",
)


def database(call: Call) -> str:
    """The database's file, which lies in the run's folder.

    Raises:
        Permanent: the name leads out of it.
    """
    name = call.text("database", ":memory:")
    if name == ":memory:":
        return name
    home = call.run_folder.resolve()
    path = (home / name).resolve()
    if not path.is_relative_to(home) or path == home:
        raise Permanent(f"tool sql: `database` {name!r} must be a file in the run's folder")
    return str(path)


def confine_duckdb(connection: Any, call: Call, statements: Iterable[Any]) -> None:
    """Lock a connection into the folders that these statements may touch."""
    home = str(call.run_folder)
    folders = [home]
    if all(statement.type.name in _KEEPS_FILES for statement in statements):
        folders += readable(call)
    allowed = ", ".join(f"'{_quoted(folder)}'" for folder in folders)
    connection.execute(f"set temp_directory = '{_quoted(home)}/.duckdb'")
    connection.execute(f"set allowed_directories = [{allowed}]")
    for setting in _LOCKED:
        connection.execute(f"set {setting}")


def readable(call: Call) -> list[str]:
    """The folders beside the run's own that a query may read."""
    objects = Path(call.task.objects)
    more = os.environ.get(SQL_FOLDERS, "").split(os.pathsep)
    ours = (call.task.bundle, str(objects), str(DataFolder(objects.parent).products))
    return [folder for folder in (*ours, *more) if folder]


def confine_sqlite(connection: sqlite3.Connection, call: Call) -> None:
    """Let a connection attach files of the run's folder alone."""
    home = call.run_folder.resolve()

    def judge(action: int, name: str | None, *rest: object) -> int:
        if action != sqlite3.SQLITE_ATTACH or name in ("", ":memory:"):
            return sqlite3.SQLITE_OK
        inside = name is not None and not name.startswith("file:") and Path(name).is_absolute()
        if inside and Path(str(name)).resolve().is_relative_to(home):
            return sqlite3.SQLITE_OK
        return sqlite3.SQLITE_DENY

    connection.set_authorizer(judge)


def explained(error: Exception) -> Permanent:
    """The refusal of a database, and what to do about it."""
    return Permanent(
        f"{error}: a query may read files of its run's folder, the bundle, objects, products "
        f"and the folders in {SQL_FOLDERS}, and write files in its run's folder"
    )


def _quoted(text: str) -> str:
    return text.replace("'", "''")
