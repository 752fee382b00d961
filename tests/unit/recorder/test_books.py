"""The books of recorded runs: balanced, with every line where it belongs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import optim

import gradledger as gl
from gradledger.errors import BooksError
from gradledger.segment import read_table


def books(folder: Path) -> dict[str, Any]:
    return read_table(folder, "books").to_pydict()


@pytest.mark.parametrize(("dtype", "bar"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_every_step_balances(
    make_optimizer: Any, training: Any, tmp_path: Path, dtype: torch.dtype, bar: float
) -> None:
    run = training(make_optimizer, steps=12)
    make = run.make_model
    run.make_model = lambda: make(dtype)
    run.recorded(tmp_path / "run")
    table = books(tmp_path / "run")
    assert len(table["step"]) == 12 * 4
    assert max(table["residual_ratio"]) <= bar
    assert max(table["gap_ratio"]) <= bar
    assert min(table["delta_norm"]) > 0


def test_alignments_add_up_to_the_contributions_line(
    make_optimizer: Any, training: Any, tmp_path: Path
) -> None:
    """Two independent routes: one inner product per visit, and the booked line's own."""
    run = training(make_optimizer)
    run.recorded(tmp_path / "run")
    table, visits = books(tmp_path / "run"), read_table(tmp_path / "run", "visits").to_pydict()
    for place, (step, group) in enumerate(zip(table["step"], table["group"], strict=True)):
        rows = [row for row, number in enumerate(visits["step"]) if number == step]
        entries = sum(visits[f"align_{group}"][row] for row in rows)
        size = sum(abs(visits[f"align_{group}"][row]) for row in rows)
        line = table["accrued_contributions_dot"][place]
        assert entries == pytest.approx(line, abs=1e-5 * size + 1e-12)
        cash = table["contributions_dot"][place]
        assert table["cash_factor"][place] * entries == pytest.approx(cash, abs=1e-5 * size + 1e-12)


def test_cash_lines_add_up_to_the_delta(make_optimizer: Any, training: Any, tmp_path: Path) -> None:
    run = training(make_optimizer)
    run.recorded(tmp_path / "run")
    table = books(tmp_path / "run")
    for place, norm in enumerate(table["delta_norm"]):
        for lines in (gl_lines("cash"), gl_lines("accrual")):
            dots = [table[f"{line}_dot"][place] for line in lines]
            size = sum(abs(dot) for dot in dots)
            assert sum(dots) == pytest.approx(norm**2, abs=1e-5 * size)


def gl_lines(basis: str) -> tuple[str, ...]:
    from gradledger.schema import ACCRUAL_LINES, CASH_LINES

    return CASH_LINES if basis == "cash" else ACCRUAL_LINES


def test_gradient_norms_are_those_of_single_examples(
    adamw: Any, training: Any, tmp_path: Path
) -> None:
    """One visit at a time through plain autograd gives the booked norms."""
    run = training(adamw, steps=1)
    run.recorded(tmp_path / "run")
    model, _ = run.build()
    tokens = run.data().tensors[0]
    visits = read_table(tmp_path / "run", "visits").to_pydict()
    groups = json.loads((tmp_path / "run" / "run.json").read_text())["groups"]
    for row, example in enumerate(visits["example"]):
        model.zero_grad()
        (run.loss(model, tokens[example : example + 1]).sum() / run.batch).backward()
        for group in groups:
            square = sum(
                float(model.get_parameter(tensor["name"]).grad.double().square().sum())
                for tensor in group["tensors"]
            )
            assert visits[f"gnorm_{group['group']}"][row] == pytest.approx(square**0.5, rel=1e-4)


def test_accumulation_books_all_micro_batches(adamw: Any, training: Any, tmp_path: Path) -> None:
    run = training(adamw)
    model, optimizer = run.build()
    recorder = gl.record(tmp_path / "run", model, optimizer, on_imbalance="strict")
    batches = recorder.batches(run.loader(recorder.admit(run.data())))
    with recorder, recorder.step() as step:
        for _ in range(3):
            batch = next(batches)
            with step.micro_batch(batch):
                (run.loss(model, batch[0]).mean() / 3).backward()
        optimizer.step()
    visits = read_table(tmp_path / "run", "visits").to_pydict()
    assert visits["micro_batch"] == [0] * 4 + [1] * 4 + [2] * 4
    assert visits["position"] == [0, 1, 2, 3] * 3
    assert sorted(visits["example"]) == list(range(12))
    assert max(books(tmp_path / "run")["residual_ratio"]) < 1e-5


def test_noise_on_the_gradient_is_an_edit(adamw: Any, training: Any, tmp_path: Path) -> None:
    run = training(adamw, steps=2, clip=None)

    def update(model: Any, optimizer: Any, tokens: Any) -> None:
        run.loss(model, tokens).mean().backward()
        for value in model.parameters():
            value.grad.add_(0.01 * torch.ones_like(value))
        optimizer.step()
        optimizer.zero_grad()

    run.update = update
    run.recorded(tmp_path / "run")
    table = books(tmp_path / "run")
    assert min(table["edits_norm"]) > 0
    assert max(table["residual_ratio"]) < 1e-5
    assert max(table["gap_ratio"]) < 1e-5


