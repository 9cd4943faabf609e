"""Pages of a long answer over HTTP: where the next one is, and what the items of each are.

Four ways are known: the ``Link`` header (``next: link``), an expression over the answer
(``next: "{{ body.next }}"``, an address or, with ``param``, a value for that parameter),
a page number, and an offset. Reading stops when there is no next page, or at ``max_pages``
with an error: half a list is never taken for the whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2

from runtime.errors import Permanent, ResourceExhausted
from runtime.playbook.expressions import Expressions
from runtime.playbook.faults import ExpressionFault
from runtime.tools.port import table_of

MAX_PAGES: Final = 100
WAYS: Final = ("next", "page", "offset")


@dataclass(frozen=True, slots=True)
class Page:
    """One answer, as expressions see it."""

    url: httpx2.URL
    status: int
    headers: dict[str, str]
    body: Any
    link: httpx2.URL | None
    size: int

    @property
    def names(self) -> dict[str, Any]:
        return {"body": self.body, "headers": self.headers, "status": self.status}


@dataclass(slots=True)
class Gathered:
    """The items of all pages so far: a list, or tables of them."""

    as_table: bool
    items: list[Any] = field(default_factory=list)
    tables: list[Any] = field(default_factory=list)
    count: int = 0

    def add(self, found: Any) -> int:
        """Take the items of one page; how many they are."""
        if self.as_table or type(found).__module__.startswith("pyarrow"):
            found = table_of(found)
            size = int(found.num_rows)
            self.tables += [found] if size or not self.tables else []
        elif isinstance(found, list):
            size = len(found)
            self.items += found
        else:
            raise Permanent(
                f"the items of a page are a list, not {type(found).__name__}: say which in "
                '`pages.items`, such as "{{ body.results }}"'
            )
        self.count += size
        return size

    def value(self) -> Any:
        if not self.tables:
            return self.items
        import pyarrow as pa

        return pa.concat_tables(self.tables, promote_options="permissive")


def gather(
    block: dict[str, Any], first: httpx2.URL, fetch: Callable[[httpx2.URL], Page],
    limit: int, as_table: bool,
) -> dict[str, Any]:  # fmt: skip
    """Fetch page after page; return ``{status, pages, items}``.

    Raises:
        Permanent: a page leads to one that was read, or there are more than ``max_pages``.
        ResourceExhausted: the pages have more than ``limit`` bytes together.
    """
    walk, most = Walk(block), int(block.get("max_pages", MAX_PAGES))
    gathered, seen, size = Gathered(as_table), set[str](), 0
    url: httpx2.URL | None = walk.begin(first)
    page: Page | None = None
    while url is not None:
        if len(seen) == most:
            raise Permanent(f"there are more than {most} pages: raise `pages.max_pages`")
        if str(url) in seen:
            raise Permanent(f"page {len(seen)} leads to {url}, which was read before")
        seen.add(str(url))
        page = fetch(url)
        size += page.size
        if size > limit:
            raise ResourceExhausted(f"the first {len(seen)} pages have more than {limit} bytes")
        url = walk.next(page, gathered.add(walk.items(page)), gathered.count)
    status = page.status if page is not None else 0
    return {"status": status, "pages": len(seen), "items": gathered.value()}


class Walk:
    """Where one page leads to. The address of the next is decided here and nowhere else."""

    def __init__(self, block: dict[str, Any]) -> None:
        self._block = block
        self._expressions = Expressions()
        ways = [way for way in WAYS if way in block]
        if len(ways) != 1:
            raise Permanent(f"tool http: `pages` has one of {', '.join(WAYS)}")
        self._way = ways[0]
        self._number = int(block.get("first", 1))

    def begin(self, url: httpx2.URL) -> httpx2.URL:
        """The address of the first page."""
        if self._way == "page":
            return url.copy_set_param(str(self._block["page"]), self._number)
        if self._way == "offset":
            return url.copy_set_param(str(self._block["offset"]), 0)
        return url

    def items(self, page: Page) -> Any:
        """The items of a page."""
        text = self._block.get("items")
        return page.body if text is None else self._said(str(text), page)

    def next(self, page: Page, here: int, so_far: int) -> httpx2.URL | None:
        """The address of the page after this one, which had ``here`` items; None at the end."""
        if self._way == "next":
            return self._told(page)
        if here == 0:
            return None
        self._number += 1
        value = self._number if self._way == "page" else so_far
        return page.url.copy_set_param(str(self._block[self._way]), value)

    def _told(self, page: Page) -> httpx2.URL | None:
        if self._block["next"] == "link":
            return page.link
        said = self._said(str(self._block["next"]), page)
        if said is None or said is False or said == "":
            return None
        if "param" in self._block:
            return page.url.copy_set_param(str(self._block["param"]), said)
        if not isinstance(said, str):
            raise Permanent(
                f"`pages.next` gave {said!r}, which is no address: name the parameter it is "
                "for in `pages.param`"
            )
        return page.url.join(said)

    def _said(self, text: str, page: Page) -> Any:
        try:
            return self._expressions.render(text, page.names)
        except ExpressionFault as fault:
            told = f"{fault.message}; {fault.hint}" if fault.hint else fault.message
            raise Permanent(f"{text} of page {page.url}: {told}") from fault
