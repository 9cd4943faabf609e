"""Counts in words: a number with its noun, and whether it is one or many."""

from __future__ import annotations


def many(n: int, noun: str, plural: str = "") -> str:
    """Return a count with its noun.

    >>> many(1, "batch", "batches"), many(1200, "run")
    ('1 batch', '1,200 runs')
    """
    return f"1 {noun}" if n == 1 else f"{n:,} {plural or noun + 's'}"


def counted(n: int, noun: str, plural: str = "", what: str = "") -> str:
    """Say that so much is known.

    >>> counted(1, "batch", "batches", " of 25"), counted(7, "run")
    ('1 batch of 25 is known', '7 runs are known')
    """
    return f"{many(n, noun, plural)}{what} {'is' if n == 1 else 'are'} known"
