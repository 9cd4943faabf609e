"""Those who ask the server in the chaos run, and what they were told: it must stay true."""

from __future__ import annotations

import random
import re
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from bench.chaos_books import SIGNAL, STEPS, other
from bench.chaos_killer import Plan

Json = Any


class Gone(Exception):
    """Nobody answered in time."""


@dataclass
class Client:
    """Asks the server until it answers, and counts what went wrong on the way."""

    url: str
    key: str
    stop_at: float
    troubles: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        headers = {"Authorization": f"Bearer {self.key}"}
        self.http = httpx2.Client(base_url=self.url, headers=headers, timeout=20.0)

    def ask(self, method: str, path: str, body: Json = None, **more: Json) -> Json:
        """Ask again and again; a refusal (4xx) is an error of this harness."""
        while time.monotonic() < self.stop_at:
            found = self.once(method, path, body, **more)
            if found is not None:
                return found
            time.sleep(0.2)
        raise Gone(f"{method} {path}")

    def once(
        self, method: str, path: str, body: Json = None, again: int = 0, **more: Json
    ) -> Json:  # fmt: skip
        """Ask once; None when there was no answer. ``again`` says that it was done before."""
        try:
            answer = self.http.request(method, path, json=body, **more)
        except httpx2.TransportError as error:
            self.troubles[type(error).__name__] += 1
            return None
        if answer.status_code >= 500:
            self.troubles[f"{answer.status_code}: {masked(answer.text)}"] += 1
            return None
        if not answer.is_success and answer.status_code != again:
            raise ValueError(f"{method} {path}: {answer.status_code} {answer.text[:500]}")
        return answer.json()


def masked(text: str) -> str:
    return re.sub(r"[0-9a-f]{8,}|\d+", "#", text)[:300]


@dataclass
class Seen:
    """What the server has acknowledged or shown."""

    acknowledged: dict[int, str] = field(default_factory=dict)
    steered: set[str] = field(default_factory=set)
    events: dict[tuple[str, int], Json] = field(default_factory=dict)


def asked_for(number: int, file: Path) -> Json:
    """The body of submission ``number``."""
    name = list(STEPS)[number % len(STEPS)]
    body = {"playbook": f"chaos/{name}", "workload": {"n": number, "file": str(file)}}
    if name == "reduced" and other(number):
        body["overrides"] = {"sums": {"alternatives": other(number)}}
    return body


def submit_all(plan: Plan, client: Client, seen: Seen, file: Path) -> None:
    """A burst at once, the rest spread over the time; each until it is acknowledged."""
    began = time.monotonic()
    later = max(plan.runs - plan.burst, 1)
    for number in range(plan.runs):
        due = began + max(number - plan.burst, 0) / later * plan.seconds * 0.95
        time.sleep(max(due - time.monotonic(), 0.0))
        submit(number, client, seen, file)


def submit(number: int, client: Client, seen: Seen, file: Path) -> None:
    """Submit one run, and do to it what a person would; acknowledged is acknowledged."""
    body = asked_for(number, file)
    headers = {"Idempotency-Key": f"chaos-{number}"}
    run = client.ask("POST", "/api/runs", body, headers=headers)["run"]
    if seen.acknowledged.setdefault(number, run) != run:
        raise ValueError(f"key chaos-{number} is run {run} and {seen.acknowledged[number]}")
    if run not in seen.steered:
        steer(run, number, client)
        seen.steered.add(run)


def steer(run: str, number: int, client: Client) -> None:
    """Signal what waits, cancel what would never end, pause a chain and let it go on."""
    name = list(STEPS)[number % len(STEPS)]
    verbs: list[tuple[str, Json]] = {
        "waits": [("signal", {"name": "go", "value": SIGNAL})],
        "endless": [("cancel", {"reason": "it would never end"})],
        "chain": [("pause", {}), ("resume", {})],
    }.get(name, [])  # fmt: skip
    for verb, said in verbs:
        client.ask("POST", f"/api/runs/{run}/{verb}", said, again=409)


def read_on(client: Client, seen: Seen, rng: random.Random, stop: threading.Event) -> None:
    """Read the events of runs, the newer ones mostly, and keep what was read."""
    while not stop.wait(0.05):
        runs = list(seen.acknowledged.values())
        if not runs:
            continue
        run = rng.choice(runs[-30:])
        for event in client.once("GET", f"/api/runs/{run}/events") or ():
            seen.events[run, event["seq"]] = event
