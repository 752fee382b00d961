"""Hugging Face Trainer: a recorded run is the unrecorded run, and its books balance."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
from tiny import Tokens, assert_booked, assert_same_bits, llama, pad
from transformers import Trainer, TrainerCallback, TrainingArguments

from gradledger.errors import GradledgerError
from gradledger.integrations.huggingface import LedgerMixin, LedgerTrainer
from gradledger.segment import read_table

pytestmark = pytest.mark.filterwarnings("ignore")  # Of the framework: none of ours.


def arguments(folder: Path, **options: Any) -> TrainingArguments:
    given = {
        "num_train_epochs": 2,
        "per_device_train_batch_size": 3,
        "learning_rate": 1e-2,
        "logging_steps": 1,
        "report_to": [],
        "save_strategy": "no",
        "disable_tqdm": True,
        "use_cpu": True,
        "seed": 3,
    }
    return TrainingArguments(str(folder), **{**given, **options})


def recorded(folder: Path, **options: Any) -> LedgerTrainer:
    trainer = LedgerTrainer(
        llama(),
        arguments(folder / "out", **options),
        train_dataset=Tokens(),
        data_collator=pad,
        run_dir=folder / "run",
        metadata={"source": ["a", "b"] * 6},
        ledger={"on_imbalance": "strict"},
    )
    trainer.train()
    return trainer


def plain(folder: Path, **options: Any) -> Trainer:
    trainer = Trainer(
        llama(),
        arguments(folder / "plain", **options),
        train_dataset=Tokens(),
        data_collator=pad,
    )
    trainer.train()
    return trainer


@pytest.mark.parametrize(
    ("options", "num_steps"),
    [
        ({}, 8),
        ({"gradient_accumulation_steps": 2, "max_grad_norm": 0.1}, 4),
        ({"gradient_accumulation_steps": 3, "lr_scheduler_type": "cosine"}, 4),
        ({"gradient_checkpointing": True, "optim": "sgd"}, 8),
        ({"bf16": True}, 8),
        ({"dataloader_num_workers": 1, "train_sampling_strategy": "group_by_length"}, 8),
    ],
    ids=["usual", "accumulated", "uneven", "checkpointed", "bf16", "workers"],
)
def test_training_is_recorded_and_left_alone(
    tmp_path: Path, options: dict[str, Any], num_steps: int
) -> None:
    first, second = recorded(tmp_path, **options), plain(tmp_path, **options)
    assert_same_bits(first.model, second.model)
    assert_booked(tmp_path / "run", num_steps, 24)
    visits = read_table(tmp_path / "run", "visits").to_pydict()
    assert sorted(visits["example"]) == sorted([*range(12), *range(12)])


def test_scalars_of_the_books_go_to_the_trainers_log(tmp_path: Path) -> None:
    history = recorded(tmp_path).state.log_history
    logged = [entry for entry in history if "loss" in entry]
    assert len(logged) == 8
    books = read_table(tmp_path / "run", "books").to_pydict()
    for entry in logged:
        rows = [n for n, step in enumerate(books["step"]) if step == entry["gradledger/steps"]]
        square = sum(books["delta_norm"][row] ** 2 for row in rows)
        assert entry["gradledger/delta_norm"] == pytest.approx(square**0.5)
        names = ("visits", "history", "decay", "edits", "unattributed", "rounding")
        total = sum(entry[f"gradledger/{name}"] for name in names)
        assert total == pytest.approx(1.0, abs=1e-4)


def test_a_trainer_of_ones_own_is_mixed_in(tmp_path: Path) -> None:
    class Weighted(Trainer):
        def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            return super().compute_loss(model, inputs, *args, **kwargs) * 0.5

    class Mine(LedgerMixin, Weighted):
        pass

    trainer = Mine(
        llama(),
        arguments(tmp_path / "out", max_steps=2),
        train_dataset=Tokens(),
        data_collator=pad,
        run_dir=tmp_path / "run",
    )
    trainer.train()
    assert_booked(tmp_path / "run", 2, 6)


def test_an_error_keeps_what_is_complete(tmp_path: Path) -> None:
    class Stop(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 3:
                raise RuntimeError("enough")

    trainer = LedgerTrainer(
        llama(),
        arguments(tmp_path / "out"),
        train_dataset=Tokens(),
        data_collator=pad,
        run_dir=tmp_path / "run",
    )
    trainer.add_callback(Stop())
    with pytest.raises(RuntimeError, match="enough"):
        trainer.train()
    assert read_table(tmp_path / "run", "steps")["step"].to_pylist() == [1, 2, 3]
    assert not (tmp_path / "run" / "end.json").exists()


def test_items_that_are_no_mappings_are_refused(tmp_path: Path) -> None:
    trainer = LedgerTrainer(
        llama(),
        arguments(tmp_path / "out"),
        train_dataset=list(torch.zeros(4, 3)),
        data_collator=pad,
        run_dir=tmp_path / "run",
    )
    with pytest.raises(GradledgerError, match="I161"):
        trainer.train()
