"""Steering a run from its page: buttons for what its state allows, forms for what it waits for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final, Literal

from litestar import post
from litestar.di import NamedDependency
from litestar.params import FromPath, URLEncodedBody
from litestar.response import Redirect

from control_plane.api.runs import may_answer, may_signal, may_steer
from control_plane.auth import Principal
from control_plane.operations import Action, Order, do
from control_plane.runs import Runs
from control_plane.web.site import Visit
from control_plane.web.story import RunStory
from runtime.engine.engine import Engine
from runtime.run.events import Json

Verb = Literal["pause", "resume", "cancel", "cancel-now", "retry"]
_CANCEL: Final[tuple[tuple[Verb, str], ...]] = (
    ("cancel", "Cancel the run"), ("cancel-now", "Cancel, with no grace"),
)  # fmt: skip
_BUTTONS: Final[dict[str, tuple[tuple[Verb, str], ...]]] = {
    "submitted": (("pause", "Pause the run"), *_CANCEL),
    "running": (("pause", "Pause the run"), *_CANCEL),
    "paused": (("resume", "Resume the run"), *_CANCEL),
    "failing": (("cancel-now", "End now what still runs"),),
    "cancelling": (("cancel-now", "End now what still runs"),),
    "failed": (("retry", "Retry from where it stopped"),),
    "cancelled": (("retry", "Retry from where it stopped"),),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a step waits for: an answer to ``text``, or the signal that ``text`` names."""

    step: str
    kind: Literal["approval", "signal"]
    text: str


@post("/runs/{run:str}/{verb:str}", include_in_schema=False)
async def steer(
    request: Visit, run: FromPath[str], verb: FromPath[Verb],
    data: URLEncodedBody[dict[str, str]], engine: NamedDependency[Engine],
    runs: NamedDependency[Runs],
) -> Redirect:  # fmt: skip
    """Do to a run what a button says, and show it, or the run that goes on from it."""
    may_steer(runs, run, request.user)
    now = verb == "cancel-now"
    action: Action = "cancel" if verb == "cancel-now" else verb
    order = Order(action, request.user.name, data.get("reason", ""), now=now)
    into, _ = await do(engine, order, run)
    return Redirect(f"/runs/{into or run}", status_code=303)


@post("/runs/{run:str}/signal", include_in_schema=False)
async def send(
    request: Visit, run: FromPath[str], data: URLEncodedBody[dict[str, str]],
    engine: NamedDependency[Engine], runs: NamedDependency[Runs],
) -> Redirect:  # fmt: skip
    """Send a run the signal that one of its steps waits for."""
    may_signal(runs, run, data.get("name", ""), request.user)
    value = _read(data.get("value", ""))
    order = Order("signal", request.user.name, name=data.get("name", ""), value=value)
    await do(engine, order, run)
    return Redirect(f"/runs/{run}", status_code=303)


@post("/runs/{run:str}/steps/{step:str}/answer", include_in_schema=False)
async def answer(
    request: Visit, run: FromPath[str], step: FromPath[str],
    data: URLEncodedBody[dict[str, str]], engine: NamedDependency[Engine],
) -> Redirect:  # fmt: skip
    """Say yes or no to a step that asks."""
    may_answer(request.user)
    approved = data.get("answer") == "yes"
    order = Order("answer", request.user.name, data.get("note", ""), step=step, approved=approved)
    await do(engine, order, run)
    return Redirect(f"/runs/{run}", status_code=303)


def buttons(state: str, actor: str, who: Principal) -> tuple[tuple[Verb, str], ...]:
    """Return what the state of a run allows and this person may do, with the words for it."""
    return _BUTTONS.get(state, ()) if _steers(actor, who) else ()


def asked(story: RunStory, actor: str, who: Principal) -> tuple[Asked, ...]:
    """Return what running steps wait for that this person may give."""
    if story.ended:
        return ()
    waiting = [(s.name, s.waits) for s in story.steps.values() if s.waits is not None]
    answers = who.may("approver") or who.may("operator")
    found = [
        Asked(name, "approval", str(tool["prompt"]))
        for name, tool in waiting if tool["kind"] == "approval" and answers
    ]  # fmt: skip
    found += [
        Asked(name, "signal", str(tool["name"]))
        for name, tool in waiting if tool["kind"] == "signal" and _steers(actor, who)
    ]  # fmt: skip
    return tuple(found)


def _steers(actor: str, who: Principal) -> bool:
    return who.may("operator") or (who.may("submitter") and actor == who.name)


def _read(text: str) -> Json:
    """JSON, or else text as it stands; nothing is null.

    >>> _read("12"), _read("by hand"), _read(" ")
    (12, 'by hand', None)
    """
    if not text.strip():
        return None
    try:
        value: Json = json.loads(text)
    except ValueError:
        return text
    return value
