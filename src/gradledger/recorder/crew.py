"""A crew of threads that books several groups at once, each with one thread of its own.

The books of a tensor are many short operations. Split over the processor's cores one by one, cores
wait for each other and for Python between any two of them, and rows that one core formed are read
by another. One tensor per core has none of that.

The threads are apart from those of training, whose settings stay as they are.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Final, TypeVar

import torch

from gradledger.native import take_turns

#: Threads beyond which one tensor each leaves too many idle while the largest is at work.
MOST_THREADS: Final = 8
#: Elements of all tensors together from which on a crew pays.
LEAST_ELEMENTS: Final = 1 << 18

_T = TypeVar("_T")


def work_together(jobs: Sequence[Callable[[], _T]], sizes: Sequence[int]) -> list[_T]:
    """Run jobs without gradients, large ones first, and return what they gave, in their order.

    Args:
        jobs: They touch nothing in common that any of them writes, and only tensors on the CPU.
        sizes: Elements that each job goes over.
    """
    threads = min(torch.get_num_threads(), MOST_THREADS, len(jobs))
    alone = threads < 2 or sum(sizes) < LEAST_ELEMENTS  # noqa: PLR2004 - fewer than two
    if alone or torch.is_autocast_enabled("cpu"):
        with torch.no_grad():
            return [job() for job in jobs]
    crew = _crew(threads, torch.get_num_threads(), os.getpid())

    def start(work: Callable[..., None]) -> None:
        for pending in [crew.submit(torch.no_grad()(work)) for _ in range(threads)]:
            pending.result()

    return take_turns(jobs, sizes, start)


@lru_cache(maxsize=2)
def _crew(threads: int, in_all: int, _process: int) -> ThreadPoolExecutor:
    """Return threads that share the cores; a process that was forked needs its own."""
    each = in_all // threads
    crew = ThreadPoolExecutor(
        threads, "gradledger-crew", initializer=torch.set_num_threads, initargs=(each,)
    )
    # Each sets its own number and that of threads yet to come, which is put right here.
    for pending in [crew.submit(torch.get_num_threads) for _ in range(threads)]:
        pending.result()
    torch.set_num_threads(in_all)
    return crew
