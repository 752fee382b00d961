"""The habits that are tried."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from habit_harness import Decoder, Habit, Maker
from torch import Tensor, nn, optim
from torch.utils.checkpoint import checkpoint


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
