"""Standing between a loop and ``backward``: the one place where autograd's entry is replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from gradledger.errors import ReplayError


@contextmanager
def intercepted_backward(
    seen: Callable[[Sequence[Tensor], Sequence[Tensor | None]], None], *, instead: bool
) -> Iterator[None]:
    """Look wherever ``backward`` is called, on a tensor or in ``torch.autograd``.

    Args:
        seen: Called with the losses and their gradients.
        instead: Whether it takes the place of the call.
    """
    original = torch.autograd.backward

    def replacement(
        tensors: Any, grad_tensors: Any = None, *args: Any, inputs: Any = None, **kwargs: Any
    ) -> None:
        losses = [tensors] if isinstance(tensors, Tensor) else list(tensors)
        grads = [grad_tensors] if isinstance(grad_tensors, Tensor) else grad_tensors
        if inputs is not None:
            raise ReplayError(
                "R174",
                observed="backward(inputs=...)",
                expected="a backward pass to all parameters",
                where="training loop",
                hint="ask for an executed replay instead: how='replay'",
            )
        seen(losses, list(grads) if grads is not None else [None] * len(losses))
        if not instead:
            original(tensors, grad_tensors, *args, **kwargs)

    torch.autograd.backward = replacement
    try:
        yield
    finally:
        torch.autograd.backward = original
