"""``trimtab doctor``: what is right and wrong here, and whether the record is exact."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer

from control_plane.cli.here import Here, here
from control_plane.cli.output import Code, Format, Output, Row, emit_one, emit_rows, leave
from control_plane.web.words import classes, plural

MIN_FREE_BYTES: Final = 1 << 30
LEAST_PRICED: Final = 0.95
"""Below this share of slot time with a known price, sums of cost say too little."""
Found = tuple[bool, str, str]
"""Whether it is well, what was found, what to do."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    ok: bool
    found: str
    hint: str


def doctor(
    ctx: typer.Context,
    verify: Annotated[
        bool, typer.Option("--verify", help="Recompute the record and compare it.")
    ] = False,
    output: Output = Format.TABLE,
) -> None:
    """Look at this installation; with --verify, prove that the record equals the journal."""
    place = here(ctx)
    if verify:
        _verify(place, output)
        return
    checks = [_look(name, look, place) for name, look in LOOKS]
    emit_rows(checks, output, {
        "check": "name", "ok": lambda c: "yes" if c["ok"] else "NO", "found": "found",
        "do": "hint",
    })  # fmt: skip
    if not all(check.ok for check in checks):
        leave(Code.FAILED)


def _look(name: str, look: Callable[[Here], Found], place: Here) -> Check:
    try:
        ok, found, hint = look(place)
    except Exception as fault:
        return Check(name, False, f"{type(fault).__name__}: {fault}", "this check itself failed")
    return Check(name, ok, found, "" if ok else hint)


def _python(_: Here) -> Found:
    version = ".".join(map(str, sys.version_info[:3]))
    return sys.version_info >= (3, 11), version, "use Python 3.11 or newer"


def _names(_: Here) -> Found:
    from control_plane.names import foreign_names

    claims = foreign_names()
    told = ", ".join(f"{name} by {by}" for name, by in claims.items()) or "ours alone"
    return not claims, told, "install trimtab in a virtual environment of its own"


def _engines(_: Here) -> Found:
    from importlib.util import find_spec

    missing = [
        name for name in ("chdb", "qdrant_edge", "pyarrow", "duckdb") if not find_spec(name)
    ]
    told = f"missing: {', '.join(missing)}" if missing else "chdb, qdrant_edge, pyarrow, duckdb"
    return not missing, told, "pip install trimtab again, in this environment"


def _folder(place: Here) -> Found:
    root = place.folder.root
    if not root.is_dir():
        return True, f"{root} (made at the first run)", ""
    mode = root.stat().st_mode & 0o077
    return not mode, f"{root}", f"others can read it: chmod 700 {root}"


def _disk(place: Here) -> Found:
    import shutil

    nearest = next(
        path for path in (place.folder.root, *place.folder.root.parents) if path.exists()
    )
    free = shutil.disk_usage(nearest).free
    return free > MIN_FREE_BYTES, f"{free / 2**30:.1f} GiB free", "free some disk"


def _settings(place: Here) -> Found:
    _, sources = place.settings()
    changed = [f"{name} ({source})" for name, source in sources.items() if source != "default"]
    return True, ", ".join(changed) or "all defaults", ""


def _journal(place: Here) -> Found:
    import sqlite3

    if not place.folder.journal.exists():
        return True, "nothing has run yet", ""
    with sqlite3.connect(f"file:{place.folder.journal}?mode=ro", uri=True) as db:
        said = db.execute("pragma quick_check").fetchone()[0]
        events = db.execute("select count(*) from event").fetchone()[0]
    db.close()
    return said == "ok", f"{events} events, {said}", "restore journal.db from a copy"


def _keys(place: Here) -> Found:
    if not place.folder.keys.exists():
        return True, "made at the first start", ""
    modes = [p.stat().st_mode & 0o077 for p in (place.folder.keys, place.folder.admin_key)
             if p.exists()]  # fmt: skip
    return (
        not any(modes),
        "readable by the owner alone",
        f"chmod 600 {place.folder.keys} {place.folder.admin_key}",
    )


def _trust(_: Here) -> Found:
    import getpass

    told = (
        f"playbook code runs as {getpass.getuser()}, as the server does: "
        "a key that is author can do all that an admin can"
    )
    return True, told, ""


def _server(place: Here) -> Found:
    from runtime.data.folder import read_json

    url = place.server()
    stale = url is None and read_json(place.folder.server_json) is not None
    told = url or ("server.json is there and nobody answers" if stale else "none is running")
    return not stale, told, "`trimtab dev` starts it again and goes on with unfinished runs"


