"""Every metric, in one table: what is exposed, documented and drawn is read off here.

A name is the one that a query uses, so a counter's ends in ``_total``. Labels have few
values each: a playbook or step past the cap is ``other``, and no run, attempt or worker
is ever named.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Kind: TypeAlias = Literal["counter", "gauge", "histogram"]

OTHER: Final = "other"
"""What stands for the playbooks and steps that came after the cap was reached."""
BUCKETS_S: Final = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    300.0, 1800.0, 7200.0,
)  # fmt: skip
"""Upper bounds of the buckets of every histogram."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: its name, what it is, its labels, and a sentence on it."""

    name: str
    kind: Kind
    text: str
    labels: tuple[str, ...] = ()


_BOOK: Final = ("playbook",)
_STEP: Final = ("playbook", "step")

METRICS: Final = (
    Metric("trimtab_runs_started_total", "counter", "Runs that were submitted.", _BOOK),
    Metric("trimtab_runs_ended_total", "counter", "Runs that ended, by how.",
           (*_BOOK, "status")),
    Metric("trimtab_run_seconds", "histogram", "From a run's submission to its end.", _BOOK),
    Metric("trimtab_attempts_total", "counter",
           "Attempts that ended, by outcome and class of the error (`none` when there is none).",
           (*_STEP, "outcome", "class")),
    Metric("trimtab_attempt_queue_seconds", "histogram",
           "From an attempt's scheduling to its being handed to a worker.", _STEP),
    Metric("trimtab_attempt_run_seconds", "histogram", "An attempt's time in its tool.", _STEP),
    Metric("trimtab_attempt_seconds", "histogram", "An attempt's queue and run time.", _STEP),
    Metric("trimtab_retries_total", "counter",
           "Attempts after which another try was set, by class of the error.", (*_STEP, "class")),
    Metric("trimtab_rows_total", "counter", "Rows that attempts took in and gave out.",
           (*_STEP, "direction")),
    Metric("trimtab_cost_usd_total", "counter", "Cost of attempts whose price is known.", _STEP),
    Metric("trimtab_unpriced_attempts_total", "counter",
           "Attempts that ran and whose cost is unknown, since their class has no price.", _STEP),
    Metric("trimtab_products_published_total", "counter", "Versions of products published.",
           _BOOK),
    Metric("trimtab_checks_failed_total", "counter", "Products held back by a failed check.",
           _BOOK),
    Metric("trimtab_proposals_moved_total", "counter",
           "Moves of proposals, by the state they came to.", ("state",)),
    Metric("trimtab_approvals_total", "counter",
           "Answers given to proposals, and to `approval` steps.",
           ("kind", "answer")),
    Metric("trimtab_verdicts_total", "counter", "Verdicts on trials.", ("verdict",)),
    Metric("trimtab_schedules_fired_total", "counter", "Runs that a schedule submitted."),
    Metric("trimtab_steps_poisoned_total", "counter", "Step versions that became poison."),
    Metric("trimtab_experiments_live", "gauge", "Experiments that draw units, or are paused."),
    Metric("trimtab_runs_live", "gauge", "Runs that have not ended."),
    Metric("trimtab_steps_held", "gauge", "Steps that wait for their hours of the day."),
    Metric("trimtab_attempts_ready", "gauge", "Attempts that wait for a worker."),
    Metric("trimtab_attempts_in_flight", "gauge", "Attempts that workers have."),
    Metric("trimtab_poison_steps", "gauge", "Step versions that are poison now."),
    Metric("trimtab_draining", "gauge", "1 while the server begins nothing more."),
    Metric("trimtab_workers", "gauge", "Worker processes, by what they are at.", ("state",)),
    Metric("trimtab_worker_restarts_total", "counter",
           "Worker processes that were started in place of another."),
    Metric("trimtab_pool_paused", "gauge", "1 while the pool pauses after too many deaths."),
    Metric("trimtab_journal_events_total", "counter", "Events committed by this server."),
    Metric("trimtab_journal_commits_total", "counter",
           "Transactions of the journal. Each waits for one fdatasync; what SQLite syncs when it "
           "checkpoints, every thousand pages, is not counted."),
    Metric("trimtab_journal_bytes", "gauge", "Size of the journal with its write-ahead log."),
    Metric("trimtab_journal_position", "gauge", "Position of this server's newest event."),
    Metric("trimtab_journal_stalled", "gauge", "1 while the journal cannot be written."),
    Metric("trimtab_record_up", "gauge", "1 when the recorder answered; absent without one."),
    Metric("trimtab_record_restarts_total", "counter", "How often the recorder was restarted."),
    Metric("trimtab_record_lag_events", "gauge", "Events that a sink has yet to take.",
           ("sink",)),
    Metric("trimtab_record_lag_seconds", "gauge", "Age of the oldest event that a sink lacks.",
           ("sink",)),
    Metric("trimtab_record_position", "gauge",
           "Position up to which a sink holds this server's events.", ("sink",)),
    Metric("trimtab_record_events_total", "counter",
           "Events that a sink took since the recorder was started.", ("sink",)),
    Metric("trimtab_record_failing", "gauge", "1 while a sink cannot be written.", ("sink",)),
    Metric("trimtab_record_cpu_seconds_total", "counter", "CPU that the recorder used (Linux)."),
    Metric("trimtab_record_resident_memory_bytes", "gauge", "Memory of the recorder (Linux)."),
    Metric("trimtab_disk_free_bytes", "gauge", "Free space where the data folder is."),
    Metric("trimtab_sent_total", "counter",
           "Samples (`metrics`) and spans (`traces`) that their receiver took.", ("signal",)),
    Metric("trimtab_send_dropped_total", "counter",
           "Samples and spans given up: refused, or the buffer was full.", ("signal",)),
    Metric("trimtab_send_failures_total", "counter",
           "Sendings that failed; each is tried again unless it was refused.", ("signal",)),
    Metric("trimtab_send_waiting", "gauge", "Bodies that wait to be sent.", ("signal",)),
    Metric("trimtab_traces_dropped_total", "counter",
           "Ended runs that were not traced, since too many waited."),
    Metric("trimtab_labels_over_cap_total", "counter",
           "Events counted under `other`, since the playbook or step came after the cap."),
    Metric("trimtab_info", "gauge", "1, with the version of this server.", ("version",)),
    Metric("process_cpu_seconds_total", "counter", "CPU that the server used (Linux)."),
    Metric("process_resident_memory_bytes", "gauge", "Memory of the server (Linux)."),
    Metric("process_open_fds", "gauge", "Open file descriptors of the server (Linux)."),
    Metric("process_start_time_seconds", "gauge", "When the server started, since 1970 (Linux)."),
)  # fmt: skip
BY_NAME: Final = {metric.name: metric for metric in METRICS}
