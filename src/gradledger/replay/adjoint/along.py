"""What one call of a module writes along a direction of its parameters, and products by row.

Shape legend: R rows (visits of a micro-batch).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp
from torch.nn import functional
from torch.utils._pytree import tree_flatten

from gradledger.errors import ReplayError
from gradledger.gradient import Unit
from gradledger.gradient.again import carries_gradient

#: Kinds whose output is linear in their parameters: along e it is the output with parameters e.
_LINEAR: Final = frozenset(
    {
        "linear",
        "embedding",
        "layer_norm",
        "rms_norm",
        "rms_norm_float32",
        "conv",
        "conv_transpose",
        "group_norm",
        "instance_norm",
        "transposed_linear",
        "embedding_bag",
    }
)


def _linear(_module: Any, x: Tensor, e: Mapping[str, Tensor]) -> Tensor:
    return functional.linear(x, e["weight"], e.get("bias"))


def _layer_norm(module: Any, x: Tensor, e: Mapping[str, Tensor]) -> Tensor:
    shape: Any = module.normalized_shape
    return functional.layer_norm(x, shape, e.get("weight"), e.get("bias"), module.eps)


#: Modules that are called as one function: exactly these classes, not their heirs.
_DIRECT: Final[dict[type, Any]] = {nn.Linear: _linear, nn.LayerNorm: _layer_norm}


@dataclass(frozen=True)
class Part:
    """Parameters of one module that share depth weights and a parameter group.

    Attributes:
        column: Number of the parameter group.
        weights: Depth weight of every row; None where all are 1.
        names: Local names of the parameters.
    """

    column: int
    weights: Tensor | None
    names: tuple[str, ...]


def output_along(
    unit: Unit, part: Part, direction: Mapping[int, Tensor], args: Any, kwargs: Any
) -> list[Tensor]:
    """Return (dy/dtheta) e for the parameters of a part."""
    module, wanted = unit.module, set(part.names)
    e = {
        name: direction[id(value)] if name in wanted else torch.zeros_like(value)
        for name, value in unit.names.items()
    }
    others = {name: value for name, value in module.named_parameters() if name not in unit.names}
    try:
        if type(module) in _DIRECT and len(args) == 1 and not kwargs:
            return [_DIRECT[type(module)](module, args[0], e)]
        if unit.kind.name in _LINEAR:
            still = {name: torch.zeros_like(value) for name, value in others.items()}
            result = functional_call(module, {**e, **still}, args, kwargs)
            return _tensors(result)
        held = {name: e[name] for name in part.names}
        live = {name: unit.names[name] for name in part.names}
        rest = {name: value for name, value in unit.names.items() if name not in wanted}
        with warnings.catch_warnings():
            # What torch says about its own scripting when it loads forward-mode rules.
            warnings.simplefilter("ignore", DeprecationWarning)
            outcome: Any = jvp(
                lambda values: tuple(
                    _tensors(functional_call(module, {**others, **rest, **values}, args, kwargs))
                ),
                (live,),
                (held,),
            )
        return list(outcome[1])
    except (RuntimeError, NotImplementedError) as error:
        raise ReplayError(
            "R173",
            observed=f"{type(error).__name__}: {str(error).splitlines()[0]}",
            expected="a module that forward-mode differentiation can run",
            where=unit.path or type(module).__name__,
            hint="ask for an executed replay instead: how='replay'",
        ) from error


def unpadded(unit: Unit, direction: Mapping[int, Tensor], padding: Any) -> Mapping[int, Tensor]:
    """Return the direction without the table row that torch gives no gradient."""
    if padding is None:
        return direction
    weight = unit.names["weight"]
    rest = direction[id(weight)].clone()
    rest[padding] = 0.0
    return {**direction, id(weight): rest}


def _tensors(output: Any) -> list[Tensor]:
    return [leaf for leaf in tree_flatten(output)[0] if carries_gradient(leaf)]


def by_row(first: Tensor, second: Tensor, axis: int, num_rows: int, where: str) -> Tensor:
    """Return the inner product of two tensors over everything that belongs to a row, shape (R,)."""
    if first.dim() <= axis or num_rows == 0 or first.shape[axis] % num_rows:
        raise ReplayError(
            "R173",
            observed=f"an output of shape {tuple(first.shape)}",
            expected=f"an axis {axis} that counts {num_rows} visits",
            where=where,
            hint="ask for an executed replay instead: how='replay'",
        )
    rows = [value.movedim(axis, 0).reshape(num_rows, -1) for value in (first, second)]
    products: Tensor = torch.linalg.vecdot(*rows)
    return products


def weighted(values: Tensor, weights: Tensor, axis: int) -> Tensor:
    """Weigh rows; those of weight 0 are dropped, not multiplied: 0 times infinity is no number."""
    moved = values.movedim(axis, 0)
    spread = weights.to(values.dtype).repeat_interleave(moved.shape[0] // len(weights))
    shaped = spread.view(-1, *[1] * (moved.dim() - 1))
    return torch.where(shaped == 0, 0.0, shaped * moved).movedim(0, axis)
