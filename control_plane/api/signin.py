"""Signing a browser in: a one-time link for a key, a cookie for the link."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from litestar import Response, get, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.exceptions import NotAuthorizedException
from litestar.params import FromQuery
from litestar.response import Redirect

from control_plane.api.guards import COOKIE
from control_plane.api.problems import Anyone
from control_plane.auth import Keys
from control_plane.settings import Settings


@dataclass(frozen=True, slots=True)
class Link:
    """Where a browser signs in, once."""

    path: str
    minutes: float


@dataclass(frozen=True, slots=True)
class Me:
    """Who is asking."""

    name: str
    roles: list[str]
    via: str


@post("/api/sign-in", operation_id="makeSignInLink", tags=["auth"], sync_to_thread=False)
def make_link(
    request: Anyone, keys: NamedDependency[Keys], settings: NamedDependency[Settings]
) -> Link:
    """Make a link that signs a browser in as this key's principal, once."""
    minutes = settings.auth.link_minutes
    return Link(f"/sign-in?token={keys.link(request.user, minutes)}", minutes)


@get("/sign-in", opt={"public": True}, include_in_schema=False, sync_to_thread=False)
def sign_in(
    token: FromQuery[str], keys: NamedDependency[Keys], settings: NamedDependency[Settings],
    request: Anyone,
) -> Redirect:  # fmt: skip
    """Use a link up: set the cookie and go to the pages."""
    hours = settings.auth.session_hours
    cookie = keys.redeem(token, hours)
    if cookie is None:
        raise NotAuthorizedException(
            "this link was used, or is too old; `trimtab sign-in` makes one"
        )
    return Redirect("/", cookies=[Cookie(
        COOKIE, value=cookie, max_age=int(hours * 3600), httponly=True, samesite="lax",
        secure=request.url.scheme == "https",
    )])  # fmt: skip


@post("/sign-out", include_in_schema=False, sync_to_thread=False)
def sign_out(request: Anyone, keys: NamedDependency[Keys]) -> Response[Any]:
    """End the session of this browser."""
    keys.sign_out(request.cookies.get(COOKIE, ""))
    gone = Redirect("/", status_code=303)
    gone.delete_cookie(COOKIE)
    return gone


@get("/api/me", operation_id="me", tags=["auth"], sync_to_thread=False)
def me(request: Anyone) -> Me:
    """Say whose key this is, and what it may do."""
    return Me(request.user.name, sorted(request.user.roles), request.user.via)
