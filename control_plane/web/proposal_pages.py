"""The pages about proposals: the inbox, one proposal, and the forms that decide.

A form sends back what its page showed: the token of the session and, for an approval, the
hash of diff, evidence, base and policy. A refusal is shown on the same page, with what to
do now; a decision that was taken leads back to the page as it is after it.
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Annotated, Any, Final

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter, URLEncodedBody
from litestar.response import Redirect, ServerSentEvent

from control_plane.api.guards import requires
from control_plane.auth import Principal, Role
from control_plane.errors import Conflict, ControlPlaneError, Forbidden, Invalid, NotFound
from control_plane.review.lifecycle import SETTLED, State
from control_plane.review.reasons import REJECTIONS, Reason
from control_plane.web import trial
from control_plane.web.dossier import GROUPS, Dossier
from control_plane.web.evidence import EvidenceView, read
from control_plane.web.figures import Band, intervals
from control_plane.web.run_pages import live
from control_plane.web.site import Site, Visit

Form = URLEncodedBody[dict[str, str]]
InState = Annotated[str, QueryParameter(name="state")]  # `state` is a reserved word of Litestar

SAID: Final = {
    "approve": "Approved. The trial starts as soon as its step is free.",
    "reject": "Rejected. The reason is kept as a lesson.",
    "roll_back": "Rolling back: everything new runs the stable values.",
    "pause": "Paused. No new work goes to the candidate.",
    "resume": "Resumed.",
}
REJECT_FOR: Final = {
    Reason.REJECTED: "I do not want it", Reason.RISKY: "too risky",
    Reason.WRONG_EVIDENCE: "the evidence is wrong or not enough", Reason.BAD_TIMING: "not now",
}  # fmt: skip
DECIDERS: Final[dict[str, tuple[Role, ...]]] = {
    "approve": ("approver",), "reject": ("reviewer", "approver"),
    **dict.fromkeys(("roll_back", "pause", "resume"), ("operator", "approver")),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a decision was not taken, and what to do now."""

    message: str
    hint: str
    status: int


@get("/proposals", guards=[requires("viewer")], include_in_schema=False)
async def inbox_page(
    request: Visit, site: NamedDependency[Site], group: FromQuery[str] = ""
) -> Response[str]:
    """Show the proposals of one group; by itself the first one that has any."""
    dossiers = await site.pages.proposals()
    by_group = {name: [d for d in dossiers if d.state in states] for name, _, states in GROUPS}
    chosen = group or next((name for name, of in by_group.items() if of), "review")
    groups = [(name, title, len(by_group[name])) for name, title, _ in GROUPS]
    return await site.page(
        request, "proposals.html", section="Proposals", title="Proposals", groups=groups,
        chosen=chosen, dossiers=by_group.get(chosen, []),
    )  # fmt: skip


@get("/proposals/{proposal:str}", guards=[requires("viewer")], include_in_schema=False)
async def proposal_page(
    request: Visit, proposal: FromPath[str], site: NamedDependency[Site],
    done: FromQuery[str] = "",
) -> Response[str]:  # fmt: skip
    """Show one proposal."""
    return await _show(site, request, proposal, said=SAID.get(done, ""))


@get("/proposals/{proposal:str}/live", guards=[requires("viewer")], include_in_schema=False)
async def proposal_live(
    proposal: FromPath[str], site: NamedDependency[Site], in_state: InState = ""
) -> ServerSentEvent:
    """Send a proposal's figures again each time it moved, until it left the page's state."""
    await _dossier(site, proposal)

    async def drawn() -> tuple[str, bool]:
        dossier = await _dossier(site, proposal)
        return site.part("parts/proposal.html", **told(dossier)), dossier.state != in_state

    streams = {f"proposal/{proposal}", f"experiment/x-{proposal.removeprefix('p-')}"}
    return ServerSentEvent(live(site, lambda e: e.stream in streams, drawn))


@post(
    "/proposals/{proposal:str}/approve", guards=[requires(*DECIDERS["approve"])],
    include_in_schema=False,
)  # fmt: skip
async def approve(
    request: Visit, proposal: FromPath[str], data: Form, site: NamedDependency[Site]
) -> Response[Any]:
    """Approve what the page showed."""
    work = site.desk.approve(proposal, request.user, data.get("expected", ""))
    return await _decide(site, request, proposal, "approve", work)


@post(
    "/proposals/{proposal:str}/reject", guards=[requires(*DECIDERS["reject"])],
    include_in_schema=False,
)  # fmt: skip
async def reject(
    request: Visit, proposal: FromPath[str], data: Form, site: NamedDependency[Site]
) -> Response[Any]:
    """Reject, and keep why."""
    work = site.desk.reject(proposal, request.user, data.get("reason", ""), data.get("note", ""))
    return await _decide(site, request, proposal, "reject", work)


