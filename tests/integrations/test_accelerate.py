"""Accelerate: a recorded loop is the unrecorded loop, and its books balance."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
import accelerate
from accelerate.utils import set_seed
from tiny import Tokens, assert_booked, assert_same_bits, llama, pad
from torch.utils.data import DataLoader

from gradledger.integrations.accelerate import record

pytestmark = pytest.mark.filterwarnings("ignore")  # Of the framework: none of ours.


def train(folder: Path | None, **options: Any) -> torch.nn.Module:
    """Two epochs, with accumulation and clipping."""
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
    set_seed(1)
    accelerator = accelerate.Accelerator(cpu=True, **options)
    model = llama()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    model, optimizer, schedule = accelerator.prepare(model, optimizer, schedule)
    settings = {"batch_size": 3, "shuffle": True, "collate_fn": pad}
    ledger = None
    if folder is None:
        loader = accelerator.prepare(DataLoader(Tokens(), **settings))
    else:
        options = {"on_imbalance": "strict", "verify_content": False}
        ledger = record(folder, accelerator, model, optimizer, **options)
        loader = ledger.loader(Tokens(), {"source": ["a"] * 12}, **settings)
    for _ in range(2):
        for batch in loader if ledger is None else ledger.batches(loader):
            accumulate = accelerator.accumulate(model)
            if ledger is not None:
                accumulate = ledger.accumulate(model, batch)
            with accumulate:
                accelerator.backward(model(**batch).loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(model.parameters(), 0.5)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
    if ledger is not None:
        ledger.close()
    return accelerator.unwrap_model(model)


@pytest.mark.parametrize(
    ("options", "num_steps"),
    [({}, 8), ({"gradient_accumulation_steps": 2}, 4), ({"mixed_precision": "bf16"}, 8)],
    ids=["usual", "accumulated", "bf16"],
)
def test_a_loop_is_recorded_and_left_alone(
    tmp_path: Path, options: dict[str, Any], num_steps: int
) -> None:
    assert_same_bits(train(tmp_path / "run", **options), train(None, **options))
    assert_booked(tmp_path / "run", num_steps, 24)


def test_an_error_keeps_what_is_complete(tmp_path: Path) -> None:
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = accelerate.Accelerator(cpu=True)
    model = llama()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
    model, optimizer = accelerator.prepare(model, optimizer)
    ledger = record(tmp_path / "run", accelerator, model, optimizer, verify_content=False)
    loader = ledger.loader(Tokens(), batch_size=4, collate_fn=pad)

    def loop() -> None:
        with ledger:
            for number, batch in enumerate(ledger.batches(loader)):
                with ledger.accumulate(model, batch):
                    accelerator.backward(model(**batch).loss)
                    optimizer.step()
                    optimizer.zero_grad()
                    if number == 1:
                        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        loop()
    assert not (tmp_path / "run" / "end.json").exists()
    assert ledger.run.num_steps == 1
