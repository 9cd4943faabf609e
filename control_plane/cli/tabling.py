"""Tables and prose in a terminal that is too narrow for them: cells and lines go on below.

Where no person reads along (a pipe, a file) nothing is folded, so that a line stays a line.
Words are never cut: an id can be copied from wherever it stands.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence


def breadth() -> int | None:
    """Return how many columns a terminal has; None where no person reads along."""
    if not sys.stdout.isatty():
        return None
    import shutil

    return shutil.get_terminal_size().columns


def tabled(rows: Sequence[Sequence[str]], width: int | None) -> Iterator[str]:
    r"""Yield the lines of a table; in a narrow terminal cells go on below, between words.

    >>> print(*tabled([["RUN", "WHY"], ["a-1", "it was too large"]], 14), sep="\n")
    RUN  WHY
    a-1  it was
         too large
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if width is not None:
        longest = [
            max((len(word) for text in column for word in text.split()), default=0)
            for column in zip(*rows, strict=True)
        ]
        widths = _narrowed(widths, longest, width - 2 * (len(widths) - 1))
    for row in rows:
        cells = [_folded(text, least) for text, least in zip(row, widths, strict=True)]
        for number in range(max(map(len, cells), default=0)):
            parts = [cell[number] if number < len(cell) else "" for cell in cells]
            padded = (text.ljust(least) for text, least in zip(parts, widths, strict=True))
            yield "  ".join(padded).rstrip()


def _narrowed(widths: list[int], least: list[int], room: int) -> list[int]:
    """Take from the widest columns what is too much, none below its longest word."""
    found = list(widths)
    while sum(found) > room:
        wide = [i for i in range(len(found)) if found[i] > least[i]]
        if not wide:
            break
        found[max(wide, key=lambda i: found[i])] -= 1
    return found


def _folded(text: str, width: int, hanging: str = "") -> list[str]:
    if len(text) <= width:
        return [text]
    import textwrap

    return textwrap.wrap(
        text, width, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False,
        drop_whitespace=True,
    ) or [""]  # fmt: skip


def folded(text: str, width: int | None) -> list[str]:
    """Return a line of prose as the lines of a narrow terminal, those below the first set in.

    >>> folded("  note  it was too large for one change", 24)
    ['  note  it was too large', '      for one change']
    """
    if width is None:
        return [text]
    indent = len(text) - len(text.lstrip())
    return _folded(text, width, " " * (indent + 4))
