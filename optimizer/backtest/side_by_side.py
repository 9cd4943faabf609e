"""Jobs side by side: each in a process of its own, told as they end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import TypeVar

Job = TypeVar("Job")
Done = TypeVar("Done")


def side_by_side(do: Callable[[Job], Done], jobs: Sequence[Job], workers: int) -> Iterator[Done]:
    """Yield what ``do`` returns for each job, in the order of their ends; one worker is none."""
    if workers <= 1 or len(jobs) < 2:
        one_thread()
        yield from map(do, jobs)
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=one_thread) as pool:
        for future in as_completed([pool.submit(do, job) for job in jobs]):
            yield future.result()


def one_thread() -> None:
    """Let each process use one core: small matrices only lose by sharing."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)
