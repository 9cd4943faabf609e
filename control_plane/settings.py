"""What can be set, in one frozen value, with the source of each part remembered.

A setting comes from, last one wins: its default, ``settings.json`` in the data folder
(written by ``trimtab config set``), the environment (``TRIMTAB_SERVER_PORT`` for
``server.port``), a flag of the command. They are read once and handed on; nobody looks
at the environment later.

>>> settings, sources = load(None, environ={"TRIMTAB_SERVER_PORT": "9000"})
>>> settings.server.port, sources["server.port"], sources["server.host"]
(9000, 'environment', 'default')
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

from runtime.data.folder import DataFolder, read_json, write_json
from runtime.data.place import SCHEMES
from runtime.workers.limits import Limits, share_of_memory

Scalar: TypeAlias = str | int | float | bool
Sources: TypeAlias = dict[str, str]

PREFIX: Final = "TRIMTAB_"
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})

May: TypeAlias = Callable[[Any], str]
"""Says what a setting wants instead of this value; nothing when it is well."""


class SettingFault(Exception):
    """A setting has no such name, or a value that it cannot have."""


def _anything(_: Any) -> str:
    return ""


def _within(low: float, high: float = math.inf) -> May:
    told = f"{low:g} or more" if high == math.inf else f"{low:g} to {high:g}"
    return lambda value: "" if low <= value <= high and math.isfinite(value) else told


def _one_of(*words: str) -> May:
    return lambda value: "" if value in words else " or ".join(words)


def _profile(value: Any) -> str:
    known = value in ("production", "demo") or Path(value).is_file()
    return "" if known else "production, demo or the path of a policy file"


def _cron(value: Any) -> str:
    from control_plane.cron import Cron, CronFault

    try:
        Cron(str(value))
    except CronFault as fault:
        return f"cron text or nothing ({fault})" if value else ""
    return ""


def _store(value: Any) -> str:
    scheme, _, rest = str(value).partition("://")
    known = not value or (scheme in SCHEMES and rest)
    return "" if known else f"a URL that begins with {', '.join(f'{s}://' for s in SCHEMES)}"


def _address(value: Any) -> str:
    known = not value or str(value).startswith(("http://", "https://"))
    return "" if known else "a URL that begins with http:// or https://, or nothing"


def _zone(value: Any) -> str:
    from control_plane.cron import Cron, CronFault

    try:
        Cron("0 0 * * *", str(value))
    except CronFault as fault:
        return f"a time zone, such as Europe/Berlin ({fault})"
    return ""


def _set(default: Any, text: str, may: May = _anything, *, secret: bool = False) -> Any:
    return field(default=default, metadata={"text": text, "may": may, "secret": secret})


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where the server listens and how it ends."""

    host: str = _set("127.0.0.1", "Address to listen on. Any other than loopback needs keys.")
    port: int = _set(
        8321, "Port to listen on; when it is taken the next free one is used.", _within(0, 65535)
    )
    grace_s: float = _set(
        2.0, "Seconds that running attempts are given when the server ends.", _within(0)
    )
    log_level: str = _set(
        "warning",
        "What is logged: debug, info, warning or error.",
        _one_of("debug", "info", "warning", "error"),
    )


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """The worker processes of the local pool."""

    slots: int = _set(8, "How many attempts may run at once.", _within(1, 1024))
    memory_mb: int = _set(
        0, "Megabytes that an attempt may hold where its step sets no `memory`; 0 for three "
        "quarters of the machine's.", _within(0),
    )  # fmt: skip
    output_mb: int = _set(
        1024, "Megabytes that a result may have where its step sets no `output`.", _within(1)
    )
    processes: int = _set(
        256, "Processes that an attempt may have at once where its step does not say.",
        _within(1, 100_000),
    )  # fmt: skip

    @property
    def attempt(self) -> Limits:
        """What one attempt may take where its step does not say otherwise."""
        memory = self.memory_mb << 20 if self.memory_mb else share_of_memory()
        return Limits(memory, self.output_mb << 20, self.processes)


