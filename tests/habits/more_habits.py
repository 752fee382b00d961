"""More habits that are tried: averages, schedules, adapters, and what loaders do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from habit_harness import Habit, Maker, token_loss
from torch import Tensor, nn, optim
from torch.optim import lr_scheduler
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, IterableDataset, RandomSampler


class Averaged(Habit):
    """An exponential average of the weights, tracked."""

    name = "EMA weights"

    def start(self, model: nn.Module, optimizer: optim.Optimizer, run: Any) -> None:
        self.average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
        if run is not None:
            run.track(average=self.average)

    def after_step(self, model: nn.Module, optimizer: optim.Optimizer) -> None:
        self.average.update_parameters(model)


class Scheduled(Habit):
    """Warm-up, then cosine."""

    name = "schedule"

    def start(self, model: nn.Module, optimizer: optim.Optimizer, run: Any) -> None:
        parts = [
            lr_scheduler.LinearLR(optimizer, 0.1, total_iters=2),
            lr_scheduler.CosineAnnealingLR(optimizer, 4),
        ]
        self.scheduler = lr_scheduler.SequentialLR(optimizer, parts, milestones=[2])
        if run is not None:
            run.track(scheduler=self.scheduler)

    def after_step(self, model: nn.Module, optimizer: optim.Optimizer) -> None:
        self.scheduler.step()


class LoRA(Habit):
    """Adapters of peft on the attention; all else frozen."""

    name = "LoRA (peft)"

    def model(self) -> nn.Module:
        from peft import LoraConfig, get_peft_model

        config = LoraConfig(r=2, target_modules=["mix.0", "mix.1", "head"], lora_dropout=0.1)
        return get_peft_model(super().model(), config)

    def start(self, model: nn.Module, optimizer: optim.Optimizer, run: Any) -> None:
        torch.manual_seed(9)

    def optimizer(self, make: Maker, model: nn.Module) -> optim.Optimizer:
        return make([p for p in model.parameters() if p.requires_grad])


class Padded(Habit):
    """Rows of different lengths, padded, with a mask over keys and targets."""

    name = "padding, masks"

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        tokens = batch[0].clone()
        lengths = 3 + tokens[:, 0] % 4
        inside = torch.arange(tokens.shape[1])[None] < lengths[:, None]
        tokens[~inside] = 0
        logits = model(tokens[:, :-1], allowed=inside[:, None, :-1])
        return token_loss(logits, tokens[:, 1:].masked_fill(~inside[:, 1:], -1))


class Repeated(Habit):
    """The same example twice in every batch."""

    name = "repeated example"

    def loader(self, data: Any) -> DataLoader[Any]:
        order = [[row, row, (row + 1) % 12, (row + 5) % 12] for row in range(12)]
        return DataLoader(data, batch_sampler=order)


class Replacement(Habit):
    """Sampling with replacement."""

    name = "replacement"

    def loader(self, data: Any) -> DataLoader[Any]:
        generator = torch.Generator().manual_seed(7)
        sampler = RandomSampler(data, replacement=True, num_samples=32, generator=generator)
        return DataLoader(data, batch_size=self.batch, sampler=sampler)


class Workers(Habit):
    """A loader with a worker process."""

    name = "loader workers"
    steps = 2

    def loader(self, data: Any) -> DataLoader[Any]:
        generator = torch.Generator().manual_seed(7)
        return DataLoader(
            data, batch_size=self.batch, shuffle=True, generator=generator, num_workers=1
        )


class Epochs(Habit):
    """Several passes over the data."""

    name = "epochs"
    steps = 7


class Closure(Habit):
    """A closure passed to ``optimizer.step``."""

    name = "closure"

    def update(self, model: nn.Module, optimizer: optim.Optimizer, batch: Any) -> None:
        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = self.loss(model, batch)
            loss.backward()
            return loss

        optimizer.step(closure)


class Stream(Habit):
    """A stream without length, admitted as it comes."""

    name = "stream"

    def batches(self, run: Any) -> Iterator[Any]:
        class Rows(IterableDataset[Any]):
            def __iter__(self) -> Iterator[Any]:
                yield from data

        data = list(self.data())
        loader: Any = DataLoader(Rows(), batch_size=self.batch)
        while True:
            yield from loader if run is None else run.batches(loader, describe=describe_rows)


def describe_rows(batch: Any) -> dict[str, Any]:
    """Metadata of a batch: its content is its key."""
    return {"key": [str(row.tolist()) for row in batch[0]], "source": ["a"] * len(batch[0])}
