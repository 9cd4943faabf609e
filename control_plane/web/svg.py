"""Small SVG pieces, built as text with everything from outside escaped.

No inline style is ever written: colours come from classes in ``static/pages.css``, so
that a strict content policy holds and light and dark both work.

>>> tag("rect", {"x": 1, "width": 2.5, "class": "bar"})
'<rect x="1" width="2.5" class="bar"/>'
>>> tag("title", {}, text("<b>"))
'<title>&lt;b&gt;</title>'
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape


def tag(name: str, attributes: Mapping[str, object], *children: str) -> str:
    """Return an element. Children are markup already; use `text` for text."""
    written = "".join(
        f' {key}="{_value(value)}"' for key, value in attributes.items() if value is not None
    )
    if not children:
        return f"<{name}{written}/>"
    return f"<{name}{written}>{''.join(children)}</{name}>"


def text(value: object) -> str:
    """Return text that is safe as an element's content."""
    return escape(str(value))


def label(value: object, x: float, y: float, kind: str, anchor: str = "middle") -> str:
    """Return a text element at a place."""
    at = {"x": x, "y": y, "class": kind, "text-anchor": anchor}
    return tag("text", at, text(value))


def clip(value: str, length: int) -> str:
    """Shorten a text, with an ellipsis where something is missing."""
    return value if len(value) <= length else value[: length - 1] + "…"


def _value(value: object) -> str:
    return escape(
        f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
    )
