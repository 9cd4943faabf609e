"""Steering a run from its page: buttons for what its state allows, and what they do."""

from __future__ import annotations

from typing import Final, Literal

from litestar import post
from litestar.di import NamedDependency
from litestar.params import FromPath, URLEncodedBody
from litestar.response import Redirect

from control_plane.api.runs import may_steer
from control_plane.auth import Principal
from control_plane.operations import Order, do
from control_plane.runs import Runs
from control_plane.web.site import Visit
from runtime.engine.engine import Engine

Verb = Literal["pause", "resume", "cancel", "retry"]
_BUTTONS: Final[dict[str, tuple[tuple[Verb, str], ...]]] = {
    "submitted": (("pause", "Pause the run"), ("cancel", "Cancel the run")),
    "running": (("pause", "Pause the run"), ("cancel", "Cancel the run")),
    "paused": (("resume", "Resume the run"), ("cancel", "Cancel the run")),
    "failed": (("retry", "Retry from where it stopped"),),
    "cancelled": (("retry", "Retry from where it stopped"),),
}


@post("/runs/{run:str}/{verb:str}", include_in_schema=False)
async def steer(
    request: Visit, run: FromPath[str], verb: FromPath[Verb],
    data: URLEncodedBody[dict[str, str]], engine: NamedDependency[Engine],
    runs: NamedDependency[Runs],
) -> Redirect:  # fmt: skip
    """Do to a run what a button says, and show it, or the run that goes on from it."""
    may_steer(runs, run, request.user)
    order = Order(verb, request.user.name, data.get("reason", ""))
    into, _ = await do(engine, order, run)
    return Redirect(f"/runs/{into or run}", status_code=303)


def buttons(state: str, actor: str, who: Principal) -> tuple[tuple[Verb, str], ...]:
    """Return what the state of a run allows and this person may do, with the words for it."""
    steers = who.may("operator") or (who.may("submitter") and actor == who.name)
    return _BUTTONS.get(state, ()) if steers else ()