@post(
    "/proposals/{proposal:str}/rollback", guards=[requires(*DECIDERS["roll_back"])],
    include_in_schema=False,
)  # fmt: skip
async def roll_back(
    request: Visit, proposal: FromPath[str], data: Form, site: NamedDependency[Site]
) -> Response[Any]:
    """Take a change back."""
    work = site.desk.roll_back(proposal, request.user, data.get("note", ""))
    return await _decide(site, request, proposal, "roll_back", work)


@post(
    "/proposals/{proposal:str}/pause", guards=[requires(*DECIDERS["pause"])],
    include_in_schema=False,
)  # fmt: skip
async def pause(
    request: Visit, proposal: FromPath[str], site: NamedDependency[Site]
) -> Response[Any]:
    """Give the candidate nothing new."""
    work = site.desk.pause(proposal, request.user)
    return await _decide(site, request, proposal, "pause", work)


@post(
    "/proposals/{proposal:str}/resume", guards=[requires(*DECIDERS["resume"])],
    include_in_schema=False,
)  # fmt: skip
async def resume(
    request: Visit, proposal: FromPath[str], site: NamedDependency[Site]
) -> Response[Any]:
    """Let the trial go on."""
    work = site.desk.resume(proposal, request.user)
    return await _decide(site, request, proposal, "resume", work)


async def _decide(
    site: Site, request: Visit, proposal: str, move: str, work: Awaitable[None]
) -> Response[Any]:
    try:
        await work
    except NotFound:
        raise
    except ControlPlaneError as error:
        return await _show(site, request, proposal, refusal=_refusal(error))
    return Redirect(f"/proposals/{proposal}?done={move}", status_code=303)


def _refusal(error: ControlPlaneError) -> Refusal:
    match error:
        case Conflict():
            return Refusal(str(error), error.hint, 409)
        case Forbidden():
            return Refusal(str(error), "Somebody else has to decide this.", 403)
        case Invalid():
            return Refusal(str(error), "", 422)
        case _:
            return Refusal(str(error), "", 400)


async def _show(
    site: Site, request: Visit, proposal: str, said: str = "", refusal: Refusal | None = None
) -> Response[str]:
    dossier = await _dossier(site, proposal)
    actions = actions_for(dossier, request.user)
    return await site.page(
        request, "proposal.html", section="Proposals", title=dossier.title,
        status=refusal.status if refusal else 200, said=said, refusal=refusal,
        actions=actions, rejections=[(r.value, REJECT_FOR[r]) for r in REJECTIONS],
        why_not_approve=why_not_approve(dossier, request.user),
        judgement=await site.desk.judge(proposal), live_url=live_url(dossier),
        **told(dossier),
    )  # fmt: skip


def told(dossier: Dossier) -> dict[str, Any]:
    """Return what the live part of the page tells: change, effect, trial, evidence, history."""
    lines = trial.arms(dossier)
    measured = trial.bands(lines) if dossier.observed is None else []
    return {
        "d": dossier, "settled": {s.value for s in SETTLED}, "figure": figure_of(dossier),
        "arms": lines, "measured": intervals(measured) if measured else "",
        "evidence": evidence_of(dossier), "replay": trial.replay(dossier),
    }  # fmt: skip


def live_url(dossier: Dossier) -> str:
    """Return where the page hears what is new, or nothing where only people move it on."""
    if dossier.state in SETTLED or dossier.state == State.PROPOSED:
        return ""
    return f"/proposals/{dossier.id}/live?state={dossier.state}"


async def _dossier(site: Site, proposal: str) -> Dossier:
    dossier = await site.pages.proposal(proposal)
    if dossier is None:
        raise NotFound("proposal", proposal)
    return dossier


def actions_for(dossier: Dossier, who: Principal) -> set[str]:
    """Return what the lifecycle allows from here and this person may do."""
    possible = {move for move in DECIDERS if dossier.can(move)}
    if dossier.can("withdraw") and not dossier.can("reject"):
        possible.add("roll_back")  # approved and not begun: taking it back withdraws it
    return {move for move in possible if who.may(*DECIDERS[move])}


def why_not_approve(dossier: Dossier, who: Principal) -> str:
    """Say why this person's approval would not count, or nothing."""
    if who.name == dossier.drafted.author:
        return "You drafted this, so somebody else has to approve it."
    return ""


def figure_of(dossier: Dossier) -> str:
    """Return the figure of what was predicted and measured, or nothing without an interval."""
    bands = [Band(f"{r.objective}, predicted", r) for r in dossier.predicted]
    if dossier.observed is not None:
        measured = Band(f"{dossier.observed.objective}, measured", dossier.observed, measured=True)
        bands.insert(1, measured)
    return intervals(bands) if bands else ""


def evidence_of(dossier: Dossier) -> EvidenceView:
    """Return the evidence as the page shows it, with the rows of the diff's values marked."""
    first = dossier.changes[0] if dossier.changes else None
    if first is None:
        return read(dossier.drafted.evidence, None, ())
    return read(dossier.drafted.evidence, first.before, first.values or (first.after,))
