"""What a module reads itself: its parameter tensors, and the axis of its inputs that counts rows.

Mostly those that are registered on it. Attention is the exception: it multiplies by the weight of
its child ``out_proj`` without calling the child, so a hook on the child would never fire.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


def bypassed_children(module: nn.Module) -> tuple[str, ...]:
    """Name the children whose parameters a module reads without calling them."""
    if (
        isinstance(module, nn.MultiheadAttention)
        and type(module).forward is nn.MultiheadAttention.forward
    ):
        return ("out_proj",)
    return ()


def read_parameters(module: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that a module reads itself: local dotted name -> tensor."""
    found = dict(module.named_parameters(recurse=False))
    for child in bypassed_children(module):
        owner = module.get_submodule(child)
        found |= {f"{child}.{name}": value for name, value in owner.named_parameters(recurse=False)}
    return found


def put_tensor(module: nn.Module, name: str, value: Tensor) -> None:
    """Put a tensor in the place of a parameter.

    Assigning by attribute would refuse a plain tensor, so the module's own table is written.

    Args:
        module: The module that reads the parameter.
        name: Local dotted name of the parameter.
        value: A parameter, or a plain tensor that stands in for one.
    """
    owner, _, local = name.rpartition(".")
    table: dict[str, Any] = module.get_submodule(owner)._parameters  # noqa: SLF001 - see above
    table[local] = value


def row_axis(module: nn.Module) -> int:
    """Return the axis that counts rows in what a module reads and writes.

    It is the first one, unless torch's own attention or recurrent layer was built the other way.
    """
    if isinstance(module, nn.MultiheadAttention | nn.RNNBase):
        return 0 if module.batch_first else 1
    return 0
