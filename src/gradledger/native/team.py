"""Work shared by several threads: those that torch keeps, where they can be called.

For up to some ten milliseconds after each of torch's operations its threads wait for the next one
awake, and keep their cores busy with that. A thread of ours, started then, gets half of a core. So
we hand work to the very threads that wait: OpenMP's, through the entry that compilers call
(``GOMP_parallel``; libgomp and LLVM's runtime both have it). Where there is none, threads of our
own serve. What is computed does not depend on it.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, Final, TypeVar

_T = TypeVar("_T")
_Work: Final = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_INSIDE: Final = threading.local()
#: Processes that were forked have none of the threads of the one before.
_FORKED: Final[list[bool]] = []

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _FORKED.append(True))


def share(
    jobs: Sequence[Callable[[], _T]], num_threads: int, sizes: Sequence[int] = ()
) -> list[_T]:
    """Run jobs, several at once, and return what they gave, in their order.

    Jobs that share work themselves do it alone.

    Args:
        jobs: They touch nothing in common that any of them writes.
        num_threads: Threads, that of the caller included.
        sizes: How much each has to do: large ones begin first. None for their order.
    """
    if num_threads == 1 or len(jobs) <= 1 or getattr(_INSIDE, "value", False):
        return [job() for job in jobs]
    threads = min(num_threads, len(jobs))
    return take_turns(jobs, sizes, lambda work: _run(work, threads))


def take_turns(
    jobs: Sequence[Callable[[], _T]],
    sizes: Sequence[int],
    start: Callable[[Callable[..., None]], None],
) -> list[_T]:
    """Run jobs in whatever threads ``start`` calls, and return what they gave, in their order.

    Args:
        jobs: See ``share``.
        sizes: Likewise.
        start: Calls what it is given in each of some threads, and returns when all have returned.
    """
    places = range(len(jobs))
    waiting = deque(sorted(places, key=lambda place: -sizes[place]) if sizes else places)
    found: dict[int, _T] = {}
    failed: list[BaseException] = []

    def work(_: object = None) -> None:
        _INSIDE.value = True
        try:
            while not failed and (place := _next(waiting)) is not None:
                found[place] = jobs[place]()
        except BaseException as error:  # noqa: BLE001 - raised again by the caller's thread
            failed.append(error)
        finally:
            _INSIDE.value = False

    start(work)
    if failed:
        raise failed[0]
    return [found[place] for place in places]


def _next(waiting: deque[int]) -> int | None:
    try:
        return waiting.popleft()
    except IndexError:
        return None


def _run(work: Callable[..., None], num_threads: int) -> None:
    """Call work once in each of some threads, that of the caller included."""
    parallel = None if _FORKED else _entry("torch" in sys.modules)
    if parallel is not None:
        parallel(_Work(work), None, ctypes.c_uint(num_threads), ctypes.c_uint(0))
        return
    others = _threads(num_threads - 1, os.getpid())
    pending = [others.submit(work) for _ in range(num_threads - 1)]
    work()
    for other in pending:
        other.result()


@cache
def _entry(_has_torch: bool) -> Any:  # noqa: FBT001 - what the answer depends on
    """Return the entry of the OpenMP runtime that this process has loaded; None without one."""
    try:
        found = ctypes.CDLL(None).GOMP_parallel
    except (AttributeError, OSError, TypeError):
        return None
    found.restype, found.argtypes = None, (_Work, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
    return found


@cache
def _threads(num_threads: int, _process: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(num_threads, thread_name_prefix="gradledger-team")