def _workers(place: Here) -> Found:
    """Whether the pool pauses, and which steps are poison."""
    url = place.server()
    if url is None:
        return True, "run beside a server", ""
    from trimtab import Client

    with Client(url, place.key()) as client:
        engine = client.status()["engine"]
    return of_pool(engine["pool"], engine["poison"])


def of_pool(pool: Row, poison: Sequence[Row]) -> Found:
    """What is to be said of workers that die."""
    if pool["state"] == "paused":
        return False, f"the pool pauses: {pool['last_death']}", "see the server's log"
    named = ", ".join(f"{p['playbook']} {p['step']} ({p['told']})" for p in poison)
    hint = "mend the step, or `trimtab playbook clear PATH STEP`"
    return not poison, f"poison: {named}" if poison else "the pool works", hint


def _parked(place: Here) -> Found:
    """Whether runs wait that cannot go on with what is installed here."""
    url = place.server()
    if url is None:
        return True, "seen beside a server", ""
    from trimtab import Client

    with Client(url, place.key()) as client:
        parked = client.status()["engine"]["parked"]
    told = "; ".join(f"run {p['run']}: {p['why']}" for p in parked)
    hint = "install what it needs and start the server again, or `trimtab run cancel RUN`"
    return not parked, told or "none waits for what is not installed", hint


def _recorder(place: Here) -> Found:
    from runtime.record.access import RecordError
    from runtime.record.lag import Lag

    if place.server() is None:
        return True, "runs beside a server", ""
    log = f"see {place.folder.logs / 'recorder.log'}"
    try:
        lag = Lag.read(place.folder, wait_s=2.0)
    except RecordError as fault:
        return False, str(fault), log
    return not lag.down, lag.sentence, f"make it answer again, or {log}" if lag.down else ""


def _prices(place: Here) -> Found:
    """Whether what runs has a known price, of the user's own."""
    from runtime.engine.prices import BadCatalogue, load_prices

    try:
        prices = load_prices(place.folder.root)
    except BadCatalogue as fault:
        return False, str(fault), "mend hardware.yaml: `trimtab config prices check FILE`"
    whose = (
        "example prices"
        if prices.example
        else f"{plural(len(prices.prices), 'price')} of your own"
    )
    if place.server() is None:
        return True, whose, ""
    from control_plane.costs import StepCost, coverage

    with place.client(record=True) as client:
        costs = client.costs()
    known = coverage(StepCost(**cost) for cost in costs)
    hint = "give every class that runs a price in hardware.yaml; `trimtab cost show` says which"
    return known >= LEAST_PRICED, f"{whose}; {known:.0%} of this month's slot time priced", hint


def _hardware(place: Here) -> Found:
    """Whether the server has the classes of workers that the file says."""
    from runtime.engine.prices import BadCatalogue, load_prices

    try:
        written = load_prices(place.folder.root).hardware.slots
    except BadCatalogue:
        return True, "as they were: hardware.yaml has faults, see prices", ""
    url = place.server()
    if url is None:
        return True, classes(written), ""
    from trimtab import Client

    with Client(url, place.key()) as client:
        return of_hardware(client.status()["engine"]["hardware"], written)


def of_hardware(here: Mapping[str, int | None], written: Mapping[str, int | None]) -> Found:
    """What is to be said of the classes that a server has, beside those of the file."""
    if dict(here) == dict(written):
        return True, classes(here), ""
    told = f"the server has {classes(here)}; hardware.yaml says {classes(written)}"
    return False, told, "it takes the file within seconds: look again, then at its log"


LOOKS: Final[tuple[tuple[str, Callable[[Here], Found]], ...]] = (
    ("python", _python), ("import names", _names), ("engines", _engines), ("data folder", _folder),
    ("disk", _disk), ("settings", _settings), ("journal", _journal), ("keys", _keys),
    ("trust", _trust), ("server", _server), ("workers", _workers),
    ("runs", _parked),
    ("recorder", _recorder),
    ("prices", _prices),
    ("hardware", _hardware),
)  # fmt: skip


def _verify(place: Here, output: Output) -> None:
    from runtime.record.verify import verify

    place.runs_here()
    with place.client(record=True):
        result = verify(place.folder)
    emit_one(result.to_json(), output, lambda told: _lines(told, result.differences()))
    if not result.ok:
        leave(Code.FAILED)


def _lines(told: Row, differences: Any) -> Iterator[str]:
    for name, value in told.items():
        yield f"{name:<12} {value}"
    for difference in differences:
        yield f"DIFFERS      {difference}"
