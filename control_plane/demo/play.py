"""The demo's play: runs, cycles of the optimizer, decisions, until nothing better is found.

The author starts runs, the reviewer reads each proposal with its evidence and approves
it, and the runs go on so that what was approved gets its share of real work. The play
knows no knob's value: what is tried comes from the optimizer. The one exception is the
harmful candidate, twice the batch size then stable, which the author proposes with a
confident guess and which the trial has to take back.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from control_plane.demo.screen import Bar, Screen, diff_text
from control_plane.demo.stage import Stage
from control_plane.review.lifecycle import SETTLED, State
from control_plane.shipped import folder as shipped_folder
from runtime.playbook.bundle import load

Json: TypeAlias = Any

PLAYBOOK: Final = "healthcare/patient_cohort"
STEP: Final = "fetch"
FIRST_RUNS: Final = 5
LAST_RUNS: Final = 5
MAX_CYCLES: Final = 12
MAX_RUNS_A_CYCLE: Final = 30
POLL_S: Final = 0.2
SETTLES: Final = {state.value for state in SETTLED}
BEGINS: Final = {State.APPROVED.value, State.SHADOW.value}
STUCK: Final = {State.BLOCKED.value, State.INCONCLUSIVE.value, State.ROLLBACK_FAILED.value}


class DidNotClose(Exception):
    """The loop did not end as it should; the message says how."""


@dataclass(slots=True)
class Play:
    """What was played so far."""

    stage: Stage
    screen: Screen
    cycles: int = 0
    runs: list[Json] = field(default_factory=list)

    # ---- runs ---------------------------------------------------------------------------

    def register(self) -> None:
        """Enter the cohort's playbook and the files beside it."""
        bundle = load(shipped_folder() / f"{PLAYBOOK}.yaml")
        body = {"source": bundle.source, "files": dict(bundle.files)}
        view = self.stage.author.post("/api/playbooks", body)
        self.screen.say(f"  registered {PLAYBOOK}, version {view['number']}")

    def submit(self) -> str:
        """Start a run of the cohort and return its id."""
        body = {"playbook": PLAYBOOK, "workload": {"records_url": self.stage.records_url}}
        return str(self.stage.author.post("/api/runs", body)["run"])

    def run(self, title: str) -> Json:
        """Start a run of the cohort and wait until it completed."""
        run = self.submit()
        with self.screen.work(title) as bar:
            view = self.wait(run, bar)
            bar.note = run_note(view)
        if view["state"] != "completed":
            raise DidNotClose(f"run {run} is {view['state']}: {view.get('fault')}")
        self.runs.append(view)
        return view

    def wait(self, run: str, bar: Bar | None = None) -> Json:
        """Wait until a run ended, however; the bar follows it."""
        while (view := self.stage.author.get(f"/api/runs/{run}"))["ended_at"] is None:
            if bar is not None:
                step = fetch_step(view)
                bar.at(step.get("items_done", 0), step.get("items"))
            time.sleep(POLL_S)
        return view

    # ---- the loop -----------------------------------------------------------------------

    def cycle(self) -> list[Json]:
        """Fire the optimizer once; return the proposals that wait for a decision."""
        self.cycles += 1
        reviewer = self.stage.reviewer
        run = reviewer.post("/api/optimize")["run"]
        with self.screen.work(f"optimizer cycle {self.cycles}") as bar:
            view = self.wait(run)
            if view["state"] != "completed":
                raise DidNotClose(f"optimizer run {run} is {view['state']}: {view.get('fault')}")
            waiting = self._drafted(view)
            bar.note = f"{len(waiting)} to decide" if waiting else "nothing worth proposing"
        for reason in view["result"].get("reasons", []):
            self.screen.say(f"    {reason['text']}")
        return waiting

    def _drafted(self, view: Json) -> list[Json]:
        """Wait until the cycle's candidates became proposals; return those to decide."""
        expected = len(view["result"].get("candidates", []))
        deadline = time.monotonic() + 30
        while True:
            all_ = self.stage.reviewer.get("/api/proposals")
            of_cycle = [p for p in all_ if p.get("cycle") == view["run"]]
            settled = [p for p in of_cycle if p["state"] not in ("draft", "gated")]
            if len(settled) >= expected or time.monotonic() > deadline:
                return [p for p in all_ if p["state"] == State.PROPOSED.value]
            time.sleep(POLL_S)

    def decide(self, proposals: Sequence[Json]) -> None:
        """Show each proposal, and approve what was read."""
        for line in proposals:
            view = self.stage.reviewer.get(f"/api/proposals/{line['id']}")
            self.screen.proposal(view)
            approve = f"/api/proposals/{view['id']}/approve"
            self.stage.reviewer.post(approve, {"bound_hash": view["bound_hash"]})
            self.screen.say(f"  approved by {self.stage.reviewer.name}, as read")

    def try_out(self) -> None:
        """Keep starting runs until nothing that was approved is open any more."""
        for _ in range(MAX_RUNS_A_CYCLE):
            live = self.replayed()
            if not live:
                return
            states = ", ".join(f"{diff(p)}: {p['state']}" for p in live)
            self.run(f"run {len(self.runs) + 1}, trying {states}")
        raise DidNotClose(f"still open after {MAX_RUNS_A_CYCLE} runs: {states}")

    def open(self) -> list[Json]:
        """Return the proposals that are approved and not settled."""
        found = [p for p in self.stage.reviewer.get("/api/proposals") if is_open(p)]
        for p in found:
            if p["state"] in STUCK:
                raise DidNotClose(f"{p['id']} ({diff(p)}) is {p['state']}: {p['reason']}")
        return found

    def replayed(self) -> list[Json]:
        """Return what is open once history was replayed under it: a run now may try it."""
        deadline = time.monotonic() + 60
        while True:
            live = self.open()
            states = {p["state"] for p in live}
            begins = states & BEGINS or states == {State.SCHEDULED.value}
            if not begins or time.monotonic() > deadline:
                return live
            time.sleep(POLL_S)

    def improve(self) -> str:
        """Cycle until no further proposal is worth making; return why it stopped.

        Raises:
            DidNotClose: there was still something after `MAX_CYCLES`.
        """
        while self.cycles < MAX_CYCLES:
            proposals = self.cycle()
            if not proposals:
                return "no further worthwhile proposal"
            self.decide(proposals)
            self.try_out()
        raise DidNotClose(f"there were still proposals after {MAX_CYCLES} cycles")

    # ---- the harmful candidate ----------------------------------------------------------

    def tempt(self) -> Json:
        """Propose twice the stable batch, try it, and return it once it is rolled back.

        Raises:
            DidNotClose: it came to another end.
        """
        body = harmful(self.stage.author.get(f"/api/playbooks/{PLAYBOOK}"))
        view = self.stage.author.post("/api/proposals", body)
        if view["state"] != State.PROPOSED.value:
            why = "; ".join(check["text"] for check in view["checks"]) or view["reason_words"]
            raise DidNotClose(f"the harmful candidate is {view['state']}: {why}")
        self.decide([view])
        self.try_out()
        ended = self.stage.reviewer.get(f"/api/proposals/{view['id']}")
        if ended["state"] != State.ROLLED_BACK.value:
            raise DidNotClose(f"the harmful candidate is {ended['state']}, not rolled back")
        return ended


