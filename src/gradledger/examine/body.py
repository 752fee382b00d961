"""Bodies: the forward and backward pass of one step, so that it can be run again on a copy.

Either a loss function and a batch were given; or the passes of a script were listened to, and are
repeated from what the model read and from the gradient that the script's own loss gave its outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten

from gradledger.errors import InputError

#: ``loss(model, batch)``: one value per visit in nats, or their mean.
Loss = Callable[[nn.Module, Any], Any]


@dataclass(frozen=True)
class MicroBody:
    """One forward and backward pass.

    Attributes:
        num_visits: Rows of the micro-batch.
        batch: What is digested as presented.
        run: Runs the pass on a model.
    """

    num_visits: int
    batch: Any
    run: Callable[[nn.Module], None]


def body_of_loss(batch: Any, loss: Loss) -> MicroBody:
    """Return the pass of a loss function on a batch.

    Raises:
        InputError: The batch holds no tensor that counts visits. Code I102.
    """

    def run(model: nn.Module) -> None:
        value = loss(model, batch)
        if not isinstance(value, Tensor) or not value.requires_grad:
            raise InputError(
                "I104",
                observed=f"a loss of type {type(value).__name__} that follows no parameter",
                expected="a tensor computed by the model that loss(model, batch) was given",
                where="doctor",
                hint="use the model that is passed in, not one from outside",
            )
        value.mean().backward()  # type: ignore[no-untyped-call]

    return MicroBody(_count(batch), batch, run)


@dataclass
class _Heard:
    """One call of the model; ``mixed`` is the format of autocast, None outside of it."""

    args: Any
    kwargs: Mapping[str, Any]
    mixed: torch.dtype | None
    grads: dict[int, Tensor] = field(default_factory=dict)


class Listener:
    """Notes the calls of a model within each micro-batch, and the gradients of their outputs."""

    def __init__(self, model: nn.Module) -> None:
        self._micros: dict[int, tuple[int, list[_Heard]]] = {}
        self._place: Callable[[], tuple[int, int] | None] = lambda: None
        self._handle = model.register_forward_hook(self._note, with_kwargs=True)

    def follow(self, place: Callable[[], tuple[int, int] | None]) -> None:
        """Ask ``place`` for number and visits of the open micro-batch; None between them."""
        self._place = place

    def stop(self) -> None:
        """Listen no more."""
        self._handle.remove()

    def bodies(self) -> list[MicroBody]:
        """Return what was heard, as passes; those without a gradient are left out."""
        found = []
        for visits, calls in self._micros.values():
            useful = [call for call in calls if call.grads]
            if useful:
                inputs = tree_flatten([(call.args, dict(call.kwargs)) for call in useful])[0]
                rows = [v for v in inputs if isinstance(v, Tensor) and v.dim() and len(v) == visits]
                batch = rows or [torch.zeros(visits, 1)]
                found.append(MicroBody(visits, batch, _repeat(useful)))
        return found

    def _note(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        place = self._place()
        if place is None or not torch.is_grad_enabled():
            return
        device = next(module.parameters()).device.type
        is_mixed = torch.is_autocast_enabled(device)
        heard = _Heard(args, kwargs, torch.get_autocast_dtype(device) if is_mixed else None)
        self._micros.setdefault(place[0], (place[1], []))[1].append(heard)
        for number, leaf in enumerate(tree_flatten(output)[0]):
            if isinstance(leaf, Tensor) and leaf.requires_grad:
                leaf.register_hook(_keeper(heard, number))  # type: ignore[no-untyped-call]


def _keeper(heard: _Heard, number: int) -> Callable[[Tensor], None]:
    def keep(grad: Tensor) -> None:
        heard.grads[number] = grad.detach().clone()

    return keep


def _repeat(calls: list[_Heard]) -> Callable[[nn.Module], None]:
    def run(model: nn.Module) -> None:
        outputs, grads = [], []
        device = next(model.parameters()).device.type
        for call in calls:
            with torch.autocast(device, call.mixed, enabled=call.mixed is not None):
                leaves = tree_flatten(model(*call.args, **call.kwargs))[0]
            for number, grad in call.grads.items():
                outputs.append(leaves[number])
                grads.append(grad)
        torch.autograd.backward(outputs, grads)

    return run


def _count(batch: Any) -> int:
    for leaf in tree_flatten(batch)[0]:
        if isinstance(leaf, Tensor) and leaf.dim():
            return len(leaf)
    raise InputError(
        "I102",
        observed=f"a batch of type {type(batch).__name__} without tensors",
        expected="at least one tensor whose first axis counts the examples",
        where="doctor",
        hint="pass a batch as the loader yields it",
    )
