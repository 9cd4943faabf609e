"""A person with a key, as the server sees one: HTTP requests and nothing else."""

from __future__ import annotations

from types import TracebackType
from typing import Any, TypeAlias

import httpx2

Json: TypeAlias = Any


class Refused(Exception):
    """The server answered with a problem; the message is what a person reads."""

    def __init__(self, status: int, problem: dict[str, Json]) -> None:
        said = problem.get("detail", "no detail")
        hint = f" ({problem['hint']})" if problem.get("hint") else ""
        errors = "".join(f"\n  {e.get('message', e)}" for e in problem.get("errors", []))
        super().__init__(f"{status}: {said}{hint}{errors}")
        self.status, self.problem = status, problem


class Person:
    """Asks the server for something under a name and a key."""

    def __init__(self, name: str, url: str, key: str) -> None:
        self.name, self.url = name, url
        headers = {"Authorization": f"Bearer {key}"}
        self._http = httpx2.Client(base_url=url, headers=headers, timeout=30.0)

    def __enter__(self) -> Person:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._http.close()

    def get(self, path: str, **query: str | int) -> Json:
        """Read something."""
        return self._answer(self._http.get(path, params=query))

    def post(self, path: str, body: Json = None) -> Json:
        """Do something."""
        return self._answer(self._http.post(path, json=body))

    def _answer(self, response: httpx2.Response) -> Json:
        if response.is_success:
            return response.json()
        problem = response.headers.get("Content-Type", "").startswith("application/problem+json")
        body = response.json() if problem else {"detail": response.text[:500]}
        raise Refused(response.status_code, body)
