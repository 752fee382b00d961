"""Work that is shared is done once, whatever threads serve, and its errors arrive."""

from __future__ import annotations

import multiprocessing
import threading
import time
from functools import partial

import pytest
import torch

from gradledger.native import share, team


@pytest.fixture(params=["openmp", "own"])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Threads that serve: OpenMP's, or those of an executor."""
    torch.zeros(1)
    if request.param == "own":
        monkeypatch.setattr(team, "_entry", lambda _has_torch: None)
    elif team._entry(True) is None:
        pytest.skip("no OpenMP runtime with GOMP_parallel is loaded")
    return request.param


@pytest.mark.parametrize("num_threads", [1, 2, 5])
@pytest.mark.parametrize("num_jobs", [0, 1, 2, 40])
def test_every_job_once_and_in_place(threads: str, num_threads: int, num_jobs: int) -> None:
    calls: list[int] = []

    def job(place: int) -> int:
        calls.append(place)
        return place * place

    jobs = [partial(job, place) for place in range(num_jobs)]
    assert share(jobs, num_threads) == [place * place for place in range(num_jobs)]
    assert sorted(calls) == list(range(num_jobs))


def test_two_threads_are_at_work_at_once(threads: str) -> None:
    meeting = threading.Barrier(2, timeout=20)

    def job() -> int:
        meeting.wait()
        return threading.get_ident()

    assert len(set(share([job, job], 2))) == 2


def test_shared_work_inside_shared_work_is_done_alone(threads: str) -> None:
    def inner() -> int:
        return threading.get_ident()

    def outer() -> bool:
        return set(share([inner] * 3, 2)) == {threading.get_ident()}

    assert share([outer] * 4, 2) == [True] * 4
    assert len(share([inner] * 4, 2)) == 4


@pytest.mark.parametrize("kind", [ValueError, IndexError, KeyboardInterrupt])
def test_an_error_of_a_job_arrives_and_ends_the_work(
    threads: str, kind: type[BaseException]
) -> None:
    done: list[int] = []

    def job(place: int) -> None:
        if place == 3:
            raise kind("the third")
        time.sleep(0.005)
        done.append(place)

    with pytest.raises(kind, match="the third"):
        share([partial(job, place) for place in range(200)], 2)
    assert len(done) < 100
    assert share([lambda: 1, lambda: 2], 2) == [1, 2]


def _in_child(into: multiprocessing.SimpleQueue[list[int]]) -> None:
    into.put(share([lambda: 1, lambda: 2, lambda: 3], 2))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork")
def test_a_forked_process_has_threads_of_its_own(threads: str) -> None:
    assert share([lambda: 0, lambda: 0], 2) == [0, 0]
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=_in_child, args=(queue,))
    child.start()
    child.join(30)
    assert child.exitcode == 0
    assert queue.get() == [1, 2, 3]
