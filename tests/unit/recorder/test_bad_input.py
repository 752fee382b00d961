"""What cannot be booked is refused before any damage, with a code and one next step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn, optim
from torch.utils.data import DataLoader

import gradledger as gl
from gradledger.errors import (
    GradientError,
    GradledgerError,
    InputError,
    StorageError,
    UpdateError,
)
from gradledger.segment import read_table


class Bench:
    """A recorder on a small model, with one admitted batch at hand."""

    def __init__(self, training: Any, folder: Path, **record: Any) -> None:
        self.run = training(lambda p: optim.AdamW(p, lr=1e-2))
        self.model, self.optimizer = self.run.build()
        self.folder = folder
        self.recorder = gl.record(folder, self.model, self.optimizer, **record)
        self.before = [value.detach().clone() for value in self.model.parameters()]

    def first(self) -> Any:
        loader = self.run.loader(self.recorder.admit(self.run.data()))
        return next(iter(self.recorder.batches(loader)))

    def untouched(self) -> bool:
        return all(
            torch.equal(a, b) for a, b in zip(self.before, self.model.parameters(), strict=True)
        )

    def refuses(self, kind: type[GradledgerError], code: str, action: Callable[[], Any]) -> None:
        with pytest.raises(kind) as caught:
            action()
        assert caught.value.code == code
        assert caught.value.observed
        assert caught.value.expected
        assert self.untouched()


@pytest.fixture
def bench(training: Any, tmp_path: Path) -> Bench:
    """A fresh recorder."""
    return Bench(training, tmp_path / "run")


def test_ids_that_were_never_admitted(bench: Bench) -> None:
    batch = bench.first()
    bench.refuses(
        InputError, "I101", lambda: bench.recorder.step(batch, examples=[0, 1, 2, 99]).__enter__()
    )
    bench.refuses(
        InputError, "I101", lambda: bench.recorder.step(batch, examples=["a" * 32] * 4).__enter__()
    )


def test_a_loader_over_other_data(bench: Bench) -> None:
    bench.recorder.admit(bench.run.data())
    loader = DataLoader(bench.run.data(), batch_size=4)
    bench.refuses(InputError, "I101", lambda: next(iter(bench.recorder.batches(loader))))


def test_a_batch_that_does_not_match_its_examples(bench: Bench) -> None:
    batch = bench.first()
    order = [int(i) for i in bench.recorder.examples_of(batch, None, "")]
    swapped = [order[1], order[0], *order[2:]]
    bench.refuses(
        InputError, "I102", lambda: bench.recorder.step(batch, examples=swapped).__enter__()
    )
    bench.refuses(
        InputError, "I102", lambda: bench.recorder.step(batch, examples=order[:3]).__enter__()
    )
    batch[0][0, 0] = (batch[0][0, 0] + 1) % 13
    bench.refuses(InputError, "I102", lambda: bench.recorder.step(batch).__enter__())


def test_a_batch_from_elsewhere(bench: Bench) -> None:
    batch = bench.first()
    bench.refuses(InputError, "I105", lambda: bench.recorder.step([batch[0].clone()]).__enter__())


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        ({"source": ["a"] * 11}, "11 rows"),
        ({"example": ["a"] * 12}, "example"),
        ({"odd": [[1]] * 12}, "odd"),
        (7, "int"),
    ],
)
def test_metadata_that_does_not_fit(bench: Bench, metadata: Any, told: str) -> None:
    with pytest.raises(InputError) as caught:
        bench.recorder.admit(bench.run.data(), metadata)
    assert caught.value.code == "I103"
    assert told in caught.value.observed


@pytest.mark.parametrize("setting", [{"level": "all"}, {"on_imbalance": "ignore"}])
def test_settings_that_are_not_allowed(
    training: Any, tmp_path: Path, setting: dict[str, str]
) -> None:
    with pytest.raises(InputError) as caught:
        Bench(training, tmp_path / "run", **setting)
    assert caught.value.code == "I104"
    assert not (tmp_path / "run").exists()


def test_an_existing_run_is_never_overwritten(bench: Bench, training: Any) -> None:
    with pytest.raises(StorageError) as caught:
        Bench(training, bench.folder)
    assert caught.value.code == "S101"


def test_a_step_inside_a_step_and_after_the_close(bench: Bench) -> None:
    batch = bench.first()
    with pytest.raises(InputError) as caught, bench.recorder.step(batch):
        bench.recorder.step(batch).__enter__()
    assert caught.value.code == "I106"
    bench.recorder.close()
    bench.refuses(InputError, "I106", lambda: bench.recorder.step(batch).__enter__())


def test_updates_outside_a_step_or_twice_in_one(bench: Bench) -> None:
    batch = bench.first()
    bench.run.loss(bench.model, batch[0]).mean().backward()
    bench.refuses(InputError, "I107", bench.optimizer.step)
    bench.optimizer.zero_grad()

    def update_twice() -> None:
        with bench.recorder.step(batch):
            bench.run.loss(bench.model, batch[0]).mean().backward()
            bench.optimizer.step()
            bench.optimizer.step()

    with pytest.raises(InputError) as caught:
        update_twice()
    assert caught.value.code == "I107"


def test_closures(bench: Bench) -> None:
    batch = bench.first()

    def act() -> None:
        with bench.recorder.step(batch):
            bench.optimizer.step(lambda: bench.run.loss(bench.model, batch[0]).mean())

    bench.refuses(InputError, "I108", act)


def test_an_optimizer_of_another_model(training: Any, tmp_path: Path) -> None:
    run = training(lambda p: optim.SGD([*p, nn.Parameter(torch.zeros(2))], lr=0.1))
    model, optimizer = run.build()
    with pytest.raises(InputError) as caught:
        gl.record(tmp_path / "run", model, optimizer)
    assert caught.value.code == "I109"


def test_loaders_without_a_batch_sampler(bench: Bench) -> None:
    admitted = bench.recorder.admit(bench.run.data())
    loader = DataLoader(admitted, batch_size=None)
    bench.refuses(InputError, "I110", lambda: next(iter(bench.recorder.batches(loader))))


def test_gradients_left_from_before(bench: Bench) -> None:
    batch = bench.first()
    bench.run.loss(bench.model, batch[0]).mean().backward()
    bench.refuses(InputError, "I111", lambda: bench.recorder.step(batch).__enter__())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_gradients_that_are_not_finite(bench: Bench, value: float) -> None:
    batch = bench.first()

    def act() -> None:
        with bench.recorder.step(batch):
            (bench.run.loss(bench.model, batch[0]).mean() * value).backward()
            bench.optimizer.step()

    bench.refuses(GradientError, "G103", act)
    # The loop may go on with the next batch.
    bench.optimizer.zero_grad()
    with bench.recorder.step(batch):
        bench.run.update(bench.model, bench.optimizer, batch[0])
    bench.recorder.close()
    assert read_table(bench.folder, "steps")["step"].to_pylist() == [1]


@pytest.mark.parametrize("kind", [optim.Rprop, optim.ASGD])
def test_optimizers_that_cannot_be_booked(training: Any, tmp_path: Path, kind: Any) -> None:
    run = training(lambda p: kind(p, lr=1e-3))
    model, optimizer = run.build()
    with pytest.raises(UpdateError) as caught:
        gl.record(tmp_path / "run", model, optimizer)
    assert caught.value.code == "U101"
    assert "AdamW" in caught.value.expected
    assert not (tmp_path / "run").exists()


def test_rows_that_are_not_the_first_axis(training: Any, tmp_path: Path) -> None:
    """A sequence-first model: sums would balance, rows would be attributed to the wrong visit."""

    class SequenceFirst(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.out = nn.Embedding(13, 6), nn.Linear(6, 13)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.out(self.table(x).transpose(0, 1)).transpose(0, 1)
            return result

    run = training(lambda p: optim.SGD(p, lr=0.1), make_model=SequenceFirst, batch=6)
    with pytest.raises(GradientError) as caught:
        run.recorded(tmp_path / "run")
    assert caught.value.code == "G107"


def test_rows_that_a_module_drops(training: Any, tmp_path: Path) -> None:
    class Drops(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.out = nn.Embedding(13, 6), nn.Linear(6, 13)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            hidden = self.table(x)
            return hidden.sum() + self.out(hidden[:3]).sum() + torch.zeros(4, 6, 13)

    run = training(lambda p: optim.SGD(p, lr=0.1), make_model=Drops)
    with pytest.raises(GradientError) as caught:
        run.recorded(tmp_path / "run")
    assert caught.value.code == "G101"


def test_an_input_that_is_changed_in_place(training: Any, tmp_path: Path) -> None:
    class InPlace(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.out = nn.Embedding(13, 6), nn.Linear(6, 13)
            self.shift = Shift()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            hidden = self.table(x) * 1.0
            shifted = self.shift(hidden)
            hidden.add_(1.0)
            return self.out(shifted + hidden)

    class Shift(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.value = nn.Parameter(torch.ones(6))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.value

    run = training(lambda p: optim.SGD(p, lr=0.1), make_model=InPlace)
    with pytest.raises(GradientError) as caught:
        run.recorded(tmp_path / "run")
    assert caught.value.code == "G106"


def test_coupled_rows_can_be_accepted_by_name(training: Any, tmp_path: Path) -> None:
    class Normed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.norm, self.out = (
                nn.Embedding(13, 6),
                nn.BatchNorm1d(6),
                nn.Linear(6, 13),
            )

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.out(self.norm(self.table(x).transpose(1, 2)).transpose(1, 2))

    run = training(
        lambda p: optim.SGD(p, lr=0.1), make_model=Normed, record={"accept_coupled": True}
    )
    run.recorded(tmp_path / "run")
    steps = read_table(tmp_path / "run", "steps").to_pydict()
    assert all(steps["coupled"])
