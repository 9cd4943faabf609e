"""How a server is asked: one connection, answers as JSON."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from trimtab.faults import Json, Unreachable, refusal
from trimtab.paths import given
from trimtab.place import admin_key, is_here, server

if TYPE_CHECKING:
    import httpx2


class Asking:
    """A connection to a server. Without arguments: to the one that owns the data folder here."""

    def __init__(
        self, url: str | None = None, key: str | None = None, *,
        data: str | Path | None = None, timeout_s: float = 60.0,
    ) -> None:  # fmt: skip
        import httpx2

        found = None if url else server(data)
        self.url = (url or found or "").rstrip("/")
        if not self.url:
            raise Unreachable("no server owns this data folder; `trimtab dev` starts one")
        key = key or os.environ.get("TRIMTAB_KEY") or admin_key(data)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx2.Client(
            base_url=self.url, headers=headers, timeout=timeout_s,
            trust_env=not is_here(self.url),
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _dict(self, method: str, path: str, **more: Any) -> dict[str, Json]:
        answer: dict[str, Json] = self._ask(method, path, **more)
        return answer

    def _list(self, path: str, **params: Json) -> list[dict[str, Json]]:
        answer: list[dict[str, Json]] = self._ask("GET", path, params=given(**params))
        return answer

    def _ask(self, method: str, path: str, **more: Any) -> Any:
        answer = self._answer(method, path, **more)
        return answer.json() if answer.content else None

    def _answer(self, method: str, path: str, **more: Any) -> httpx2.Response:
        import httpx2

        try:
            answer = self._http.request(method, path, **more)
        except httpx2.TransportError as fault:
            raise Unreachable(f"{self.url} does not answer: {fault}") from fault
        if answer.is_error:
            raise refusal(answer)
        return answer
