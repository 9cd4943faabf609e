"""The ``http`` tool: a request, or page after page, over connections that a worker keeps open.

What may be connected to is judged in `runtime.tools.guarded`, what an answer means in
`runtime.tools.answer`, where a next page lies in `runtime.tools.pages`, what it cost in
`runtime.tools.charges`. Headers that the
playbook gives may hold a key, so they go to the host it named and to no other that an
answer leads to.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

import httpx2
import msgspec

from runtime.errors import Permanent
from runtime.tools import answer, guarded
from runtime.tools.charges import Charges
from runtime.tools.pages import Page, gather
from runtime.tools.port import Call, Outcome

_DEFAULT_S: Final = 30.0
_REDIRECTS: Final = 5
_SAFE: Final = ("GET", "HEAD", "OPTIONS", "TRACE")


class HttpTool:
    """Sends a request; the result is {status, headers, body}, or {status, pages, items}."""

    kind: ClassVar[str] = "http"

    def __init__(self) -> None:
        self._clients: dict[bool, httpx2.Client] = {}

    def run(self, call: Call) -> Outcome:
        client = self._client(call.tool.get("allow_loopback") is True)
        client.cookies.clear()  # connections are shared between attempts, sessions are not
        try:
            return Outcome(_Exchange(client, call).result())
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
            raise Permanent(f"`url` {call.tool.get('url')!r}: {error}") from error
        except httpx2.ConnectError as error:
            refusal = guarded.refusal(error)
            if refusal is None:
                raise
            raise Permanent(str(refusal)) from error

    def _client(self, allow_loopback: bool) -> httpx2.Client:
        if allow_loopback not in self._clients:
            self._clients[allow_loopback] = guarded.client(allow_loopback)
        return self._clients[allow_loopback]


class _Exchange:
    """What one attempt sends and gets."""

    def __init__(self, client: httpx2.Client, call: Call) -> None:
        self._client, self._call = client, call
        self._method = call.text("method", "GET").upper()
        self._form = call.text("as") if "as" in call.tool else None
        self._charges = Charges(call.tool.get("spend"))
        self._redirects = call.text("redirects", "follow")
        self._given = _headers(call, self._method)
        self._content = _content(call, self._method)
        params = call.tool.get("params")
        url = httpx2.URL(call.text("url"))
        self._url = url.copy_merge_params(params) if params else url

    def result(self) -> dict[str, Any]:
        pages = self._call.tool.get("pages")
        if pages is None:
            page = self._page(self._url)
            return {"status": page.status, "headers": page.headers, "body": page.body}
        if not isinstance(pages, dict):
            raise Permanent("tool http: `pages` must be a map")
        limit = self._call.task.output_bytes
        return gather(pages, self._url, self._page, limit, self._form == "table")

    def _page(self, url: httpx2.URL) -> Page:
        response = self._send(url)
        try:
            body = answer.read(response, self._call.task.output_bytes)
        finally:
            response.close()
        if response.status_code >= 400:
            raise answer.failure(response, body.decode("utf-8", "replace"))
        form = None if self._form == "table" and "pages" in self._call.tool else self._form
        link = response.links.get("next", {}).get("url")
        page = Page(
            response.url, response.status_code, answer.headers(response),
            answer.value(response, body, form), response.url.join(link) if link else None,
            len(body),
        )  # fmt: skip
        self._charges.tell(page.names, self._call.log)
        return page

    def _send(self, url: httpx2.URL) -> httpx2.Response:
        """The answer at the end of the redirects that are followed; its body is not read."""
        request = self._client.build_request(
            self._method, url, headers=self._given, content=self._content,
            timeout=self._call.task.timeout_s or _DEFAULT_S,
        )  # fmt: skip
        self._keep_home(request)
        for _ in range(_REDIRECTS + 1):
            response = self._client.send(request, stream=True)
            if response.next_request is None or self._redirects == "none":
                return response
            response.close()
            request = self._redirected(request, response.next_request)
        raise Permanent(f"{url} was redirected more than {_REDIRECTS} times")

    def _redirected(self, old: httpx2.Request, new: httpx2.Request) -> httpx2.Request:
        if old.url.scheme == "https" and new.url.scheme != "https":
            raise Permanent(f"{old.url} redirects to {new.url}, which anybody could read")
        if self._redirects == "same_host" and new.url.host != self._url.host:
            raise Permanent(
                f"{old.url} redirects to {new.url}, another host: say `redirects: follow` "
                "if that is meant"
            )
        self._keep_home(new)
        return new

    def _keep_home(self, request: httpx2.Request) -> None:
        """Take the playbook's headers out of a request to a host that it did not name."""
        if _origin(request.url) != _origin(self._url):
            for name in self._given:
                request.headers.pop(name, None)


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _headers(call: Call, method: str) -> dict[str, str]:
    given = call.tool.get("headers") or {}
    if not isinstance(given, dict):
        raise Permanent("tool http: `headers` must map names to values")
    headers = {str(name): str(value) for name, value in given.items()}
    names = {name.lower() for name in headers}
    if method not in _SAFE and "idempotency-key" not in names:
        headers["Idempotency-Key"] = call.task.key
    if _json(call, method) is not None and "content-type" not in names:
        headers["Content-Type"] = "application/json"
    return headers


def _content(call: Call, method: str) -> bytes | None:
    if "body" in call.tool:
        return call.text("body").encode()
    value = _json(call, method)
    return None if value is None else msgspec.json.encode(call.open(value))


def _json(call: Call, method: str) -> Any:
    if "body" in call.tool:
        return None
    if "json" in call.tool:
        return call.tool["json"]
    return call.items() if call.task.items is not None and method not in _SAFE else None
