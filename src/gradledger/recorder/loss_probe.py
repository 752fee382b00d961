"""Loss probe: find out whether the loss itself mixes the rows of a batch.

A loss that is a sum over rows has a block-diagonal second derivative with respect to what the model
wrote: how the loss changes with one row does not depend on the others. A contrastive loss, or one
normalised by what other rows came to, has not. Before the first backward pass we take the gradient
of the loss with respect to the model's outputs, and differentiate the part of the first row again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten

from gradledger.errors import GradientError

#: Largest share of the second derivative in other rows that is rounding.
TOLERANCE: Final = 1e-4

_TENSOR: Any = Tensor


class LossProbe:
    """Stands in the way of the next ``backward`` of a loss.

    Args:
        paused: Makes capture look away from what the probe does.
        accept: Called where rows are mixed and that is accepted; None to refuse.
    """

    def __init__(
        self,
        paused: Callable[[], AbstractContextManager[None]],
        accept: Callable[[], None] | None = None,
    ) -> None:
        self._paused, self._accept = paused, accept
        self._outputs: list[Tensor] = []
        self._num_rows, self._where = 0, ""
        self._backward: Callable[..., Any] | None = None

    def watch(self, output: Any, num_rows: int, where: str) -> None:
        """Note what the model wrote; the next backward pass is looked at before it runs."""
        self._outputs = [
            leaf
            for leaf in tree_flatten(output)[0]
            if isinstance(leaf, Tensor)
            and leaf.requires_grad
            and leaf.dim() > 0
            and leaf.shape[0] > 0
            and leaf.shape[0] % num_rows == 0
        ]
        self._num_rows, self._where = num_rows, where
        if self._outputs and self._backward is None:
            probe, original = self, _TENSOR.backward
            self._backward = original

            def backward(loss: Tensor, *args: Any, **kwargs: Any) -> Any:
                if not args and not kwargs.get("gradient"):
                    probe.detach()
                    probe.refuse(loss)
                return original(loss, *args, **kwargs)

            _TENSOR.backward = backward

    def detach(self) -> None:
        """Let backward passes go their way."""
        if self._backward is not None:
            _TENSOR.backward = self._backward
            self._backward = None

    def refuse(self, loss: Tensor) -> None:
        """Refuse a loss that mixes rows.

        Raises:
            GradientError: Code G121.
        """
        outputs, self._outputs = self._outputs, []
        with self._paused():
            share = _share_of_other_rows(loss, outputs, self._num_rows)
        if share > TOLERANCE and self._accept is not None:
            self._accept()
        elif share > TOLERANCE:
            raise GradientError(
                "G121",
                observed=f"a loss whose gradient on row 0 follows other rows ({share:.2g} of its "
                "second derivative)",
                expected="a sum or mean over rows",
                where=self._where,
                hint="sum the losses of single rows, or pass accept_coupled=True to record the run "
                "as coupled",
            )


def _share_of_other_rows(loss: Tensor, outputs: list[Tensor], num_rows: int) -> float:
    """Return |second derivative of row 0 in other rows| over all of it; 0 where none is known."""
    if loss.dim() > 0 or loss.grad_fn is None:
        return 0.0
    try:
        with torch.enable_grad():
            first: Sequence[Tensor | None] = torch.autograd.grad(
                loss, outputs, create_graph=True, allow_unused=True
            )
            generator = torch.Generator().manual_seed(0)
            pieces = [
                (_first_row(grad, num_rows) * _signs(grad, num_rows, generator)).sum()
                for grad in first
                if grad is not None and grad.requires_grad
            ]
            if not pieces:
                return 0.0  # Linear in the outputs.
            second: Sequence[Tensor | None] = torch.autograd.grad(
                torch.stack(pieces).sum(), outputs, retain_graph=True, allow_unused=True
            )
    except RuntimeError:
        return 0.0  # An operation without a second derivative says nothing.
    own, others = 0.0, 0.0
    for value in second:
        if value is not None:
            rows = value.detach().double().reshape(num_rows, -1).square().sum(1)
            own, others = own + float(rows[0]), others + float(rows[1:].sum())
    return (others / (own + others)) ** 0.5 if others else 0.0


def _first_row(grad: Tensor, num_rows: int) -> Tensor:
    return grad[: grad.shape[0] // num_rows]


def _signs(grad: Tensor, num_rows: int, generator: torch.Generator) -> Tensor:
    """Return random signs, drawn from a generator of our own."""
    shape = _first_row(grad, num_rows).shape
    drawn = torch.randint(0, 2, shape, generator=generator) * 2 - 1
    return drawn.to(grad.device, grad.dtype)
