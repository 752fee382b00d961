"""The lines of one tensor by the compiled passes, where there are any and they fit."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from gradledger.native import Law, compiled_passes
from gradledger.update.passes import Part
from gradledger.update.realised import Realised

__all__ = ["compiled_sums"]

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
    dtype = whole.before.dtype
    tensors: dict[str, Tensor | None] = {
        name: getattr(whole, name) for name in Part.__dataclass_fields__
    }
    fit = dtype in _FORMATS and all(
        value is None
        or (value.dtype is dtype and value.device.type == "cpu" and value.is_contiguous())
        for value in tensors.values()
    )
    passes = compiled_passes() if fit else None
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
        double=dtype is torch.float64,
        num_threads=torch.get_num_threads(),
    )
