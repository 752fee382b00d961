"""Running a module again: what a kind needs for that, and the proof that it was the same run.

Some gradients need more than inputs and output gradients: attention needs what lies between its
projections, an unknown module has to be run row by row. The second run must write what the first
one wrote; where it does not, the module drew other random numbers, mixed rows or holds state.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gradledger.errors import GradientError

#: Largest relative difference between two runs that is rounding, by dtype of what was written.
TOLERANCE = {torch.float64: 1e-7, torch.float32: 1e-3}
#: The same for half precision.
HALF_TOLERANCE = 5e-2


def count_changes(value: Tensor) -> int:
    """Return how often a tensor was changed in place."""
    return value._version  # noqa: SLF001 - torch has no public name for it


@dataclass(frozen=True)
class Written:
    """What a module wrote, without its history, and whether it still stands there.

    Attributes:
        value: Shares memory with the output.
        version: Count of in-place changes when the module had just written it.
    """

    value: Tensor
    version: int

    @classmethod
    def note(cls, output: Tensor) -> Written:
        """Note an output that was just written."""
        return cls(output.detach(), count_changes(output))

    def still(self) -> Tensor | None:
        """Return the value; None where it was changed in place since."""
        return self.value if count_changes(self.value) == self.version else None


@dataclass(frozen=True)
class RandomState:
    """States of the random generators that a module may draw from.

    Attributes:
        cpu: State of the CPU generator.
        device: The CUDA device of the module; None on the CPU.
        cuda: State of that device's generator.
    """

    cpu: Tensor
    device: torch.device | None = None
    cuda: Tensor | None = None

    @classmethod
    def now(cls, module: nn.Module) -> RandomState:
        """Read the generators before the module draws."""
        device = next((value.device for value in module.parameters()), torch.device("cpu"))
        if device.type != "cuda":
            return cls(torch.get_rng_state())
        return cls(torch.get_rng_state(), device, torch.cuda.get_rng_state(device))

    @contextmanager
    def repeated(self) -> Iterator[None]:
        """Draw the same numbers again, then put the generators back."""
        with torch.random.fork_rng([self.device] if self.device is not None else []):
            torch.set_rng_state(self.cpu)
            if self.device is not None and self.cuda is not None:
                torch.cuda.set_rng_state(self.cuda, self.device)
            yield


def carries_gradient(leaf: Any) -> bool:
    """Tell whether a value is a tensor that autograd can differentiate."""
    return isinstance(leaf, Tensor) and (leaf.is_floating_point() or leaf.is_complex())


def draws_random(module: nn.Module) -> bool:
    """Tell whether a module itself draws: torch's attention and recurrent layers in training."""
    rate = getattr(module, "dropout", 0.0)
    return isinstance(rate, int | float) and rate > 0 and module.training


def refuse_other_output(
    first: Sequence[Tensor | None], second: Sequence[Tensor | None], where: str
) -> None:
    """Refuse a second run that wrote something else than the first.

    Args:
        first: What the module wrote; None where that is not known any more.
        second: What it wrote when it was run again, in the same order.
        where: The module.

    Raises:
        GradientError: Code G108.
    """
    for old, new in zip(first, second, strict=True):
        if old is None or new is None or not old.is_floating_point():
            continue
        size = float(old.double().norm())
        apart = float((old.double() - new.double()).norm()) if old.shape == new.shape else size + 1
        if apart > TOLERANCE.get(old.dtype, HALF_TOLERANCE) * size + 1e-12:
            raise refusal(
                f"an output of norm {size:.3g}, off by {apart:.3g} when the module runs again",
                where,
            )


def refusal(observed: str, where: str) -> GradientError:
    """Return the error for a module whose forward pass cannot be repeated."""
    return GradientError(
        "G108",
        observed=observed,
        expected="the same output for each visit alone, with the same inputs",
        where=where,
        hint="take randomness, state and mixing of rows out of this module's own forward, or name "
        "it in unattributed=[...]",
    )
