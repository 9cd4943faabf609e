"""What a search finds, as its page shows it: a title, why it was found, and where it leads."""

from __future__ import annotations

from control_plane.web.port import Found, Question
from runtime.record.search import Hit
from runtime.run.events import Json


def narrow_to(question: Question) -> dict[str, str | float | None]:
    """Return what a search is kept to; None is no bound."""
    return {
        "kind": question.kind or None, "playbook": question.playbook or None,
        "state": question.state or None, "step": question.step or None,
        "hardware": question.hardware or None, "since": question.since, "until": question.until,
    }  # fmt: skip


def found_by(hit: Hit) -> Found:
    """Return a hit as the page shows it."""
    facts: dict[str, Json] = {"state": hit.state} if hit.kind in ("run", "proposal") else {}
    many = (
        f"; happened {hit.count:,} times"
        if hit.stream.startswith("run/") and hit.count > 1
        else ""
    )
    return Found(
        hit.kind, _title(hit), hit.text, hit.because + many, hit.score, _href(hit), facts
    )  # fmt: skip


def _title(hit: Hit) -> str:
    where = f"{hit.playbook} › {hit.step}" if hit.step else hit.playbook
    match hit.kind:
        case "run":
            return f"{hit.playbook}, run {str(hit.payload.get('run', ''))[-8:]}"
        case "failure":
            return f"{where}: {hit.state}"
        case "slow" | "retried":
            return f"{where}: {hit.payload.get('message', '')}"
        case "log":
            return f"{where} printed"
        case "product":
            return str(hit.payload.get("product", ""))
        case "proposal":
            return f"{where}, {hit.payload.get('proposal', '')}"
        case "lesson":
            return f"{where}, a lesson"
        case _:
            return where


def _href(hit: Hit) -> str:
    """Return the page that a hit leads to; a failure leads to the very event."""
    match hit.kind:
        case "run":
            return f"/runs/{hit.payload['run']}"
        case "failure" | "slow" | "retried" | "log" | "product":
            run = hit.stream.removeprefix("run/")
            return f"/runs/{run}/events?after={max(0, hit.stream_seq - 4)}#seq-{hit.stream_seq}"
        case "proposal" | "lesson":
            return f"/proposals/{hit.payload['proposal']}"
        case _:
            return f"/playbooks/{hit.playbook}"
