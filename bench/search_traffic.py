"""Ordinary traffic: a journal that grows by so many attempts a second, written by this process.

Runs of ten attempts, of which one in twenty fails for one of forty causes, one in ten is
retried, and one in three prints::

    python -m bench.search_traffic FOLDER/journal.db 30
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from runtime.journal.port import Append
from runtime.journal.sqlite import SqliteJournal
from runtime.run.events import (
    AttemptFinished,
    AttemptScheduled,
    Event,
    Fault,
    RunCompleted,
    RunFailed,
    RunStarted,
    RunSubmitted,
)

RATE: Final = 2_000
"""Attempts a second."""
_OF_A_RUN: Final = 10
_EVERY_S: Final = 0.05
_SAID: Final = ("read {} rows", "cache hit for part {}", "wrote {} bytes", "{} of 9000 done")


def write(journal: Path, seconds: float, rate: int = RATE) -> int:
    """Write for so long; return how many attempts were written."""
    kept, chance, runs = SqliteJournal(journal, time.time()), random.Random(4), 0
    began = time.monotonic()
    while (passed := time.monotonic() - began) < seconds:
        due = int(passed * rate / _OF_A_RUN) - runs
        if due > 0:
            at = time.time()
            kept.append(
                [Append(f"run/{runs + n:08d}", 0, at, tuple(_run(chance))) for n in range(due)]
            )
            runs += due
        time.sleep(_EVERY_S)
    kept.close()
    return runs * _OF_A_RUN


def _run(chance: random.Random) -> Iterator[Event]:
    playbook, failed = f"team{chance.randrange(20)}/book", False
    yield RunSubmitted(playbook, "v", 1, {}, "bench")
    yield RunStarted()
    for n in range(_OF_A_RUN):
        step, attempt, tries = f"step{n}", f"a{n}", 1 + (chance.random() < 0.1)
        yield AttemptScheduled(attempt, step, tries, "", attempt)
        failed = chance.random() < 0.05
        said = chance.choice(_SAID).format(chance.randrange(10**6)) if n % 3 == 0 else ""
        fault = _fault(chance) if failed else None
        yield AttemptFinished(
            attempt, step, tries, "failed" if failed else "succeeded", 3 + 2 * n, fault=fault,
            run_s=0.1, stdout=said,
        )  # fmt: skip
    if fault is not None:
        yield RunFailed(step, fault)
    else:
        yield RunCompleted()


def _fault(chance: random.Random) -> Fault:
    cause = chance.randrange(40)
    return Fault("transient", f"cause{cause}: part {chance.randrange(10**6)} did not answer")


if __name__ == "__main__":
    print(write(Path(sys.argv[1]), float(sys.argv[2])), "attempts")
