"""Groups booked by several threads: the same books, errors passed on, settings left alone."""

from __future__ import annotations

import multiprocessing
import threading

import pytest
import torch

import gradledger as gl
from gradledger.recorder import crew


def books(folder) -> tuple[list[dict], list[torch.Tensor]]:
    """Train three steps and return what was booked, and the weights."""
    torch.manual_seed(0)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        model = torch.nn.Sequential(
            torch.nn.Linear(24, 96), torch.nn.GELU(), torch.nn.LayerNorm(96), torch.nn.Linear(96, 8)
        )
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        rows = [{"x": torch.randn(24)} for _ in range(6)]
        with gl.record(folder, model, optimizer) as run:
            run.admit(rows)
            batch = {"x": torch.stack([row["x"] for row in rows])}
            for _ in range(3):
                with run.step(batch, examples=range(6)):
                    model(batch["x"]).square().sum(1).mean().backward()
                    optimizer.step()
                    optimizer.zero_grad()
        with gl.open(folder) as ledger:
            found = ledger.books(by="group").rows
        return found, [value.detach().clone() for value in model.parameters()]
    finally:
        torch.set_num_threads(before)


def test_the_books_are_those_of_one_thread(monkeypatch, tmp_path):
    monkeypatch.setattr(crew, "LEAST_ELEMENTS", 1)
    seen = set()
    work = crew._crew

    def watched(*args: int):
        seen.add(args[0])
        return work(*args)

    monkeypatch.setattr(crew, "_crew", watched)
    several, weights = books(tmp_path / "several")
    assert seen == {2}
    monkeypatch.setattr(crew, "LEAST_ELEMENTS", 1 << 60)
    alone, same = books(tmp_path / "alone")
    assert len(several) == len(alone) > 0
    for first, second in zip(several, alone, strict=True):
        assert first.keys() == second.keys()
        for name, value in first.items():
            if isinstance(value, float):
                assert value == pytest.approx(second[name], rel=1e-4, abs=1e-7), name
            else:
                assert value == second[name], name
    assert all(torch.equal(a, b) for a, b in zip(weights, same, strict=True))


def test_results_come_in_order_and_large_jobs_first(monkeypatch):
    monkeypatch.setattr(crew, "LEAST_ELEMENTS", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    begun: list[int] = []
    names: set[str] = set()

    def job(place: int):
        def run() -> int:
            begun.append(place)
            names.add(threading.current_thread().name)
            assert not torch.is_grad_enabled()
            return place

        return run

    sizes = [3, 9, 1, 7, 5]
    assert crew.work_together([job(place) for place in range(5)], sizes) == [0, 1, 2, 3, 4]
    assert begun[0] == 1
    assert all(name.startswith("gradledger-crew") for name in names)


def test_an_error_comes_through_and_nothing_hangs(monkeypatch):
    monkeypatch.setattr(crew, "LEAST_ELEMENTS", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)

    def fail() -> int:
        raise ValueError("of a job")

    with pytest.raises(ValueError, match="of a job"):
        crew.work_together([fail, fail, fail, lambda: 1], [1, 1, 1, 1])
    assert crew.work_together([lambda: 1, lambda: 2], [1, 1]) == [1, 2]


def test_training_keeps_its_number_of_threads(monkeypatch):
    monkeypatch.setattr(crew, "LEAST_ELEMENTS", 1)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        crew._crew.cache_clear()
        seen = crew.work_together([torch.get_num_threads, torch.get_num_threads], [1, 1])
        assert seen == [1, 1]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
        crew._crew.cache_clear()


def test_small_models_and_autocast_need_no_crew(monkeypatch):
    monkeypatch.setattr(crew, "_crew", None)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert crew.work_together([lambda: 1, lambda: 2], [10, 10]) == [1, 2]
    with torch.autocast("cpu", torch.bfloat16):
        assert crew.work_together([lambda: 1, lambda: 2], [1 << 20, 1 << 20]) == [1, 2]


def _in_a_fork(answer) -> None:
    crew.LEAST_ELEMENTS = 1
    answer.send(crew.work_together([lambda: 1, lambda: 2], [1, 1]))


def test_a_forked_process_has_a_crew_of_its_own(monkeypatch):
    monkeypatch.setattr(crew, "LEAST_ELEMENTS", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    crew.work_together([lambda: 1, lambda: 2], [1, 1])
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=_in_a_fork, args=(there,))
    process.start()
    try:
        assert here.poll(30)
        assert here.recv() == [1, 2]
    finally:
        process.kill()
        process.join()
