"""What the pass over the lines of one tensor is given: numbers of a law, and addresses."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, fields
from typing import Final

#: Order of the sums, as in passes.c.
SLOTS: Final = (
    "delta", "gradient", "gap", "edits", "history", "history_decay", "decay", "inventory",
    "revaluation", "remainder", "rounding", "residual", "accrual_rounding", "accrual_residual",
    "two_ulp",
)  # fmt: skip
#: Order of the addresses, as in passes.c; 0 for what is not there.
INPUTS: Final = (
    "before", "after", "raw", "used", "captured", "momentum_before", "momentum_after",
    "gradient_scale", "carried_scale", "remainder", "inventory", "decay_momentum",
)  # fmt: skip


@dataclass(frozen=True)
class Law:
    """Numbers of a realised law, in the order of ``struct law`` in passes.c."""

    gradient: float
    incurred: float
    kappa: float
    history: float
    inventory: float
    coupled_cash: float
    coupled_accrual: float
    decoupled: float
    retain: float
    intake: float
    is_coupled: bool
    scaled_intake: bool


class LawStruct(ctypes.Structure):
    """The same, as C reads it."""

    _fields_ = tuple(
        (field.name, ctypes.c_double if field.type == "float" else ctypes.c_int)
        for field in fields(Law)
    )


class InputsStruct(ctypes.Structure):
    """The addresses, as C reads them."""

    _fields_ = tuple((name, ctypes.c_void_p) for name in INPUTS)
