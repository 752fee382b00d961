"""The habits that are tried."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from harness import Decoder, Habit, Maker, token_loss
from torch import Tensor, nn, optim
from torch.optim import lr_scheduler
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, IterableDataset, RandomSampler


class Foreach(Habit):
    """``foreach=True``."""

    name = "foreach"
    options: ClassVar = {"foreach": True}


class Fused(Habit):
    """``fused=True``."""

    name = "fused"
    options: ClassVar = {"fused": True}


class Capturable(Habit):
    """``capturable=True``, on a CPU."""

    name = "capturable"
    options: ClassVar = {"capturable": True}


class Maximize(Habit):
    """``maximize=True``, of the negative loss."""

    name = "maximize"
    options: ClassVar = {"maximize": True}

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        return -super().loss(model, batch)


class ParamGroups(Habit):
    """Two optimizer param groups with other rates and decay."""

    name = "param groups"

    def optimizer(self, make: Maker, model: Any) -> optim.Optimizer:
        head = {"params": list(model.head.parameters()), "lr": 2e-3, "weight_decay": 0.1}
        rest = [p for p in model.parameters() if all(p is not q for q in head["params"])]
        return make([{"params": rest}, head])


class Frozen(Habit):
    """Embeddings frozen from the start."""

    name = "frozen"

    def model(self) -> nn.Module:
        model = super().model()
        model.embed.requires_grad_(False)
        return model


class Unfrozen(Habit):
    """Embeddings unfrozen after two steps, ``later=["embed.*"]``."""

    name = "unfrozen later"
    record: ClassVar = {"later": ["embed.*"]}

    def start(self, model: Any, optimizer: optim.Optimizer, run: Any) -> None:
        self.num_steps = 0
        model.embed.requires_grad_(False)

    def after_step(self, model: Any, optimizer: optim.Optimizer) -> None:
        self.num_steps += 1
        model.embed.requires_grad_(self.num_steps >= 2)


class Added(Habit):
    """A param group added after two steps, ``later=["head.*"]``."""

    name = "added later"
    record: ClassVar = {"later": ["head.*"]}

    def optimizer(self, make: Maker, model: Any) -> optim.Optimizer:
        return make([p for p in model.parameters() if p is not model.head.weight])

    def start(self, model: Any, optimizer: optim.Optimizer, run: Any) -> None:
        self.num_steps = 0
        model.head.requires_grad_(False)

    def after_step(self, model: Any, optimizer: optim.Optimizer) -> None:
        self.num_steps += 1
        if self.num_steps == 2:
            model.head.requires_grad_(True)
            optimizer.add_param_group({"params": [model.head.weight]})


class Betas(Habit):
    """Momentum or betas that change in every step."""

    name = "moving betas"

    def after_step(self, model: nn.Module, optimizer: optim.Optimizer) -> None:
        for group in optimizer.param_groups:
            if "betas" in group:
                group["betas"] = (group["betas"][0] * 0.95, group["betas"][1] * 0.99)
            elif group.get("momentum"):
                group["momentum"] *= 0.95


class Accumulation(Habit):
    """Two micro-batches per step."""

    name = "accumulation"

    def train(self, model: nn.Module, optimizer: optim.Optimizer, run: Any) -> None:
        feed = self.batches(run)
        for _ in range(self.steps):
            if run is None:
                self._micro_batches(model, optimizer, feed, None)
            else:
                with run.step() as step:
                    self._micro_batches(model, optimizer, feed, step)
        feed.close()

    def _micro_batches(self, model: Any, optimizer: Any, feed: Any, step: Any) -> None:
        for _ in range(2):
            batch = next(feed)
            if step is None:
                (self.loss(model, batch) / 2).backward()
            else:
                with step.micro_batch(batch):
                    (self.loss(model, batch) / 2).backward()
        optimizer.step()
        optimizer.zero_grad()


class ClipNorm(Habit):
    """Clipping by global norm."""

    name = "clip norm"

    def backward(self, model: nn.Module, optimizer: optim.Optimizer, batch: Any) -> None:
        super().backward(model, optimizer, batch)
        nn.utils.clip_grad_norm_(model.parameters(), 0.1)


class ClipValue(Habit):
    """Clipping by value: what it takes off is the line *edits*."""

    name = "clip value"

    def backward(self, model: nn.Module, optimizer: optim.Optimizer, batch: Any) -> None:
        super().backward(model, optimizer, batch)
        nn.utils.clip_grad_value_(model.parameters(), 1e-3)


class Bfloat16(Habit):
    """Autocast to bfloat16."""

    name = "bf16 autocast"

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return super().loss(model, batch)


class Float16(Habit):
    """Autocast to float16 with a gradient scaler."""

    name = "fp16 + scaler"

    def start(self, model: nn.Module, optimizer: optim.Optimizer, run: Any) -> None:
        self.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12)
        if run is not None:
            run.track(scaler=self.scaler)

    def update(self, model: nn.Module, optimizer: optim.Optimizer, batch: Any) -> None:
        with torch.autocast("cpu", dtype=torch.float16):
            loss = self.loss(model, batch)
        self.scaler.scale(loss).backward()
        self.scaler.step(optimizer)
        self.scaler.update()
        optimizer.zero_grad()


class FusedScaler(Float16):
    """The same; a fused kernel divides by the scale."""

    name = "fp16, fused scale"
    options: ClassVar = {"fused": True}


class Checkpointed(Decoder):
    """Blocks are run again in the backward pass."""

    reentrant = False

    def run(self, number: int, x: Tensor, allowed: Tensor | None) -> Tensor:
        return checkpoint(self.block, number, x, allowed, use_reentrant=self.reentrant)


class Checkpointing(Habit):
    """Activation checkpointing of every block."""

    name = "checkpointing"

    def model(self) -> nn.Module:
        torch.manual_seed(3)
        return Checkpointed()


class Reentrant(Checkpointing):
    """The same in torch's older form."""

    name = "reentrant"

    def model(self) -> nn.Module:
        model = super().model()
        model.reentrant = True
        return model


class Compiled(Habit):
    """``model.compile()``: graphs stop at captured modules; equal to rounding."""

    name = "torch.compile"
    same_bits = False

    def model(self) -> nn.Module:
        torch._dynamo.reset()
        model = super().model()
        model.compile(backend="eager")
        return model


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
