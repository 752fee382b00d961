"""Many executed removals at once: one model per weight vector, trained side by side.

The same steps as the loop takes, in the recorded order, for K vectors of example weights. Held
against executed replays by ``bench_predict_lds``.

Shape legend: K models, N examples, R rows of a batch, Q queries.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn, optim
from torch.func import functional_call, vmap

from gradledger.replay import RecordedRun

#: Losses of rows, in nats: (model, the batch) -> shape (R,).
RowLosses = Callable[[nn.Module, tuple[Tensor, ...]], Tensor]


@dataclass(frozen=True)
class Course:
    """What every model of an ensemble goes through.

    Attributes:
        batches: Per step the example numbers.
        data: Tensors whose first axis counts examples.
        rates: Per step the share of the learning rate.
        row_losses: Losses of the rows of a batch.
        clip: Largest global gradient norm, or None.
    """

    batches: Sequence[Sequence[int]]
    data: tuple[Tensor, ...]
    rates: Sequence[float]
    row_losses: RowLosses
    clip: float | None = None


def recorded_batches(run: RecordedRun) -> list[list[int]]:
    """Return the example numbers of every micro-batch of a run, in the order of training."""
    key = attrgetter("step", "micro_batch")
    return [[visit.example for visit in part] for _, part in groupby(run.visits, key=key)]


def train_ensemble(
    model: nn.Module, optimizer: optim.Optimizer, course: Course, weights: Tensor
) -> dict[str, Tensor]:
    """Train one model per row of weights.

    Args:
        model: In its opening state.
        optimizer: Its optimizer, for the settings: SGD with momentum or AdamW.
        course: Order, data, rates.
        weights: Weight of every example in every model, shape (K, N).

    Returns:
        Parameters by name, models first.
    """
    num = len(weights)
    params = {
        name: value.detach().expand(num, *value.shape).clone()
        for name, value in model.named_parameters()
    }
    update = _Update(model, optimizer)

    def losses_of(values: dict[str, Tensor], rows: tuple[Tensor, ...]) -> Tensor:
        return course.row_losses(_Bound(model, values), rows)  # type: ignore[arg-type]

    mapped: Any = vmap(losses_of, in_dims=(0, None), randomness="same")
    for step, batch in enumerate(course.batches):
        index = torch.as_tensor(list(batch))
        rows = tuple(part[index] for part in course.data)
        live = {name: value.requires_grad_() for name, value in params.items()}
        loss = (mapped(live, rows) * weights[:, index]).sum() / len(index)
        grads = dict(zip(live, torch.autograd.grad(loss, list(live.values())), strict=True))
        if course.clip is not None:
            grads = _clipped(grads, course.clip)
        params = update.take(live, grads, course.rates[step])
    return params


def evaluate_ensemble(
    model: nn.Module, params: dict[str, Tensor], figure: Callable[[nn.Module], Tensor]
) -> Tensor:
    """Return figures of every model, shape (K, Q)."""

    def figure_of(values: dict[str, Tensor]) -> Tensor:
        return figure(_Bound(model, values))  # type: ignore[arg-type]

    mapped: Any = vmap(figure_of)
    with torch.no_grad():
        found: Tensor = mapped(params)
    return found


class _Bound:
    """A model with parameters of its own, called like one."""

    def __init__(self, model: nn.Module, values: dict[str, Tensor]) -> None:
        self._model, self._values = model, values

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return functional_call(self._model, self._values, args, kwargs)


class _Update:
    """AdamW, or SGD with momentum, on stacked parameters."""

    def __init__(self, model: nn.Module, optimizer: optim.Optimizer) -> None:
        names = {id(value): name for name, value in model.named_parameters()}
        self._settings = {
            names[id(value)]: group for group in optimizer.param_groups for value in group["params"]
        }
        self._is_adam = isinstance(optimizer, optim.AdamW)
        self._first: dict[str, Tensor] = {}
        self._second: dict[str, Tensor] = {}
        self._step = 0

    @torch.no_grad()
    def take(
        self, params: dict[str, Tensor], grads: dict[str, Tensor], share: float
    ) -> dict[str, Tensor]:
        self._step += 1
        one = self._adam if self._is_adam else self._sgd
        return {
            name: one(name, value.detach(), grads[name], share) for name, value in params.items()
        }

    def _adam(self, name: str, value: Tensor, grad: Tensor, share: float) -> Tensor:
        settings = self._settings[name]
        rate, (b1, b2) = settings["lr"] * share, settings["betas"]
        if self._step == 1:
            self._first[name] = torch.zeros_like(value)
            self._second[name] = torch.zeros_like(value)
        first, second = self._first[name], self._second[name]
        first.lerp_(grad, 1 - b1)
        second.mul_(b2).addcmul_(grad, grad, value=1 - b2)
        root = (second.sqrt() / (1 - b2**self._step) ** 0.5).add_(settings["eps"])
        kept = value * (1 - rate * settings["weight_decay"])
        moved: Tensor = kept.addcdiv_(first, root, value=-rate / (1 - b1**self._step))
        return moved

    def _sgd(self, name: str, value: Tensor, grad: Tensor, share: float) -> Tensor:
        settings = self._settings[name]
        momentum = settings["momentum"]
        if self._step == 1:
            self._first[name] = grad.clone()
        else:
            self._first[name].mul_(momentum).add_(grad)
        moved: Tensor = value - settings["lr"] * share * self._first[name]
        return moved


def _clipped(grads: dict[str, Tensor], largest: float) -> dict[str, Tensor]:
    norms = torch.stack([value.flatten(1).norm(dim=1) for value in grads.values()]).norm(dim=0)
    factor = (largest / (norms + 1e-6)).clamp(max=1.0)
    return {
        name: value * factor.view(-1, *[1] * (value.dim() - 1)) for name, value in grads.items()
    }