@dataclass(frozen=True, slots=True)
class RecordSettings:
    """The copies of the journal for analytics and search."""

    enabled: bool = _set(True, "Whether the recorder process is started.")
    clickhouse: str = _set("", "DSN of a ClickHouse server; empty for the embedded one.")
    qdrant: str = _set("", "URL of a Qdrant server; empty for the embedded one.")
    qdrant_key: str = _set("", "API key of that Qdrant server.", secret=True)
    embedder: str = _set("", "Sentence-transformers model; empty for the one that ships.")
    keep_days: int = _set(
        0, "Days after which rows may leave ClickHouse; 0 keeps them.", _within(0, 10_000)
    )
    keep_sums_days: int = _set(
        0, "Days after which the sums by the hour may leave it; 0 keeps them.", _within(0, 10_000)
    )
    memory_mb: int = _set(
        1_500, "Most memory of the embedded ClickHouse, MiB.", _within(500, 1_000_000)
    )


@dataclass(frozen=True, slots=True)
class ReviewSettings:
    """How proposals are judged."""

    profile: str = _set(
        "production",
        "The guardrail policy in force: production, demo, or the path of a policy file.",
        _profile,
    )


@dataclass(frozen=True, slots=True)
class OptimizeSettings:
    """When the optimizer runs by itself."""

    cron: str = _set("7 * * * *", "When the optimize playbook is fired; empty for never.", _cron)
    calibrate: str = _set(
        "23 3 * * *", "When stated chances are compared with history; empty for never.", _cron
    )
    zone: str = _set("UTC", "The time zone of these cron texts.", _zone)


@dataclass(frozen=True, slots=True)
class ObjectSettings:
    """Where large values lie."""

    url: str = _set(
        "", "Where objects lie, such as s3://bucket/prefix; empty for the data folder.", _store
    )
    endpoint: str = _set("", "Address of an S3 server other than AWS, such as http://host:9000.")
    region: str = _set("", "Region of the bucket; empty for the environment's.")
    key_id: str = _set("", "Access key of an S3 server; empty for the environment's.")
    secret: str = _set("", "Secret of that access key.", secret=True)
    cache_mb: int = _set(
        10_000, "Megabytes of this machine's copies of objects that lie elsewhere.", _within(1)
    )


@dataclass(frozen=True, slots=True)
class RetentionSettings:
    """For how many days after its run ended a thing is kept; 0 is for ever."""

    values_days: float = _set(90.0, "Days that steps' values are kept after the run ended.",
                              _within(0))  # fmt: skip
    results_days: float = _set(
        730.0, "Days that what a run returned or set is kept; never less than its values.",
        _within(0),
    )  # fmt: skip
    scratch_days: float = _set(30.0, "Days that the scratch folder of a run is kept.", _within(0))
    products_days: float = _set(
        730.0, "Days that a version of a product is kept; the newest always is.", _within(0)
    )
    grace_hours: float = _set(
        1.0, "Hours for which nothing that was just written is collected.", _within(0.1)
    )
    every_hours: float = _set(
        24.0, "Hours from one collection to the next; 0 for none by itself.", _within(0)
    )


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """What is counted, and whether it is also sent somewhere."""

    series: int = _set(
        100, "Pairs of playbook and step with counts of their own; later ones are `other`.",
        _within(1, 10_000),
    )  # fmt: skip
    push_url: str = _set(
        "", "Where metrics are sent by Prometheus remote write, such as "
        "http://host:8428/api/v1/write; empty for nowhere.", _address,
    )  # fmt: skip
    push_token: str = _set("", "Bearer token for that address.", secret=True)
    push_s: float = _set(15.0, "Seconds from one sending to the next.", _within(0.1))
    push_holds: int = _set(
        240, "Sendings that wait while the receiver is away; then the oldest are given up.",
        _within(1),
    )  # fmt: skip
    instance: str = _set("", "Label `instance` of what is sent; empty for this host's name.")


@dataclass(frozen=True, slots=True)
class TracesSettings:
    """Whether ended runs are sent as traces."""

    url: str = _set(
        "", "Where traces are sent by OTLP over HTTP, such as http://host:4318/v1/traces; empty "
        "for nowhere.", _address,
    )  # fmt: skip
    token: str = _set("", "Bearer token for that address.", secret=True)
    form: str = _set(
        "json", "How they are written: json, or protobuf (needs `trimtab[otel]`).",
        _one_of("json", "protobuf"),
    )  # fmt: skip
    share: float = _set(
        1.0, "Share of the runs that complete which is traced; all others are.", _within(0, 1)
    )
    spans: int = _set(
        5000, "Attempts of a run that are told of those that went well, and of the others.",
        _within(0),
    )  # fmt: skip
    holds: int = _set(
        1000, "Ended runs that wait to be traced; then the oldest are given up.", _within(1)
    )


