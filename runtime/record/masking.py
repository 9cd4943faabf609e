"""Masking: two texts that differ in ids, numbers, times or addresses alone become one.

Used where texts are compared or embedded, so that a thousand failures of one cause are
one text. The number of an HTTP error, a signal or an exit is a cause and stays.

>>> mask("patient 1742 of run 0193f0c2a1b24c5d8e9f00112233abcd: timeout after 30.5 s")
'patient <n> of run <id>: timeout after <n> s'
>>> mask("try 3: the service answered 503")
'try <n>: the service answered 503'
>>> mask("Client error '403 Forbidden' for part 7")
"Client error '403 Forbidden' for part <n>"
"""

from __future__ import annotations

import re
from typing import Final

HTTP: Final = (
    r"\b(?:answered|https?(?:/\d(?:\.\d)?)?|status(?: code)?"
    r"|(?:http|client|server|returned) error)[ :='\"]{1,3}([45]\d\d)\b(?![.:]\d)"
)
_KEPT: Final = rf"{HTTP}|\b(?:errno|signal|exit (?:code|status))[ :=]{{1,2}}\d{{1,3}}\b(?![.:]\d)"
_NUMBER: Final = r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?!\w)|\d{3,}"
_RULES: Final = (
    (
        "-",
        re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?(Z|[+-]\d\d:?\d\d)?"),
        "<time>",
    ),
    ("-", re.compile(r"\b[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"), "<id>"),
    ("", re.compile(r"\b(?=[0-9a-fA-F]*\d)[0-9a-fA-F]{12,}\b"), "<id>"),
    ("0x", re.compile(r"\b0x[0-9a-fA-F]+\b"), "<addr>"),
    ("tmp", re.compile(r"(?:/[\w.-]+)*/tmp[a-z0-9_]{8}\b"), "<tmp>"),
)
"""What a text must hold for a pattern to fit, the pattern, and what is put in its place."""
_NUMBERS: Final = re.compile(f"({_KEPT})|{_NUMBER}", re.IGNORECASE)
LIMIT: Final = 1_000
"""Longest text kept, in characters."""


def mask(text: str) -> str:
    """Return the text with what varies between occurrences taken out, cut to `LIMIT`."""
    text = text[: 4 * LIMIT]
    for needed, pattern, put in _RULES:
        if needed in text:  # every line that is printed comes by here
            text = pattern.sub(put, text)
    text = _NUMBERS.sub(lambda found: found[1] or "<n>", text)
    return " ".join(text.split())[:LIMIT]
