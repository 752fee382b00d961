"""Checks on gradients before, and between backward and update: nothing has been changed yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, optim

from gradledger.errors import GradientError, InputError
from gradledger.recorder.norms import tensor_norms
from gradledger.recorder.tracked import Tracked

#: Largest difference between accumulated and emitted gradient that is rounding.
LEAK: Final = 1e-5


def refuse_leftovers(entries: Sequence[Tracked], where: str) -> None:
    """Refuse gradients from before the step: they have no visits to be booked to.

    Raises:
        InputError: Code I111.
    """
    grads = [entry.parameter.grad for entry in entries if entry.parameter.grad is not None]
    if grads and bool(tensor_norms(grads).any()):
        raise InputError(
            "I111",
            observed="gradients left from before the step",
            expected="none, or zeros",
            where=where,
            hint="call optimizer.zero_grad() after optimizer.step(); accumulate inside one "
            "run.step with step.micro_batch(batch)",
        )


def refuse_infinite(entries: Sequence[Tracked], where: str) -> None:
    """Refuse gradients that are not finite.

    Raises:
        GradientError: Code G103.
    """
    grads = [entry.parameter.grad for entry in entries if entry.parameter.grad is not None]
    if not grads or bool(tensor_norms(grads).isfinite().all()):
        return
    for entry in entries:
        grad = entry.parameter.grad
        if grad is not None and not bool(grad.isfinite().all()):
            count = int((~grad.isfinite()).sum())
            raise GradientError(
                "G103",
                observed=f"{count} of {grad.numel()} elements NaN or infinite in {entry.name}",
                expected="finite gradients; the optimizer has not stepped",
                where=where,
                hint="look at the loss of this batch; leave the with block to skip the step",
            )


def refuse_unbooked(optimizer: optim.Optimizer, entries: Sequence[Tracked], where: str) -> None:
    """Refuse parameters that joined the optimizer, or were unfrozen, after the run began.

    Raises:
        InputError: Code I109.
    """
    known = {id(entry.parameter) for entry in entries}
    for index, param_group in enumerate(optimizer.param_groups):
        for parameter in param_group["params"]:
            if parameter.grad is not None and id(parameter) not in known:
                raise InputError(
                    "I109",
                    observed=f"a gradient on a tensor of shape {tuple(parameter.shape)} in param "
                    f"group {index} that had no books when the run began",
                    expected="the parameters that were trainable and in the optimizer at gl.record",
                    where=where,
                    hint="add and unfreeze parameters before gl.record, or close this run and "
                    "record the rest of the training as another",
                )


def refuse_leak(entry: Tracked, emitted: Tensor | None, where: str) -> None:
    """Refuse gradient that reached a limited tensor past its depth profile.

    Args:
        entry: A routed tensor.
        emitted: The gradient that its taps gave it; None where they gave none.
        where: The step.

    Raises:
        GradientError: Code G105.
    """
    if entry.parameter.grad is None:
        return
    reference = entry.raw if entry.has_raw else torch.zeros_like(entry.raw)
    excess = reference if emitted is None else reference - emitted
    size = reference.norm()
    if emitted is not None:
        size = torch.maximum(size, emitted.norm())
    if float(excess.norm()) > LEAK * float(size):
        raise GradientError(
            "G105",
            observed=f"gradient on {entry.name} that the depth profile did not see "
            f"(norm {float(excess.norm()):.3g} of {float(size):.3g})",
            expected="every use of a limited tensor inside its own module",
            where=where,
            hint="leave the block of this tensor at weight 1, or use it through its module",
        )


def check_choice(name: str, value: str, allowed: Sequence[str]) -> None:
    """Refuse a setting that is not one of those allowed.

    Raises:
        InputError: Another value. Code I104.
    """
    if value not in allowed:
        raise InputError(
            "I104",
            observed=f"{name}={value!r}",
            expected="one of " + ", ".join(repr(choice) for choice in allowed),
            where="gl.record",
        )
