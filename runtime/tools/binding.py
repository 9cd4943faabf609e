"""What a query may name, and where it comes from: shared by the engines of the sql tool.

Values are bound, never pasted: ``$name`` is an argument of the step (``with``), an input of
the playbook, or a fact of the attempt, in this order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from runtime.data import reference
from runtime.errors import Permanent
from runtime.tools.port import Call, table_of

_OFFERS: Final[dict[str, Callable[[Call], Any]]] = {
    "items": lambda call: call.items(),
    "batch": lambda call: call.batch and asdict(call.batch),
    "key": lambda call: call.task.key,
    "run_folder": lambda call: str(call.run_folder),
}
"""What ``$name`` may be beside arguments and inputs, as in a python tool."""
ROWS: Final = "rows"
"""The argument that ``into`` writes when the step has no batch."""


def query_of(call: Call) -> str:
    """The text of ``query`` or of the file beside the playbook."""
    if ("query" in call.tool) == ("file" in call.tool):
        raise Permanent("a sql tool has one of `query`, `file` and `into`")
    if "query" in call.tool:
        return call.text("query")
    path = Path(call.task.bundle, call.text("file"))
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise Permanent(f"`file` cannot be read: {error}") from error


def bound(names: Iterable[str], call: Call) -> dict[str, Any]:
    """The values of these names. Arguments stand before inputs, inputs before the rest."""
    known = {**call.task.workload, **call.task.args}
    offers = {name: offer for name, offer in _OFFERS.items() if _is_there(name, call)}
    lacking = sorted(name for name in names if name not in known and name not in offers)
    if lacking:
        raise Permanent(
            f"the query needs {', '.join(f'${n}' for n in lacking)}: known are "
            f"{', '.join([*known, *offers])}, from `with`, the workload and the run"
        )
    return {n: call.open(known[n]) if n in known else offers[n](call) for n in names}


def _is_there(name: str, call: Call) -> bool:
    return call.task.items is not None or name not in ("items", "batch")


def tables(call: Call, words: Iterable[str]) -> dict[str, Any]:
    """The tables that these words name: the batch as ``items``, and those among the arguments."""
    found = {}
    for name in words:
        if name == "items" and call.task.items is not None:
            found[name] = call.table()
        elif reference.is_table(call.task.args.get(name)):
            found[name] = table_of(call.args[name])
    return found


def rows_of(call: Call) -> Any:
    """What ``into`` writes, as a table: the batch, else the argument ``rows``."""
    if call.task.items is not None:
        return call.table()
    if ROWS not in call.task.args:
        raise Permanent("`into` writes the batch of an `each`, or the argument `rows` of `with`")
    return table_of(call.args[ROWS])


def server_of(call: Call, *schemes: str) -> SplitResult:
    """The address of the database server.

    Raises:
        Permanent: there is none, or it is none of these schemes. The address is not shown.
    """
    address = call.text("connection")
    try:
        parts = urlsplit(address)
        known = parts.scheme in schemes and bool(parts.netloc or parts.query)
        _ = parts.port
    except ValueError:
        known = False
    if not known:
        raise Permanent(
            f"tool sql: `connection` of engine {call.tool['engine']} is an address such as "
            f"{schemes[0]}://user:password@host/database, best as {{secret: name}}"
        )
    return parts


def quoted(name: str, mark: str = '"') -> str:
    """A name as SQL writes it; one with a dot is a schema and a table."""
    return ".".join(mark + part.replace(mark, mark * 2) + mark for part in name.split("."))