def is_open(proposal: Mapping[str, Json]) -> bool:
    """Whether somebody approved it and it has not come to its end."""
    early = {State.DRAFT.value, State.GATED.value, State.PROPOSED.value, State.BLOCKED.value}
    return proposal["state"] not in SETTLES | early


def diff(proposal: Mapping[str, Json]) -> str:
    """Return a proposal's change in words."""
    return "; ".join(diff_text(line) for line in proposal["diff"])


def fetch_step(run: Mapping[str, Json]) -> Mapping[str, Json]:
    """Return the step of a run that the demo is about; empty before it started."""
    return next((step for step in run["steps"] if step["name"] == STEP), {})


def run_note(run: Mapping[str, Json]) -> str:
    """Return how a run went, in a few words."""
    step = fetch_step(run)
    parts = [f"{run['wall_s']:.1f} s", f"{step.get('batches_done', 0)} batches"]
    if step.get("failed_attempts"):
        parts.append(f"{step['failed_attempts']} tried again")
    if run["state"] != "completed":
        parts.append(run["state"])
    return ", ".join(parts)


def harmful(playbook: Mapping[str, Json]) -> dict[str, Json]:
    """Return the tempting candidate: twice the batch size that is stable now."""
    step = next(step for step in playbook["steps"] if step["name"] == STEP)
    stable = step["effective"]["each.batch"]
    return {
        "kind": "change", "playbook": PLAYBOOK, "step": STEP, "knob_class": "batch",
        "objective": "cost", "base": {"each.batch": stable},
        "diff": [{"knob": "each.batch", "from": stable, "to": 2 * stable}],
        "evidence": {"claim": "Larger batches were cheaper each time so far. This doubles them."},
        "predicted": {"cost": {"lower": -0.45, "median": -0.30, "upper": -0.15}},
        "note": "A guess: nobody has measured a batch of this size.",
    }  # fmt: skip
