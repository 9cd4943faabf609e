"""Trials of every knob, live: each proposal taken through its canary to a verdict.

A knob's playbook runs, the shipped optimizer proposes, a person approves, and runs go on
until the trial has ended by itself: kept, or rolled back. Then a value that is worse by
construction is fed in by hand with a confident guess, and its trial has to take it back.
What was measured is held against what is true.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from bench.machine import machine
from bench.planted_books import Book
from bench.planted_play import ENDED, POLL_S, Play, say
from bench.planted_trial_books import TRIED, Tried
from optimizer.knobs import CLASSES

Json: TypeAlias = Any

CYCLES: Final = 6
SHARE: Final = 0.65
"""Of the time, for what the optimizer proposes; the rest is for what is fed in."""
GUESS: Final = {"lower": -0.45, "median": -0.30, "upper": -0.15}
WAITING: Final = frozenset({"approved", "shadow"})
PATIENCE_S: Final = 30.0


@dataclass(slots=True)
class Trials:
    """What was tried so far: the proposals of each playbook, by what they were for."""

    play: Play
    tried: Sequence[Tried]
    found: dict[str, str] = field(default_factory=dict)
    fed: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    stable: dict[str, Json] = field(default_factory=dict)

    def history(self) -> None:
        """Run each playbook as its author left it."""
        for one in self.tried:
            self.play.register(one.book)
        for number in range(max(one.book.rounds for one in self.tried)):
            say(f"history, round {number + 1}")
            self.play.once([one.book for one in self.tried if one.book.rounds > number])

    def improve(self) -> None:
        """Cycle, approve and try, until each knob with a gain to find had its change tried."""
        for number in range(CYCLES):
            open_ = [o for o in self.tried if o.good and o.name not in self.found]
            if not open_ or self.play.late:
                return
            say(f"cycle {number + 1}, for {', '.join(one.name for one in open_)}")
            if not self._cycle({one.name for one in open_}):
                return
            self.try_out()

    def _cycle(self, names: set[str]) -> int:
        """Run the optimizer; approve what it proposes for these; return how much that is."""
        view, drafted = self.play.proposed()
        for reason in view["result"]["reasons"]:
            name = reason["scope"].partition("#")[0].removeprefix("planted/")
            self.reasons[name] = f"{reason['reason']}: {reason['text']}"
        mine = [p for p in drafted if _name(p) in names]
        for proposal in mine:
            say(f"  {_name(proposal)}: {proposal['kind']} {_diff(proposal)}")
            self.play.approve(proposal["id"])
            if proposal["kind"] == "change":
                self.found[_name(proposal)] = proposal["id"]
        return len(mine)

    def feed(self) -> None:
        """Propose by hand, for each knob, the value that is worse."""
        for one in self.tried:
            now = self._stable(one)
            to = one.harm(now)
            if one.book.worth(to) <= one.book.worth(now):
                self.reasons[one.name] = f"{to} would be no worse than {now}: it was not fed in"
                continue
            body = {
                "kind": "change", "playbook": f"planted/{one.name}", "step": "work",
                "knob_class": CLASSES[one.knob], "objective": one.book.objective,
                "diff": [{"knob": one.knob, "from": now, "to": to}], "base": {one.knob: now},
                "evidence": {"claim": "It was better each time so far."},
                "predicted": {one.book.objective: GUESS}, "note": "A guess.",
            }  # fmt: skip
            view = self.play.stage.author.post("/api/proposals", body)
            self.fed[one.name] = view["id"]
            say(f"  fed in for {one.name}: {_diff(view)}: {view['state']}")
            if view["state"] == "proposed":
                self.play.approve(view["id"])

    def _stable(self, one: Tried) -> Json:
        told = self.play.stage.author.get(f"/api/playbooks/planted/{one.name}")
        return told["steps"][0]["effective"][one.knob]

    def try_out(self) -> None:
        """Run what is on trial until it has ended; what is being replayed waits for that."""
        while (books := self._open()) and not self.play.late:
            say(f"  on trial: {', '.join(book.name for book in books)}")
            self.play.once(books)

    def _open(self) -> list[Book]:
        until = time.monotonic() + PATIENCE_S
        while True:
            live = [
                p
                for p in self.play.proposals()
                if p["state"] not in ENDED | {"proposed", "blocked"}
            ]
            ready = [p for p in live if p["state"] not in WAITING]
            if not live or ready or time.monotonic() > until:
                names = {_name(p) for p in live}
                return [one.book for one in self.tried if one.name in names]
            time.sleep(POLL_S)

    # ---- what came of it ----------------------------------------------------------------

    def rows(self) -> list[Json]:
        """Return a row for each trial: what was proposed, measured and true."""
        rows = []
        for one in self.tried:
            if one.good:
                rows.append(self._row(one, self.found.get(one.name), good=True))
            rows.append(self._row(one, self.fed.get(one.name), good=False))
        return rows

    def _row(self, one: Tried, proposal: str | None, *, good: bool) -> Json:
        about = {"knob": one.knob, "name": one.name, "promise": one.book.promise, "good": good}
        if proposal is None:
            why = self.reasons.get(one.name, "nothing was said")
            return {**about, "state": "not proposed", "why": why, "ok": False}
        view = self.play.stage.reviewer.get(f"/api/proposals/{proposal}")
        line, told = view["diff"][0], (view["verdict"] or {}).get("statistics") or {}
        worth = one.book.worth if good else one.fed_worth or one.book.worth
        truth = worth(line["to"]) / worth(line["from"]) - 1.0
        ends = told.get("gain_ci") or [None, None]
        predicted = view["predicted"].get(view["objective"]) if good else None
        wanted = "kept" if good else "rolled_back"
        return {
            **about, "from": line["from"], "to": line["to"], "state": view["state"],
            "why": view["reason_words"], "ok": view["state"] == wanted, "truth": truth,
            "measured": told.get("realised"), "interval": ends,
            "holds": _holds(ends, truth), "predicted": predicted,
            "units": (view["verdict"] or {}).get("units"), "runs": told.get("runs"),
            "e_by_kind": told.get("e_by_kind"), "doubt": told.get("doubt"),
        }  # fmt: skip


def _name(proposal: Json) -> str:
    return str(proposal["playbook"]).removeprefix("planted/")


def _diff(proposal: Json) -> str:
    line = proposal["diff"][0]
    return f"{line['knob']} {line['from']} → {line.get('to', line.get('values'))}"


def _holds(ends: Sequence[float | None], truth: float) -> bool | None:
    low, high = ends
    if low is None and high is None:
        return None
    return (low is None or low <= truth) and (high is None or truth <= high)


def tried_out(play: Play, names: Sequence[str] = ()) -> Json:
    """Take every knob through its trials; return the rows."""
    began = time.monotonic()
    tried = [one for one in TRIED if not names or one.name in names]
    trials = Trials(play, tried)
    trials.history()
    until, play.until = play.until, began + SHARE * (play.until - began)
    trials.improve()
    play.until = until
    say("values that are worse, fed in by hand")
    trials.feed()
    trials.try_out()
    return {
        "runs": play.runs, "seconds": round(time.monotonic() - began), "rows": trials.rows(),
        "load": machine()["load"][0],
    }  # fmt: skip
