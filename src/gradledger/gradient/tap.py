"""Taps: autograd functions that see output gradients and, when routed, supply those of parameters.

Passive taps pass everything through, so autograd's own parameter gradients are untouched. A
routed tap stands behind a forward pass that ran with detached parameters: autograd computes the
gradient for the layer below as always, and the tap hands the parameters the gradient of the
permitted rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

#: Receives the gradient of each output; returns one gradient per parameter (none when passive).
Sink = Callable[[tuple[Tensor | None, ...]], Sequence[Tensor | None]]


class Tap(torch.autograd.Function):
    """Identity on ``num_outputs`` tensors, with parameters that receive what the sink returns."""

    @staticmethod
    def forward(ctx: Any, sink: Sink, num_outputs: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Pass the outputs through as fresh tensors, so that later in-place operations work."""
        ctx.set_materialize_grads(False)
        ctx.sink = sink
        return tuple(tensor.clone() for tensor in tensors[:num_outputs])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        """Show the sink the output gradients; return them unchanged."""
        return (None, None, *grads, *ctx.sink(grads))


def tap_outputs(
    outputs: list[Tensor], sink: Sink, parameters: Sequence[Tensor] = ()
) -> list[Tensor]:
    """Put a tap behind the outputs of a module.

    Args:
        outputs: The tensors that the module wrote.
        sink: Called once in the backward pass with the gradient of each output.
        parameters: Empty in passive mode; in routed mode the parameters that receive the sink's
            gradients, in order.
    """
    if not parameters and len(outputs) == 1 and _watch(outputs[0], sink):
        return outputs
    return list(Tap.apply(sink, len(outputs), *outputs, *parameters))  # type: ignore[no-untyped-call]


def _watch(output: Tensor, sink: Sink) -> bool:
    """Watch the gradient of one output without a node or a copy; False where that is not safe.

    A hook on an activation survives later in-place operations, unless the activation is a view:
    those get a new history, and the hook is lost. A view of a whole tensor (what ``nn.Linear``
    writes for inputs of three axes) is watched at the node that made that tensor.
    """
    base = output._base  # noqa: SLF001 - torch has no public name for it
    if base is None:
        output.register_hook(lambda grad: _show(sink, grad))  # type: ignore[no-untyped-call]
        return True
    node = base.grad_fn
    whole = base.numel() == output.numel() and base.is_contiguous() and output.is_contiguous()
    if node is None or not whole:
        return False
    shape, place = output.shape, base.output_nr

    def show(grads: tuple[Tensor | None, ...]) -> None:
        grad = grads[place]
        if grad is not None:
            _show(sink, grad.reshape(shape))

    node.register_prehook(show)
    return True


def _show(sink: Sink, grad: Tensor) -> None:
    sink((grad,))


class InputTap(torch.autograd.Function):
    """Identity on what a module reads, with parameters that receive what ``emit`` returns.

    It runs in the backward pass once the module's own backward is done, so the gradient of the
    output is known by then. The module alone sees the result, a view: no copy is made.
    """

    @staticmethod
    def forward(
        ctx: Any, emit: Callable[[], Sequence[Tensor | None]], value: Tensor, *_parameters: Tensor
    ) -> Tensor:
        """Pass the input through."""
        ctx.emit = emit
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        """Return the gradient of the input unchanged, and those of the parameters."""
        return (None, *grads, *ctx.emit())


def tap_input(
    value: Tensor, emit: Callable[[], Sequence[Tensor | None]], parameters: Sequence[Tensor]
) -> Tensor:
    """Put a tap before what a module reads; ``emit`` returns one gradient per parameter."""
    tapped: Tensor = InputTap.apply(emit, value, *parameters)  # type: ignore[no-untyped-call]
    return tapped
