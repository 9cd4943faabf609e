"""Everything that can be set: a frozen value for each concern, a line for each setting."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from control_plane.settings.allowed import (
    May,
    anything,
    cron_text,
    http_address,
    object_store,
    one_of,
    policy,
    time_zone,
    within,
)
from runtime.workers.limits import Limits, share_of_memory


def _set(default: Any, text: str, may: May = anything, *, secret: bool = False) -> Any:
    return field(default=default, metadata={"text": text, "may": may, "secret": secret})


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where the server listens and how it ends."""

    host: str = _set("127.0.0.1", "Address to listen on. Any other than loopback needs keys.")
    port: int = _set(
        8321, "Port to listen on; when it is taken the next free one is used.", within(0, 65535)
    )
    grace_s: float = _set(
        2.0, "Seconds that running attempts are given when the server ends.", within(0)
    )
    log_level: str = _set(
        "warning",
        "What is logged: debug, info, warning or error.",
        one_of("debug", "info", "warning", "error"),
    )


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """The worker processes of the local pool."""

    slots: int = _set(8, "How many attempts may run at once.", within(1, 1024))
    memory_mb: int = _set(
        0, "Megabytes that an attempt may hold where its step sets no `memory`; 0 for three "
        "quarters of the machine's.", within(0),
    )  # fmt: skip
    output_mb: int = _set(
        1024, "Megabytes that a result may have where its step sets no `output`.", within(1)
    )
    processes: int = _set(
        256, "Processes that an attempt may have at once where its step does not say.",
        within(1, 100_000),
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
        0, "Days after which rows may leave ClickHouse; 0 keeps them.", within(0, 10_000)
    )
    keep_sums_days: int = _set(
        0, "Days after which the sums by the hour may leave it; 0 keeps them.", within(0, 10_000)
    )
    memory_mb: int = _set(
        1_500, "Most memory of the embedded ClickHouse, MiB.", within(500, 1_000_000)
    )


@dataclass(frozen=True, slots=True)
class ReviewSettings:
    """How proposals are judged."""

    profile: str = _set(
        "production",
        "The guardrail policy in force: production, demo, or the path of a policy file.",
        policy,
    )


@dataclass(frozen=True, slots=True)
class OptimizeSettings:
    """When the optimizer runs by itself."""

    cron: str = _set(
        "7 * * * *", "When the optimize playbook is fired; empty for never.", cron_text
    )
    calibrate: str = _set(
        "23 3 * * *", "When stated chances are compared with history; empty for never.", cron_text
    )
    zone: str = _set("UTC", "The time zone of these cron texts.", time_zone)


@dataclass(frozen=True, slots=True)
class ObjectSettings:
    """Where large values lie."""

    url: str = _set(
        "",
        "Where objects lie, such as s3://bucket/prefix; empty for the data folder.",
        object_store,
    )
    endpoint: str = _set("", "Address of an S3 server other than AWS, such as http://host:9000.")
    region: str = _set("", "Region of the bucket; empty for the environment's.")
    key_id: str = _set("", "Access key of an S3 server; empty for the environment's.")
    secret: str = _set("", "Secret of that access key.", secret=True)
    cache_mb: int = _set(
        10_000, "Megabytes of this machine's copies of objects that lie elsewhere.", within(1)
    )


@dataclass(frozen=True, slots=True)
class RetentionSettings:
    """For how many days after its run ended a thing is kept; 0 is for ever."""

    values_days: float = _set(90.0, "Days that steps' values are kept after the run ended.",
                              within(0))  # fmt: skip
    results_days: float = _set(
        730.0, "Days that what a run returned or set is kept; never less than its values.",
        within(0),
    )  # fmt: skip
    scratch_days: float = _set(30.0, "Days that the scratch folder of a run is kept.", within(0))
    products_days: float = _set(
        730.0, "Days that a version of a product is kept; the newest always is.", within(0)
    )
    grace_hours: float = _set(
        1.0, "Hours for which nothing that was just written is collected.", within(0.1)
    )
    every_hours: float = _set(
        24.0, "Hours from one collection to the next; 0 for none by itself.", within(0)
    )


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """What is counted, and whether it is also sent somewhere."""

    series: int = _set(
        100, "Pairs of playbook and step with counts of their own; later ones are `other`.",
        within(1, 10_000),
    )  # fmt: skip
    push_url: str = _set(
        "", "Where metrics are sent by Prometheus remote write, such as "
        "http://host:8428/api/v1/write; empty for nowhere.", http_address,
    )  # fmt: skip
    push_token: str = _set("", "Bearer token for that address.", secret=True)
    push_s: float = _set(15.0, "Seconds from one sending to the next.", within(0.1))
    push_holds: int = _set(
        240, "Sendings that wait while the receiver is away; then the oldest are given up.",
        within(1),
    )  # fmt: skip
    instance: str = _set("", "Label `instance` of what is sent; empty for this host's name.")


@dataclass(frozen=True, slots=True)
class TracesSettings:
    """Whether ended runs are sent as traces."""

    url: str = _set(
        "", "Where traces are sent by OTLP over HTTP, such as http://host:4318/v1/traces; empty "
        "for nowhere.", http_address,
    )  # fmt: skip
    token: str = _set("", "Bearer token for that address.", secret=True)
    form: str = _set(
        "json", "How they are written: json, or protobuf (needs `trimtab[otel]`).",
        one_of("json", "protobuf"),
    )  # fmt: skip
    share: float = _set(
        1.0, "Share of the runs that complete which is traced; all others are.", within(0, 1)
    )
    spans: int = _set(
        5000, "Attempts of a run that are told of those that went well, and of the others.",
        within(0),
    )  # fmt: skip
    holds: int = _set(
        1000, "Ended runs that wait to be traced; then the oldest are given up.", within(1)
    )


@dataclass(frozen=True, slots=True)
class AuthSettings:
    """How long a browser stays signed in."""

    session_hours: float = _set(12.0, "Hours until a browser has to sign in again.", within(0.01))
    link_minutes: float = _set(
        10.0, "Minutes for which a one-time sign-in link works.", within(0.1)
    )


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """How often budgets, trends and capacity are looked at, and who is told."""

    budget_minutes: float = _set(
        1.0, "Minutes between two looks at `budgets.yaml`; 0 for none.", within(0)
    )
    trend_minutes: float = _set(
        15.0, "Minutes between two looks for steps slower than usual; 0 for none.", within(0)
    )
    capacity_minutes: float = _set(
        15.0, "Minutes between two notes of which slots are up, so that idle ones have a cost; "
        "0 for none.", within(0),
    )  # fmt: skip
    webhook: str = _set("", "URL to which alerts are posted as JSON; empty for none.")


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """What one client may ask for."""

    body_bytes: int = _set(16 * 1024 * 1024, "Largest body of a request.", within(1024))
    requests_per_minute: int = _set(3000, "Requests a minute from one key or address.", within(1))
    page: int = _set(1000, "Largest number of rows in one answer.", within(1))
    streams: int = _set(64, "Event streams that may be open at once.", within(1))


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
