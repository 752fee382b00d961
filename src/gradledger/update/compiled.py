"""The lines of one tensor by the compiled passes, where there are any and they fit."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

import torch
from torch import Tensor

from gradledger.native import CompiledPasses, Law, compiled_passes
from gradledger.update.passes import Part
from gradledger.update.realised import Realised

__all__ = [
    "change_norm",
    "compiled_comparison",
    "compiled_sums",
    "entry_weights_of_change",
    "inverse_root",
]

_FORMATS: Final = (torch.float32, torch.float64)


def compiled_sums(
    whole: Part, law: Realised, kappa: float
) -> dict[str, tuple[float, float]] | None:
    """Measure every direction of a tensor in one pass and carry its accounts.

    Args:
        whole: Flat inputs of the whole tensor.
        law: The realised law; only its numbers are read here.
        kappa: Clip factor of the tensor.

    Returns:
        Squared norm and inner product by slot, all slots; None where the tensor is on a device or
        in a half format, or no compiler was found: nothing has been done then.
    """
    tensors: dict[str, Tensor | None] = {
        name: getattr(whole, name) for name in Part.__dataclass_fields__
    }
    passes = _passes_for(tensors.values())
    if passes is None:
        return None
    numbers = Law(
        gradient=law.sign * law.gradient_factor,
        incurred=law.sign * law.incurred_factor,
        kappa=kappa,
        history=law.history_factor,
        inventory=law.inventory_factor,
        coupled_cash=law.gradient_factor * law.coupled_decay,
        coupled_accrual=-law.incurred_factor * law.coupled_decay,
        decoupled=law.decoupled_decay,
        retain=law.retain,
        intake=law.intake * law.coupled_decay,
        is_coupled=bool(law.coupled_decay),
        scaled_intake=law.scaled_intake,
    )
    return passes.measure_lines(
        {name: 0 if value is None else value.data_ptr() for name, value in tensors.items()},
        numbers,
        whole.before.numel(),
        double=whole.before.dtype is torch.float64,
        num_threads=torch.get_num_threads(),
    )


def compiled_comparison(used: Tensor, raw: Tensor) -> tuple[float, float, bool] | None:
    """Return <used, raw>, <raw, raw> and whether both hold the same bits; None as above."""
    passes = _passes_for((used, raw))
    if passes is None:
        return None
    return passes.compare(
        used.data_ptr(),
        raw.data_ptr(),
        raw.numel(),
        double=raw.dtype is torch.float64,
        num_threads=torch.get_num_threads(),
    )


def entry_weights_of_change(law: Realised, after: Tensor, before: Tensor) -> Tensor:
    """Return ``law.entry_weights(after - before)``, in one pass where there is one.

    Args:
        law: The realised law.
        after: Parameter after the step.
        before: Parameter before the step, same shape.
    """
    tensors = (after, before, law.gradient_scale)
    passes = _passes_for(tensors) if law.mixing is None else None
    if passes is None:
        return law.entry_weights(after - before)
    out = torch.empty_like(after)
    passes.weigh(
        after.data_ptr(),
        before.data_ptr(),
        0 if law.gradient_scale is None else law.gradient_scale.data_ptr(),
        -law.incurred_factor * law.sign,
        out.data_ptr(),
        out.numel(),
        double=out.dtype is torch.float64,
        num_threads=torch.get_num_threads(),
    )
    return out


def inverse_root(values: Tensor, floor: float) -> Tensor:
    """Return 1 / (sqrt(values) + floor), in one pass where there is one."""
    passes = _passes_for((values,))
    if passes is None:
        return torch.sqrt(values).add_(floor).reciprocal_()
    out = torch.empty_like(values)
    passes.inverse_root(
        values.data_ptr(),
        floor,
        out.data_ptr(),
        out.numel(),
        double=out.dtype is torch.float64,
        num_threads=torch.get_num_threads(),
    )
    return out


def change_norm(after: Tensor, before: Tensor) -> float:
    """Return |after - before| of two tensors of one shape, in one pass where there is one.

    On one thread: callers have many tensors to share.
    """
    passes = _passes_for((after, before))
    if passes is None:
        return float(torch.linalg.vector_norm(after - before, dtype=torch.float64))
    square = passes.distance(
        before.data_ptr(),
        after.data_ptr(),
        after.numel(),
        double=after.dtype is torch.float64,
        num_threads=1,
    )
    return math.sqrt(square)


def _passes_for(tensors: Iterable[Tensor | None]) -> CompiledPasses | None:
    """Return the compiled passes where they can read all of these tensors, else None."""
    given = [tensor for tensor in tensors if tensor is not None]
    dtype = given[0].dtype
    fit = dtype in _FORMATS and all(
        tensor.dtype is dtype and tensor.device.type == "cpu" and tensor.is_contiguous()
        for tensor in given
    )
    return compiled_passes() if fit else None
