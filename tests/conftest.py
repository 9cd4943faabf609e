"""What holds for every test: a busy machine fails none of them, and two runs try the same.

Property tests try the same examples until they are changed, so a red build says something
about the change. ``pytest --hypothesis-profile exploring`` looks for new ones.
"""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("patient", deadline=None, derandomize=True)
settings.register_profile("exploring", deadline=None, max_examples=1_000)
settings.load_profile("patient")