@dataclass(frozen=True, slots=True)
class AuthSettings:
    """How long a browser stays signed in."""

    session_hours: float = _set(12.0, "Hours until a browser has to sign in again.", _within(0.01))
    link_minutes: float = _set(
        10.0, "Minutes for which a one-time sign-in link works.", _within(0.1)
    )


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """How often budgets, trends and capacity are looked at, and who is told."""

    budget_minutes: float = _set(
        1.0, "Minutes between two looks at `budgets.yaml`; 0 for none.", _within(0)
    )
    trend_minutes: float = _set(
        15.0, "Minutes between two looks for steps slower than usual; 0 for none.", _within(0)
    )
    capacity_minutes: float = _set(
        15.0, "Minutes between two notes of which slots are up, so that idle ones have a cost; "
        "0 for none.", _within(0),
    )  # fmt: skip
    webhook: str = _set("", "URL to which alerts are posted as JSON; empty for none.")


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """What one client may ask for."""

    body_bytes: int = _set(16 * 1024 * 1024, "Largest body of a request.", _within(1024))
    requests_per_minute: int = _set(3000, "Requests a minute from one key or address.", _within(1))
    page: int = _set(1000, "Largest number of rows in one answer.", _within(1))
    streams: int = _set(64, "Event streams that may be open at once.", _within(1))


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set, one group per concern."""

    server: ServerSettings = field(default_factory=ServerSettings)
    workers: WorkerSettings = field(default_factory=WorkerSettings)
    record: RecordSettings = field(default_factory=RecordSettings)
    review: ReviewSettings = field(default_factory=ReviewSettings)
    optimize: OptimizeSettings = field(default_factory=OptimizeSettings)
    objects: ObjectSettings = field(default_factory=ObjectSettings)
    retention: RetentionSettings = field(default_factory=RetentionSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    traces: TracesSettings = field(default_factory=TracesSettings)
    auth: AuthSettings = field(default_factory=AuthSettings)
    watch: WatchSettings = field(default_factory=WatchSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)


@dataclass(frozen=True, slots=True)
class Named:
    """A setting as a person sees it."""

    name: str
    type: type
    default: Scalar
    text: str
    may: May = _anything
    secret: bool = False

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return PREFIX + self.name.replace(".", "_").upper()


_GROUPS: Final = cast("dict[str, type[Any]]", {
    "server": ServerSettings, "workers": WorkerSettings, "record": RecordSettings,
    "review": ReviewSettings, "optimize": OptimizeSettings, "objects": ObjectSettings,
    "retention": RetentionSettings, "metrics": MetricsSettings, "traces": TracesSettings,
    "auth": AuthSettings, "watch": WatchSettings, "limits": LimitSettings,
})  # fmt: skip


def named() -> Iterator[Named]:
    """Yield every setting, in the order of the groups."""
    for group, cls in _GROUPS.items():
        for f in fields(cls):
            yield _named(group, f)


def _named(group: str, f: Field[Any]) -> Named:
    default = cast("Scalar", f.default)
    return Named(
        f"{group}.{f.name}", type(default), default, f.metadata["text"], f.metadata["may"],
        f.metadata["secret"],
    )  # fmt: skip


def load(
    folder: DataFolder | None,
    environ: Mapping[str, str],
    flags: Mapping[str, Scalar | None] | None = None,
) -> tuple[Settings, Sources]:
    """Return the settings in force and where each came from.

    ``flags`` maps a setting's name to the value a command line gave, None for not given.

    Raises:
        SettingFault: a name or a value cannot be; says which source it stands in.
    """
    values: dict[str, Scalar] = {}
    sources: Sources = {}
    for source, given in _layers(folder, environ, flags or {}):
        for name, value in given.items():
            values[name] = coerce(name, value, source)
            sources[name] = source
    groups = {
        group: cls(
            **{f.name: values[n] for f in fields(cls) if (n := f"{group}.{f.name}") in values}
        )
        for group, cls in _GROUPS.items()
    }
    every = {setting.name: sources.get(setting.name, "default") for setting in named()}
    return Settings(**groups), every


def _layers(
    folder: DataFolder | None,
    environ: Mapping[str, str],
    flags: Mapping[str, Scalar | None],
) -> Iterator[tuple[str, Mapping[str, Scalar]]]:
    if folder is not None:
        yield "settings.json", stored(folder)
    yield "environment", {s.name: environ[s.variable] for s in named() if s.variable in environ}
    yield "flag", {name: value for name, value in flags.items() if value is not None}


def value_of(settings: Settings, name: str) -> Scalar:
    """Return the value of a setting by its name."""
    group, _, part = name.partition(".")
    found: Scalar = getattr(getattr(settings, group), part)
    return found


def coerce(name: str, value: Scalar, source: str) -> Scalar:
    """Return a value as the type its setting has.

    >>> coerce("record.enabled", "off", "flag")
    False
    """
    setting = next((s for s in named() if s.name == name), None)
    if setting is None:
        raise SettingFault(f"{source}: there is no setting `{name}`; see `trimtab config list`")
    try:
        typed = cast("Scalar", _TYPES[setting.type](value))
    except (ValueError, KeyError):
        typed, wanted = value, _WORDS[setting.type]
    else:
        wanted = setting.may(typed)
    if wanted:
        raise SettingFault(f"{source}: {name} wants {wanted}, not {typed!r}")
    return typed


def shown(name: str, value: Scalar) -> Scalar:
    """Return a value as it may be shown: a secret, or the password of an address, is hidden.

    >>> shown("record.qdrant_key", "s3cret"), shown("record.clickhouse", "ch://me:pw@host/db")
    ('(set, not shown)', 'ch://me:***@host/db')
    """
    if isinstance(value, str) and value and any(s.secret for s in named() if s.name == name):
        return "(set, not shown)"
    return re.sub(r"(://[^:/@]*):[^/]*@", r"\1:***@", value) if isinstance(value, str) else value


def _truth(value: Scalar) -> bool:
    words = {"true": True, "on": True, "yes": True, "1": True,
             "false": False, "off": False, "no": False, "0": False}  # fmt: skip
    return words[str(value).strip().lower()]


_TYPES: Final[dict[type, Any]] = {str: str, int: int, float: float, bool: _truth}
_WORDS: Final[dict[type, str]] = {
    str: "text", int: "a whole number", float: "a number", bool: "on or off",
}  # fmt: skip


def stored(folder: DataFolder) -> dict[str, Scalar]:
    """Return what the data folder keeps, by name. The file holds an object for each group."""
    try:
        kept = read_json(folder.settings) or {}
    except ValueError as fault:
        raise SettingFault(f"{folder.settings} is no JSON: {fault}") from None
    except OSError as fault:
        raise SettingFault(f"{folder.settings} cannot be read: {fault.strerror}") from None
    if not isinstance(kept, dict) or not all(isinstance(group, dict) for group in kept.values()):
        raise SettingFault(f"{folder.settings}: not an object of groups of settings")
    return {f"{group}.{part}": value for group, parts in kept.items()
            for part, value in parts.items()}  # fmt: skip


def store(folder: DataFolder, name: str, value: Scalar | None) -> None:
    """Keep a setting in the data folder; None forgets it."""
    kept: dict[str, dict[str, Scalar]] = {}
    changed = {**stored(folder), name: value if value is not None else ""}
    if value is None:
        changed.pop(name)
    for each, given in changed.items():
        group, _, part = each.partition(".")
        kept.setdefault(group, {})[part] = coerce(each, given, "settings.json")
    folder.prepare()
    write_json(folder.settings, kept)


def find_folder(flag: Path | None, environ: Mapping[str, str], here: Path) -> DataFolder:
    """Return the data folder to use: flag, ``TRIMTAB_DATA``, ``./.trimtab``, the user's own."""
    if flag is not None:
        return DataFolder(flag.expanduser().absolute())
    if given := environ.get("TRIMTAB_DATA"):
        return DataFolder(Path(given).expanduser().absolute())
    if (here / ".trimtab").is_dir():
        return DataFolder(here / ".trimtab")
    from platformdirs import user_data_path

    return DataFolder(user_data_path("trimtab", appauthor=False))
