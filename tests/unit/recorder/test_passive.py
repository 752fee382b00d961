"""Recording changes not one bit of the model while every profile is full."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch


def assert_same_bits(first: torch.nn.Module, second: torch.nn.Module) -> None:
    for (name, a), (_, b) in zip(
        first.state_dict().items(), second.state_dict().items(), strict=True
    ):
        assert torch.equal(a, b), name


def test_recorded_training_is_bit_identical(
    make_optimizer: Any, training: Any, tmp_path: Path
) -> None:
    run = training(make_optimizer, steps=20)
    assert_same_bits(run.plain(), run.recorded(tmp_path / "run"))


def test_level_decisions_is_bit_identical_too(adamw: Any, training: Any, tmp_path: Path) -> None:
    run = training(adamw, steps=20, record={"level": "decisions"})
    assert_same_bits(run.plain(), run.recorded(tmp_path / "run"))


def test_dropout_draws_the_same_numbers(adamw: Any, training: Any, tmp_path: Path) -> None:
    def model() -> torch.nn.Module:
        torch.manual_seed(1)
        return torch.nn.Sequential(
            torch.nn.Embedding(13, 6),
            torch.nn.Dropout(0.3),
            torch.nn.Linear(6, 13),
        )

    run = training(adamw, make_model=model, steps=12)
    torch.manual_seed(11)
    plain = run.plain()
    torch.manual_seed(11)
    assert_same_bits(plain, run.recorded(tmp_path / "run"))


def test_in_place_activation_behind_a_captured_layer(
    adamw: Any, training: Any, tmp_path: Path
) -> None:
    def model() -> torch.nn.Module:
        torch.manual_seed(1)
        return torch.nn.Sequential(
            torch.nn.Embedding(13, 6),
            torch.nn.Linear(6, 9),
            torch.nn.ReLU(inplace=True),
            torch.nn.Linear(9, 13),
        )

    run = training(adamw, make_model=model)
    assert_same_bits(run.plain(), run.recorded(tmp_path / "run"))
