"""Who may pass: the key or cookie of a request, and what a route asks of it.

Nothing is open unless a route says ``public``. A bearer key that is wrong is refused
everywhere, so that a typing error never turns into an anonymous answer. A cookie that
changes something must send its page's token back, as a header or a form field.
"""

from __future__ import annotations

from typing import Any, Final

from litestar.connection import ASGIConnection, Request
from litestar.exceptions import NotAuthorizedException
from litestar.handlers import BaseRouteHandler
from litestar.middleware import AbstractAuthenticationMiddleware, AuthenticationResult
from litestar.types import ASGIApp, Guard

from control_plane.auth import Keys, Principal, Role, csrf_holds
from control_plane.errors import Forbidden

COOKIE: Final = "trimtab_session"
CSRF_HEADER: Final = "x-csrf-token"
CSRF_FIELD: Final = "_csrf"
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})

Connection = ASGIConnection[Any, Principal | None, Any, Any]


class WhoAsks(AbstractAuthenticationMiddleware):
    """Finds out whose request it is; nobody's is left to the guards."""

    def __init__(self, app: ASGIApp, keys: Keys) -> None:
        super().__init__(app)
        self._keys = keys

    async def authenticate_request(
        self, connection: ASGIConnection[Any, Any, Any, Any]
    ) -> AuthenticationResult:
        header = connection.headers.get("authorization")
        if header is not None:
            return AuthenticationResult(user=self._bearer(header), auth="bearer")
        cookie = connection.cookies.get(COOKIE)
        who = self._keys.session(cookie) if cookie else None
        return AuthenticationResult(user=who, auth="session" if who else None)

    def _bearer(self, header: str) -> Principal:
        kind, _, secret = header.partition(" ")
        who = self._keys.who(secret.strip()) if kind.lower() == "bearer" else None
        if who is None:
            raise NotAuthorizedException("this key is not known, or was revoked")
        return who


def signed_in(connection: Connection, route: BaseRouteHandler) -> None:
    """Let through who has a key or a session; anybody where the route is public."""
    if route.opt.get("public") or connection.user is not None:
        return
    raise NotAuthorizedException("nobody is signed in")


async def own_page(connection: Connection, route: BaseRouteHandler) -> None:
    """Refuse a change by cookie that no page of ours sent."""
    if connection.scope.get("method", "GET") in SAFE or route.opt.get("public"):
        return
    who = connection.user
    if who is None or who.via == "bearer":
        return
    if not csrf_holds(who, await _csrf_token(connection)):
        raise Forbidden("csrf", "this form is not from this session; load the page again")


def requires(*roles: Role) -> Guard:
    """Return a guard that lets through who holds one of these roles."""

    def holds(connection: Connection, _: BaseRouteHandler) -> None:
        who = connection.user
        if who is None:
            raise NotAuthorizedException("nobody is signed in")
        if who.may(*roles):
            return
        if who.may("agent"):
            raise Forbidden("agent", "an agent looks and proposes; it never decides")
        raise Forbidden("role", f"{who.name} is not {' or '.join(roles)}")

    return holds


async def _csrf_token(connection: Connection) -> str | None:
    token = connection.headers.get(CSRF_HEADER)
    if token is not None or not isinstance(connection, Request):
        return token
    kind = connection.headers.get("content-type", "")
    if not kind.startswith(("application/x-www-form-urlencoded", "multipart/form-data")):
        return None
    field = (await connection.form()).get(CSRF_FIELD)
    return field if isinstance(field, str) else None
