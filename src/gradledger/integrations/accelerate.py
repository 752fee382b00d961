"""Accelerate: the five calls around a prepared model, optimizer and loader."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader

import gradledger as gl
from gradledger.errors import InputError
from gradledger.integrations.accumulation import Accumulation
from gradledger.integrations.numbered import NumberedCollate, NumberedDataset, take_numbers
from gradledger.recorder import Recorder
from gradledger.recorder.examples import AdmittedDataset

__all__ = ["AcceleratedRun", "record"]


def record(
    run_dir: str | Path, accelerator: Accelerator, model: nn.Module, optimizer: Any, **settings: Any
) -> AcceleratedRun:
    """Begin a run over what ``accelerator.prepare`` returned.

    Args:
        run_dir: Where the run is written.
        accelerator: The script's accelerator.
        model: Prepared or not.
        optimizer: Prepared or not; a gradient scaler of the accelerator is tracked.
        **settings: Further arguments of ``gl.record``.

    Raises:
        InputError: There are several processes. Code I162.
    """
    if accelerator.num_processes > 1:
        raise InputError(
            "I162",
            observed=f"{accelerator.num_processes} processes",
            expected="one process that holds the whole model",
            where="gradledger.integrations.accelerate",
            hint="train in one process",
        )
    inner = getattr(optimizer, "optimizer", optimizer)
    whole = accelerator.unwrap_model(model, keep_torch_compile=False)
    run = gl.record(run_dir, whole, inner, **settings)
    if accelerator.scaler is not None:
        run.track(scaler=accelerator.scaler)
    return AcceleratedRun(run, accelerator)


class AcceleratedRun:
    """A run whose steps end where the accelerator synchronises gradients.

    Attributes:
        run: The recorder itself.
    """

    def __init__(self, run: Recorder, accelerator: Accelerator) -> None:
        self.run, self._accelerator = run, accelerator
        self._accumulation = Accumulation(run)
        self._numbers: list[int] = []

    def loader(self, dataset: Any, metadata: Any = None, **settings: Any) -> DataLoader[Any]:
        """Admit a data set of mappings; return a prepared loader over what was admitted.

        Args:
            dataset: A map-style data set.
            metadata: As for ``run.admit``.
            **settings: For ``DataLoader``.
        """
        admitted: AdmittedDataset = self.run.admit(dataset, metadata)
        numbered = NumberedDataset(admitted)
        plain: DataLoader[Any] = DataLoader(numbered, **settings)
        plain.collate_fn = NumberedCollate(plain.collate_fn)
        prepared: DataLoader[Any] = self._accelerator.prepare(plain)
        return prepared

    def batches(self, loader: Iterable[Any]) -> Iterator[Any]:
        """Yield the batches of a loader that ``loader`` made, as the user's collation made them."""
        for batch in loader:
            self._numbers = take_numbers(batch)
            yield batch

    @contextmanager
    def accumulate(self, model: nn.Module, batch: Any) -> Iterator[None]:
        """Record one micro-batch, in place of ``accelerator.accumulate(model)``."""
        with self._accelerator.accumulate(model):
            with self._accumulation.micro_batch(batch, self._numbers):
                yield
            if self._accelerator.sync_gradients:
                self._accumulation.end_step()

    def close(self) -> None:
        """Seal and close the run."""
        self.run.close()

    def __enter__(self) -> AcceleratedRun:
        """Use the run as a context: closed at the end, aborted on an error."""
        return self

    def __exit__(self, *error: Any) -> None:
        """Close after success, keep what is complete after an error."""
        if error[0] is not None:
            self._accumulation.abandon()
        self.run.__exit__(*error)
