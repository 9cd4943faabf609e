"""Chance for the optimizer: the same seed draws the same, and nothing is kept secret by it."""

from __future__ import annotations

import random


def seeded(seed: int | str | None) -> random.Random:
    """Return the chance of a seed.

    >>> seeded(7).random() == seeded(7).random()
    True
    """
    return random.Random(seed)  # noqa: S311 - it draws, it does not guard