def test_strict_stops_when_a_parameter_is_changed_inside_the_step(
    adamw: Any, training: Any, tmp_path: Path
) -> None:
    run = training(adamw, steps=1)
    model, optimizer = run.build()
    optimizer.register_step_post_hook(lambda *_: None)
    recorder = gl.record(tmp_path / "run", model, optimizer, on_imbalance="strict")
    batch = next(recorder.batches(run.loader(recorder.admit(run.data()))))
    original = optimizer.state

    def meddle(*_: Any) -> None:
        with torch.no_grad():
            model[1].weight.mul_(1.01)

    # A hook that runs between our snapshot and our reading of the result.
    optimizer._optimizer_step_pre_hooks[10**6] = meddle
    with pytest.raises(BooksError) as caught, recorder, recorder.step(batch):
        run.update(model, optimizer, batch[0])
    assert caught.value.code == "B101"
    assert original is optimizer.state
    # What was observed is on disk all the same.
    verdicts = dict(
        zip(books(tmp_path / "run")["group"], books(tmp_path / "run")["verdict"], strict=True)
    )
    assert verdicts[1] == "unbalanced"
    assert not (tmp_path / "run" / "end.json").exists()


def test_strict_notices_a_change_between_steps(adamw: Any, training: Any, tmp_path: Path) -> None:
    run = training(adamw)
    model, optimizer = run.build()

    def train() -> None:
        with gl.record(tmp_path / "run", model, optimizer, on_imbalance="strict") as recorder:
            for batch in recorder.batches(run.loader(recorder.admit(run.data()))):
                with recorder.step(batch):
                    run.update(model, optimizer, batch[0])
                model[0].weight.data[0, 0] += 1e-7

    with pytest.raises(BooksError) as caught:
        train()
    assert caught.value.code == "B102"


@pytest.mark.parametrize("place", ["parameter", "parameter data", "optimizer state"])
def test_light_level_notices_a_change_between_steps(
    place: str, adamw: Any, training: Any, tmp_path: Path
) -> None:
    run = training(adamw)
    model, optimizer = run.build()
    batch = {"x": torch.stack([item[0] for item in run.data()][:4])}

    def train() -> None:
        strict = {"level": "decisions", "on_imbalance": "strict"}
        with gl.record(tmp_path / "run", model, optimizer, **strict) as recorder:
            recorder.admit([{"x": row} for row in batch["x"]])
            for number in range(20):
                with recorder.step(batch, examples=range(4)):
                    run.update(model, optimizer, batch["x"])
                weight = model[0].weight
                changed = {
                    "parameter": weight.detach(),
                    "parameter data": weight.data,
                    "optimizer state": optimizer.state[weight]["exp_avg"],
                }[place]
                if number == 2:
                    changed[0, 0] += 1e-7

    with pytest.raises(BooksError) as caught:
        train()
    assert caught.value.code == "B102"
    assert caught.value.where == "step 4"


def test_unattributed_tensors_are_booked_and_named(
    adamw: Any, training: Any, tmp_path: Path
) -> None:
    run = training(adamw, record={"unattributed": ["1.*"]})
    run.recorded(tmp_path / "run")
    begin = json.loads((tmp_path / "run" / "run.json").read_text())
    assert [name for name, _ in begin["coverage"]["unattributed"]] == ["1.weight", "1.bias"]
    table = books(tmp_path / "run")
    rows = [row for row, group in enumerate(table["group"]) if group == 1]
    assert min(table["unattributed_norm"][row] for row in rows) > 0
    assert max(table["contributions_norm"][row] for row in rows) == 0
    assert max(table["residual_ratio"]) < 1e-5


def test_several_param_groups_and_a_schedule(training: Any, tmp_path: Path) -> None:
    def make(parameters: list[torch.nn.Parameter]) -> optim.Optimizer:
        return optim.AdamW(
            [
                {"params": [p for p in parameters if p.dim() > 1], "weight_decay": 0.1},
                {"params": [p for p in parameters if p.dim() == 1], "weight_decay": 0.0},
            ],
            lr=1e-2,
        )

    run = training(make, steps=8)
    plain_update = run.update

    def update(model: Any, optimizer: Any, tokens: Any) -> None:
        plain_update(model, optimizer, tokens)
        for group in optimizer.param_groups:
            group["lr"] *= 0.9

    run.update = update
    run.recorded(tmp_path / "run")
    table = books(tmp_path / "run")
    first = [row for row, group in enumerate(table["group"]) if group == 1]
    rates = np.asarray(table["learning_rate"])[first]
    assert np.allclose(rates, 1e-2 * 0.9 ** np.arange(8))
    assert max(table["residual_ratio"]) < 1e-5
    assert isinstance(read_table(tmp_path / "run", "steps"), pa.Table)
