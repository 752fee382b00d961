"""Bypass probe: find captured parameters that the model uses outside the module that owns them.

Capture reads what modules read and write. A custom autograd function, or a parent that multiplies
by the weight of its child, uses the parameter where no hook sees it, and part of its gradient would
have no visits. We run the forward pass with every captured module reading detached parameters:
whatever still leads to a parameter has gone past its module.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten
from torch.utils.hooks import RemovableHandle

from gradledger.errors import GradientError
from gradledger.gradient import Unit, put_tensor
from gradledger.recorder.row_probe import undisturbed

__all__ = ["find_bypassed", "refuse_bypassed"]


def find_bypassed(
    model: nn.Module, units: Sequence[Unit], args: Any, kwargs: Mapping[str, Any]
) -> list[str]:
    """Return the full names of captured parameters that are used past their modules."""
    names = {
        id(parameter): f"{unit.path}.{name}" if unit.path else name
        for unit in units
        for name, parameter in unit.names.items()
    }
    handles = [handle for unit in units for handle in _detaching(unit)]
    try:
        with undisturbed(model), torch.enable_grad():
            reached = set(_reached(model(*args, **kwargs)))
    finally:
        for handle in handles:
            handle.remove()
        for unit in units:
            for name, parameter in unit.names.items():
                put_tensor(unit.module, name, parameter)
    return [name for key, name in names.items() if key in reached]


def refuse_bypassed(names: Sequence[str], where: str) -> None:
    """Refuse parameters that are used past their modules.

    Raises:
        GradientError: Code G123.
    """
    if names:
        raise GradientError(
            "G123",
            observed=f"{names[0]}, used outside the module that owns it ({len(names)} tensors)",
            expected="every use of a captured parameter inside its own module",
            where=where,
            hint="call the module in place of using its weight, or name the tensor in "
            "unattributed=[...]",
        )


def _detaching(unit: Unit) -> list[RemovableHandle]:
    """Let a module read detached parameters for the length of each call."""

    def before(module: nn.Module, _args: Any) -> None:
        for name, parameter in unit.names.items():
            put_tensor(module, name, parameter.detach())

    def after(module: nn.Module, _args: Any, _output: Any) -> None:
        for name, parameter in unit.names.items():
            put_tensor(module, name, parameter)

    return [
        unit.module.register_forward_pre_hook(before),
        unit.module.register_forward_hook(after, always_call=True),
    ]


def _reached(output: Any) -> Iterable[int]:
    """Yield the ``id`` of every leaf tensor that the outputs depend on."""
    leaves = [leaf for leaf in tree_flatten(output)[0] if isinstance(leaf, Tensor)]
    waiting: list[Any] = [leaf.grad_fn for leaf in leaves if leaf.grad_fn is not None]
    seen: set[Any] = set(waiting)
    while waiting:
        node = waiting.pop()
        if (variable := getattr(node, "variable", None)) is not None:
            yield id(variable)
        for following, _ in node.next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                waiting.append(following)
