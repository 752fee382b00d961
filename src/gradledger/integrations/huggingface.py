"""Hugging Face Trainer: a mixin that records what it trains.

The trainer's callbacks see neither batch nor loss, so ``training_step`` is overridden. Everything
else is the trainer's own: order, collation, accumulation, clipping, schedules, checkpoints.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback

import gradledger as gl
from gradledger.errors import InputError
from gradledger.integrations.accumulation import Accumulation
from gradledger.integrations.numbered import NumberedCollate, NumberedDataset, take_numbers
from gradledger.recorder import Recorder, book_scalars

__all__ = ["LedgerMixin", "LedgerTrainer"]


class LedgerMixin:
    """Mix into any ``Trainer`` before it: ``class Mine(LedgerMixin, MyTrainer)``.

    Args:
        *args: For the trainer.
        run_dir: Where the run is written.
        metadata: One row per item of ``train_dataset``, as ``run.admit`` takes it.
        ledger: Further arguments of ``gl.record``. Content is not compared with what was admitted
            unless ``verify_content=True``: collators pad.
        **kwargs: For the trainer.
    """

    run: Recorder | None = None
    _accumulation: Accumulation | None = None
    _numbered: NumberedDataset | None = None

    def __init__(
        self,
        *args: Any,
        run_dir: str | Path,
        metadata: Any = None,
        ledger: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self._run_dir, self._metadata = run_dir, metadata
        self._ledger = {"verify_content": False, **(ledger or {})}
        super().__init__(*args, **kwargs)
        trainer: Any = self
        trainer.add_callback(_EndOfStep(self))

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train, and close the run; after an error what is complete is kept."""
        trainer: Any = super()
        self.run = None
        try:
            outcome = trainer.train(*args, **kwargs)
        except BaseException as error:
            if self.run is not None:
                self.run.__exit__(type(error), error, error.__traceback__)
            raise
        if self.run is not None:
            self.run.close()
        return outcome

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Begin the run and admit the data set, then build the trainer's own loader over it."""
        trainer: Any = self
        parent: Any = super()
        if self.run is None:
            _refuse_sharded(trainer)
            optimizer = trainer.create_optimizer()
            run = gl.record(self._run_dir, trainer.model, optimizer, **self._ledger)
            self.run, self._accumulation = run, Accumulation(run)
            self._numbered = NumberedDataset(run.admit(trainer.train_dataset, self._metadata))
        dataset, collator = trainer.train_dataset, trainer.data_collator
        bare = trainer._get_collator_with_removed_columns(collator, description="training")  # noqa: SLF001
        trainer.train_dataset, trainer.data_collator = self._numbered, NumberedCollate(bare)
        try:
            return _keeping_all_columns(trainer, parent.get_train_dataloader)
        finally:
            trainer.train_dataset, trainer.data_collator = dataset, collator

    def training_step(self, model: nn.Module, inputs: dict[str, Any], *args: Any) -> Tensor:
        """Record the forward and backward pass of one micro-batch."""
        parent: Any = super()
        if self._accumulation is None:
            plain: Tensor = parent.training_step(model, inputs, *args)
            return plain
        numbers = take_numbers(inputs)
        with self._accumulation.micro_batch(inputs, numbers):
            recorded: Tensor = parent.training_step(model, inputs, *args)
        return recorded

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Add the books of the last step to the trainer's own scalars."""
        parent: Any = super()
        scalars = {} if self.run is None or "loss" not in logs else book_scalars(self.run)
        parent.log({**logs, **scalars}, *args, **kwargs)

    def end_step(self) -> None:
        """Book the step that the trainer just finished."""
        if self._accumulation is not None:
            self._accumulation.end_step()


class LedgerTrainer(LedgerMixin, Trainer):
    """``transformers.Trainer``, recorded."""


class _EndOfStep(TrainerCallback):
    """Tells the mixin that gradients are zero again."""

    def __init__(self, owner: LedgerMixin) -> None:
        self._owner = owner

    def on_step_end(self, *_args: Any, **_kwargs: Any) -> None:
        """Book the step."""
        self._owner.end_step()


def _keeping_all_columns(trainer: Any, build: Any) -> DataLoader[Any]:
    """Build the loader without dropping columns: our collator has dropped them already."""
    wanted, trainer.args.remove_unused_columns = trainer.args.remove_unused_columns, False
    try:
        loader: DataLoader[Any] = build()
    finally:
        trainer.args.remove_unused_columns = wanted
    return loader


def _refuse_sharded(trainer: Any) -> None:
    """Refuse what makes its optimizer after the model was taken apart."""
    sharded = [
        name
        for name in ("is_deepspeed_enabled", "is_fsdp_enabled", "is_fsdp_xla_enabled")
        if getattr(trainer, name, False)
    ]
    if sharded or trainer.args.world_size > 1:
        raise InputError(
            "I162",
            observed=sharded[0] if sharded else f"{trainer.args.world_size} processes",
            expected="one process that holds the whole model",
            where="LedgerTrainer",
            hint="train in one process",
        )
