"""What holds for every test: a busy machine fails none of them, and two runs try the same.

Property tests try the same examples until they are changed, so a red build says something
about the change. ``pytest --hypothesis-profile exploring`` looks for new ones. The many
processes that the tests start read modules that were compiled once, on any machine.
"""

from __future__ import annotations

import os
import sys

from hypothesis import settings

# a server that compiles all that it imports starts in 2.6 s of CPU instead of 1.1 s
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

settings.register_profile("patient", deadline=None, derandomize=True)
settings.register_profile("exploring", deadline=None, max_examples=1_000)
settings.load_profile("patient")
