"""What each number format can resolve, and how far its books may be off.

The unit in the last place of a binary float is its power of two times the format's epsilon. The
power of two is the exponent field alone, so it is read with a bit mask: no logarithm, no branch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from gradledger.errors import UpdateError

__all__ = ["TESTABLE", "Precision", "precision_of", "two_ulp"]

#: Largest 2 |ulp(theta)| / |delta| at which a balance still says something.
TESTABLE: Final = 1e-3


@dataclass(frozen=True)
class Precision:
    """Facts about one format.

    Attributes:
        tolerance: Largest |residual| / sum of line norms, and largest gap ratio, that balances.
        compute: Format in which lines are computed.
        bits: Integer format of the same width.
        exponent: Mask of the exponent field.
    """

    tolerance: float
    compute: torch.dtype
    bits: torch.dtype
    exponent: int


# The two half formats: the optimizer rounds after each of its four or five elementary operations,
# each time by half an epsilon, so their bars are about five times that.
_PRECISIONS: Final[dict[torch.dtype, Precision]] = {
    torch.float64: Precision(1e-12, torch.float64, torch.int64, 0x7FF0_0000_0000_0000),
    torch.float32: Precision(1e-5, torch.float32, torch.int32, 0x7F80_0000),
    torch.float16: Precision(2.5e-3, torch.float32, torch.int16, 0x7C00),
    torch.bfloat16: Precision(2e-2, torch.float32, torch.int16, 0x7F80),
}


def precision_of(dtype: torch.dtype, where: str = "") -> Precision:
    """Look up the facts about a format.

    Raises:
        UpdateError: U103 for formats whose updates cannot be booked (complex, 8 bit, integers).
    """
    try:
        return _PRECISIONS[dtype]
    except KeyError:
        raise UpdateError(
            "U103",
            observed=f"dtype {str(dtype).removeprefix('torch.')}",
            expected="one of " + ", ".join(str(d).removeprefix("torch.") for d in _PRECISIONS),
            where=where,
            hint="train this parameter in a real floating-point format",
        ) from None


def two_ulp(first: Tensor, second: Tensor, out: Tensor, work: Tensor) -> Tensor:
    """Write 2 ulp(max(|first|, |second|)) into ``out``, elementwise.

    Below the normal range the bound stays at the smallest normal number of ``out``: subnormal
    operands would cost a hundred cycles each and bound nothing that matters.

    Args:
        first: Flat, any bookable format.
        second: Flat, same format.
        out: Same length, the compute format; overwritten.
        work: Like ``out``; overwritten.
    """
    spec = _PRECISIONS[first.dtype]
    info = torch.finfo(first.dtype)
    if out.dtype is first.dtype:
        power, other = out.view(spec.bits), work.view(spec.bits)
    else:
        power, other = (torch.empty_like(first, dtype=spec.bits) for _ in range(2))
    torch.bitwise_and(first.view(spec.bits), spec.exponent, out=power)
    torch.bitwise_and(second.view(spec.bits), spec.exponent, out=other)
    # Exponent fields order like the numbers, so the larger field belongs to the larger magnitude.
    torch.maximum(power, other, out=power)
    floor = max(2 * info.eps * info.tiny, torch.finfo(out.dtype).tiny)
    bound = power.view(first.dtype).to(out.dtype)
    return torch.add(out.new_full((), floor), bound, alpha=2 * info.eps, out=out)
