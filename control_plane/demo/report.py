"""The demo's report: what happened, read back from the journal.

Nothing in it is what the driver thought it did. Runs, proposals and their ends are folds
over the journal's streams; the driver adds only what stands nowhere in it (how long the
installing took, what the records service counted, why it stopped, what the record holds).

*before* are the runs until anything was tried, *after* those at the end that nothing was
tried on any more; each side has one configuration.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from statistics import median
from typing import Any, Final, TypeAlias

from control_plane.review.proposal import Proposal, begin
from runtime.journal.port import JournalReader, RunRow
from runtime.run.events import (
    AttemptFinished,
    ConfigStored,
    EachCut,
    Event,
    LessonRecorded,
    OutcomeRecorded,
    ProductPublished,
    ProposalMoved,
    Recorded,
    VerdictReached,
)

Json: TypeAlias = Any

SCHEMA_VERSION: Final = 1
OPTIMIZE: Final = "system/optimize"
DECIDING: Final = ("roll_back", "promote", "learn", "reject")


@dataclass(frozen=True, slots=True)
class Outside:
    """What the journal cannot know. ``rows`` is what `trimtab doctor --verify` counted."""

    seconds_total: float
    install_s: float
    stopped_because: str
    service_params: str
    service: Mapping[str, int]
    rows: Mapping[str, int] | None


@dataclass(slots=True)
class RunFacts:
    """One run of the cohort, folded from its stream."""

    id: str
    wall_s: float | None
    state: str
    cost: float | None = None
    batch: int | None = None
    in_flight: int | None = None
    patients: int = 0
    wanted: int = 0
    features_sha256: str | None = None
    tried: bool = False
    on_candidate: dict[str, int] = field(default_factory=dict)

    @property
    def setting(self) -> tuple[int | None, int | None]:
        """The stable values it ran with."""
        return self.batch, self.in_flight

    def to_json(self) -> dict[str, Json]:
        """Return it as it stands in the report."""
        names = ("id", "wall_s", "cost", "batch", "in_flight", "patients", "features_sha256")
        return {name: getattr(self, name) for name in names}


def report(journal: JournalReader, playbook: str, outside: Outside) -> dict[str, Json]:
    """Return the whole report as JSON values."""
    runs = cohort_runs(journal, playbook)
    before, after = sides(runs)
    return {
        "schema_version": SCHEMA_VERSION,
        "seconds_total": round(outside.seconds_total, 1),
        "install_s": outside.install_s,
        "stopped_because": outside.stopped_because,
        "cycles": len(journal.runs(playbook=OPTIMIZE, system=True, limit=1000)),
        "service_params": outside.service_params,
        "service": dict(outside.service),
        "config": {"before": _setting(before), "after": _setting(after)},
        "before": _side(before),
        "after": _side(after),
        "runs": [run.to_json() for run in runs],
        "proposals": [_proposal(events, runs) for events in proposal_streams(journal)],
        "failed_patients": sum(run.wanted - run.patients for run in runs),
        "rows": None if outside.rows is None else dict(outside.rows),
    }


# ---- runs -------------------------------------------------------------------------------


def cohort_runs(journal: JournalReader, playbook: str) -> list[RunFacts]:
    """Return the runs of a playbook, the oldest first."""
    rows = journal.runs(playbook=playbook, limit=10_000)
    return [_run(journal, row) for row in reversed(rows)]


def _run(journal: JournalReader, row: RunRow) -> RunFacts:
    wall_s = None if row.ended_at is None else round(row.ended_at - row.submitted_at, 3)
    facts = RunFacts(row.run, wall_s, row.state)
    for recorded in journal.read(f"run/{row.run}"):
        _take(journal, facts, recorded.event)
    return facts


def _take(journal: JournalReader, facts: RunFacts, event: Event) -> None:
    match event:
        case EachCut():
            _cut(journal, facts, event)
        case AttemptFinished(cost_usd=float(cost)):
            facts.cost = (facts.cost or 0.0) + cost
        case ProductPublished():
            facts.patients, facts.features_sha256 = event.rows, event.sha256
        case _:
            pass


def _cut(journal: JournalReader, facts: RunFacts, event: EachCut) -> None:
    if event.items is not None:
        facts.wanted = int(event.items["count"])
    if facts.batch is None:
        stable = _stable(journal, event.config)
        facts.batch, facts.in_flight = stable.get("each.batch"), stable.get("each.in_flight")
    if event.experiment is None:
        return
    facts.tried = True
    if event.arm != "control" and event.kind == "block":
        tried = facts.on_candidate.get(event.experiment, 0)
        facts.on_candidate[event.experiment] = tried + event.stop - event.start


def _stable(journal: JournalReader, config: str) -> dict[str, Json]:
    """The values without any experiment: the playbook's, and over them the overlay's."""
    stored = journal.event(f"config/{config}", 1)
    values: dict[str, Json] = {}
    if stored is not None and isinstance(stored.event, ConfigStored):
        for layer in stored.event.chain:
            if layer["layer"] in ("default", "overlay"):
                values |= layer["values"]
    return values


def sides(runs: Sequence[RunFacts]) -> tuple[list[RunFacts], list[RunFacts]]:
    """Return the runs before anything was tried, and those after everything was.

    They share none: where nothing was ever tried, there is no after.
    """
    before = list(_alike(runs))
    after = list(_alike(reversed(runs[len(before) :])))
    return before, after[::-1]


def _alike(runs: Iterable[RunFacts]) -> Iterator[RunFacts]:
    """Yield the runs of one setting at the front, up to the first on which something is tried."""
    runs = list(runs)
    return takewhile(lambda run: not run.tried and run.setting == runs[0].setting, runs)


def _setting(runs: Sequence[RunFacts]) -> dict[str, Json] | None:
    return {"batch": runs[0].batch, "in_flight": runs[0].in_flight} if runs else None


def _side(runs: Sequence[RunFacts]) -> dict[str, Json] | None:
    walls = [run.wall_s for run in runs if run.wall_s is not None]
    costs = [1000 * run.cost / run.patients for run in runs if run.cost and run.patients]
    if not runs:
        return None
    return {
        "runs": len(runs),
        "wall_s_median": round(median(walls), 3) if walls else None,
        "cost_per_1000_median": median(costs) if costs else None,
    }


# ---- proposals --------------------------------------------------------------------------


def proposal_streams(journal: JournalReader) -> list[list[Recorded]]:
    """Return the events of each proposal, in the order in which they were drafted."""
    streams = [list(journal.read(name)) for name in journal.streams("proposal/")]
    return sorted(streams, key=lambda events: (events[0].writer, events[0].pos))


def _proposal(events: Sequence[Recorded], runs: Sequence[RunFacts]) -> dict[str, Json]:
    first, *rest = events
    told = begin(first)
    for recorded in rest:
        told.evolve(recorded)
    drafted, approval = told.drafted, told.approval
    statistics = told.verdict.statistics if told.verdict else {}
    return {
        "id": told.id,
        "kind": drafted.kind,
        "objective": drafted.objective,
        "author": drafted.author,
        "approver": approval.event.actor if approval else None,
        "bound_hash": approval.event.bound_hash if approval else None,
        "diff": drafted.diff,
        "state": told.state.value,
        "units": _units(told.verdict),
        "items_on_candidate": sum(run.on_candidate.get(told.experiment, 0) for run in runs),
        "predicted": drafted.predicted.get(drafted.objective),
        "realised": told.outcome.realised if told.outcome else None,
        "e_max": statistics.get("e_max"),
        "gain_ci": _interval(statistics.get("gain_ci")),
        "reason": _reason(told),
        "events": [_line(recorded) for recorded in (first, *rest)],
    }


def _reason(told: Proposal) -> str:
    """Why it ended as it did: the move that decided, not the one that tidied up after it."""
    decided = [move for name in DECIDING if (move := told.last(name)) is not None]
    return max(decided, key=lambda move: move.seq).event.reason if decided else told.reason


def _interval(bounds: Sequence[float | None] | None) -> list[float] | None:
    """An interval, where both of its ends are known."""
    known = [bound for bound in bounds or () if bound is not None]
    return known if len(known) == 2 else None


def _units(verdict: VerdictReached | None) -> dict[str, Json] | None:
    if verdict is None:
        return None
    tried = sum(n for arm, n in verdict.units.items() if arm != "control")
    return {"control": verdict.units.get("control", 0), "candidate": tried}


def _line(recorded: Recorded) -> dict[str, Json]:
    """One event as a line: what, when, and the words a reader looks for."""
    event = recorded.event
    line: dict[str, Json] = {"at": recorded.at, "seq": recorded.stream_seq, "type": event.TYPE}
    if isinstance(event, ProposalMoved):
        wanted = ("move", "source", "target", "actor", "reason", "note", "stage")
        line |= {name: getattr(event, name) for name in wanted}
    elif isinstance(event, VerdictReached):
        line |= {name: getattr(event, name) for name in ("verdict", "reason", "final")}
    elif isinstance(event, OutcomeRecorded):
        line |= {name: getattr(event, name) for name in ("realised", "interval", "covered")}
    elif isinstance(event, LessonRecorded):
        line["text"] = event.text
    return line


def covered(proposals: Iterable[Mapping[str, Json]]) -> list[bool]:
    """Return, for each kept change, whether what was measured lies in what was predicted."""
    kept = [p for p in proposals if p["state"] == "kept" and p["predicted"]]
    return [p["predicted"]["lower"] <= p["realised"] <= p["predicted"]["upper"] for p in kept
            if p["realised"] is not None]  # fmt: skip
