"""Lightning: a recorded fit is the unrecorded fit, and its books balance."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
import lightning.pytorch as pl
from lightning.pytorch.loggers import CSVLogger
from tiny import Tokens, assert_booked, assert_same_bits, llama, pad
from torch.utils.data import DataLoader

from gradledger.integrations.lightning import LedgerCallback

pytestmark = pytest.mark.filterwarnings("ignore")  # Of the framework: none of ours.

SETTINGS: dict[str, Any] = {"batch_size": 3, "shuffle": True, "collate_fn": pad}


class Model(pl.LightningModule):
    """The decoder, trained as Lightning would have it."""

    def __init__(self) -> None:
        super().__init__()
        self.decoder = llama()

    def forward(self, batch: Any) -> Any:
        return self.decoder(**batch)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self(batch).loss

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), lr=1e-2)
        return [optimizer], [torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)]


def fit(folder: Path | None, logger: Any = False, **options: Any) -> tuple[Model, pl.Trainer]:
    pl.seed_everything(4, verbose=False)
    model, callbacks = Model(), []
    loader: Any = DataLoader(Tokens(), **SETTINGS)
    if folder is not None:
        callback = LedgerCallback(folder, on_imbalance="strict", verify_content=False)
        loader = callback.loader(Tokens(), {"source": ["a"] * 12}, **SETTINGS)
        callbacks = [callback]
    trainer = pl.Trainer(
        max_epochs=2,
        accelerator="cpu",
        devices=1,
        logger=logger,
        log_every_n_steps=1,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=callbacks,
        **options,
    )
    trainer.fit(model, loader)
    return model, trainer


@pytest.mark.parametrize(
    ("options", "num_steps"),
    [
        ({}, 8),
        ({"accumulate_grad_batches": 2, "gradient_clip_val": 0.1}, 4),
        ({"accumulate_grad_batches": 3}, 4),
        ({"precision": "bf16-mixed"}, 8),
    ],
    ids=["usual", "accumulated", "uneven", "bf16"],
)
def test_a_fit_is_recorded_and_left_alone(
    tmp_path: Path, options: dict[str, Any], num_steps: int
) -> None:
    recorded, trainer = fit(tmp_path / "run", **options)
    plain, other = fit(None, **options)
    assert_same_bits(recorded, plain)
    assert trainer.global_step == other.global_step == num_steps
    assert_booked(tmp_path / "run", num_steps, 24)


def test_scalars_of_the_books_go_to_the_trainers_logger(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    fit(tmp_path / "run", logger)
    text = (Path(logger.log_dir) / "metrics.csv").read_text(encoding="utf-8")
    assert "gradledger/residual" in text
    assert len(text.splitlines()) == 9
