"""What behaviours are at the end of a run: their values, and their gradients by the parameters.

Shape legend: K behaviours, P elements.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gradledger.errors import ReplayError
from gradledger.replay.adjoint.layout import Layout
from gradledger.replay.loop import Observable
from gradledger.state.torch_state import preserved_rng


def behaviour_gradients(
    model: nn.Module, behaviours: Mapping[str, Observable], layout: Layout
) -> tuple[NDArray[np.float64], Tensor]:
    """Return values, shape (K,), and gradients, shape (K, P), in evaluation mode.

    Raises:
        ReplayError: A behaviour is not a differentiable function of the model. Code R178.
    """
    values, gradients = [], []
    with evaluated(model), torch.enable_grad():
        for name, behaviour in behaviours.items():
            value = behaviour(model)
            if not isinstance(value, Tensor) or value.numel() != 1 or not value.requires_grad:
                raise ReplayError(
                    "R178",
                    observed=f"{name!r} as {_described(value)}",
                    expected="a tensor with one element, computed from the model with autograd",
                    where="behaviour",
                    hint="return the loss itself, not float(loss), outside torch.no_grad()",
                )
            found: Any = torch.autograd.grad(
                value.reshape(()), layout.parameters, allow_unused=True
            )
            gradients.append(
                layout.gather(
                    [
                        torch.zeros_like(parameter) if grad is None else grad
                        for parameter, grad in zip(layout.parameters, found, strict=True)
                    ]
                )
            )
            values.append(float(value.detach()))
    return np.asarray(values), torch.stack(gradients)


@contextmanager
def evaluated(model: nn.Module) -> Iterator[None]:
    """Set evaluation mode; random numbers and the mode of every module are put back.

    Embeddings are read without ``padding_idx``: torch hides from autograd that their output depends
    on that row, which a tied weight does change.
    """
    modes = [(module, module.training) for module in model.modules()]
    tables: list[Any] = [module for module in model.modules() if isinstance(module, nn.Embedding)]
    padded = [(table, table.padding_idx) for table in tables if table.padding_idx is not None]
    with preserved_rng():
        model.eval()
        for table, _ in padded:
            table.padding_idx = None
        try:
            yield
        finally:
            for module, mode in modes:
                module.training = mode
            for table, padding in padded:
                table.padding_idx = padding


def _described(value: object) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)} without gradient"
    return f"a {type(value).__name__}"
