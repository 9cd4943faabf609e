"""What can go wrong between a client and its server, and how a server's refusal is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import httpx2

Json: TypeAlias = Any


class ClientError(Exception):
    """Something asked of the server did not work.

    ::

        ClientError
        ├── ApiError      the server refused: ``problem`` is its answer
        ├── BadName       an id or a name that nothing can have
        ├── Unreachable   no server answers
        └── TookTooLong   what was waited for did not happen in time
    """


class ApiError(ClientError):
    """The server refused. ``problem`` is its RFC 9457 answer."""

    def __init__(self, status: int, problem: Mapping[str, Json]) -> None:
        super().__init__(str(problem.get("detail") or problem.get("title") or status))
        self.status, self.problem = status, dict(problem)

    def __reduce__(self) -> tuple[type[ApiError], tuple[int, dict[str, Json]]]:
        return ApiError, (self.status, self.problem)  # so that a pool of processes can raise it

    @property
    def hint(self) -> str:
        """What the server says to do now."""
        return str(self.problem.get("hint", ""))

    @property
    def reason(self) -> str:
        """The code of the refusal."""
        return str(self.problem.get("reason", ""))


class BadName(ClientError):
    """An id or a name that nothing can have; the server was not asked."""


class Unreachable(ClientError):
    """No server answers."""


class TookTooLong(ClientError):
    """What was waited for did not happen in time."""


def refusal(answer: httpx2.Response) -> ApiError:
    """Return what the server said when it refused."""
    try:
        problem = answer.json()
    except ValueError:
        problem = {"detail": answer.text[:500]}
    return ApiError(answer.status_code, problem)
