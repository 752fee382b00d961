"""Lightning: a callback that gets the batches and books the steps.

Lightning hands its forward and backward pass to ``optimizer.step`` as a closure. The recorder runs
it just before, when the optimizer has not begun, and hands on its result: the order of operations
stays what it was.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from torch.utils.data import DataLoader

import gradledger as gl
from gradledger.errors import InputError
from gradledger.integrations.accumulation import Accumulation
from gradledger.recorder import Recorder, book_scalars

__all__ = ["LedgerCallback"]


class LedgerCallback(pl.Callback):
    """Records ``trainer.fit``.

    Args:
        run_dir: Where the run is written.
        log: Whether the books of every step go to the trainer's loggers.
        **ledger: Further arguments of ``gl.record``.
    """

    def __init__(self, run_dir: str | Path, *, log: bool = True, **ledger: Any) -> None:
        super().__init__()
        self._run_dir, self._log, self._ledger = run_dir, log, ledger
        self.run: Recorder | None = None
        self._accumulation: Accumulation | None = None
        self._micro: AbstractContextManager[None] | None = None
        self._loaders: list[_Loader] = []

    def loader(self, dataset: Any, metadata: Any = None, **settings: Any) -> _Loader:
        """Return what ``trainer.fit`` takes as training loader; admitted when fitting begins.

        Args:
            dataset: A map-style data set.
            metadata: As for ``run.admit``.
            **settings: For ``DataLoader``.
        """
        loader = _Loader(dataset, metadata, settings)
        self._loaders.append(loader)
        return loader

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin the run: model and optimizer are ready, no loader has been read."""
        if len(trainer.optimizers) != 1 or trainer.world_size > 1:
            raise InputError(
                "I162",
                observed=f"{len(trainer.optimizers)} optimizers in {trainer.world_size} processes",
                expected="one optimizer in one process",
                where="LedgerCallback",
                hint="train with one optimizer and one device",
            )
        run = gl.record(self._run_dir, pl_module, trainer.optimizers[0], **self._ledger)
        run.runs_closures = True
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        if scaler is not None:
            run.track(scaler=scaler)
        self.run, self._accumulation = run, Accumulation(run)
        for loader in self._loaders:
            loader.attach(run)

    def on_train_batch_start(
        self, _trainer: pl.Trainer, _module: pl.LightningModule, batch: Any, _batch_idx: int
    ) -> None:
        """Open the micro-batch."""
        if self._accumulation is not None:
            numbers = next(loader.numbers.popleft() for loader in self._loaders if loader.numbers)
            self._micro = self._accumulation.micro_batch(batch, numbers)
            self._micro.__enter__()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        _outputs: Any,
        _batch: Any,
        batch_idx: int,
    ) -> None:
        """Close the micro-batch, and the step where the optimizer's turn had come."""
        if self._micro is None or self._accumulation is None or self.run is None:
            return
        self._micro.__exit__(None, None, None)
        self._micro = None
        if (batch_idx + 1) % trainer.accumulate_grad_batches == 0 or trainer.is_last_batch:
            # Lightning does this before the next backward pass; until then nothing reads them.
            trainer.optimizers[0].zero_grad()
            self._accumulation.end_step()
            if self._log:
                pl_module.log_dict(book_scalars(self.run))

    def on_fit_end(self, _trainer: pl.Trainer, _module: pl.LightningModule) -> None:
        """Seal and close the run."""
        if self.run is not None:
            self.run.close()

    def on_exception(
        self, _trainer: pl.Trainer, _module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Keep what is complete, and write no end record."""
        if self.run is not None and self._accumulation is not None:
            self._accumulation.abandon()
            self.run.__exit__(type(exception), exception, exception.__traceback__)


class _Loader:
    """A loader that notes what it yields, once the run has begun.

    Attributes:
        numbers: Example numbers of the batches that were yielded and not trained on yet.
    """

    def __init__(self, dataset: Any, metadata: Any, settings: Mapping[str, Any]) -> None:
        self._dataset, self._metadata, self._settings = dataset, metadata, settings
        self._run: Recorder | None = None
        self._loader: DataLoader[Any] | None = None
        self.numbers: deque[list[int]] = deque()

    def attach(self, run: Recorder) -> None:
        """Admit the data set and build the loader."""
        self._run = run
        self._loader = DataLoader(run.admit(self._dataset, self._metadata), **self._settings)

    def __len__(self) -> int:
        return len(self._ready()[1])

    def __iter__(self) -> Iterator[Any]:
        run, loader = self._ready()
        self.numbers.clear()
        for batch in run.batches(loader):
            self.numbers.append(run.last_examples)
            yield batch

    def _ready(self) -> tuple[Recorder, DataLoader[Any]]:
        if self._run is None or self._loader is None:
            raise TypeError("the loader has no length before trainer.fit")
        return self._run, self._loader
