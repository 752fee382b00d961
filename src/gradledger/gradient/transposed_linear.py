"""Linear layers that store their weight I x O: ``Conv1D`` of transformers' GPT-2 family."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from gradledger.gradient.bias import bias_form
from gradledger.gradient.form import Form
from gradledger.gradient.kind import Call
from gradledger.gradient.outer_product import OuterProduct
from gradledger.gradient.rows import split_rows

#: Classes known by their path, so that their library need not be installed.
PATHS: Final = frozenset(["transformers.pytorch_utils.Conv1D"])


class TransposedLinearKind:
    """Weight by outer products the other way round, bias by sums over positions."""

    name = "transposed_linear"
    wants_all_rows = False

    def refuses(self, module: nn.Module) -> str | None:
        """Accept classes that are known by path, keep their forward and compute ``x W + b``."""
        reason = f"forward is not that of {', '.join(sorted(PATHS))}"
        for known in type(module).__mro__:
            if f"{known.__module__}.{known.__qualname__}" in PATHS:
                same = type(module).forward is known.__dict__.get("forward")
                return None if same and _computes_affine_map(module) else reason
        return reason

    def forms(self, call: Call, names: frozenset[str]) -> dict[str, Form]:
        """Return forms for ``weight`` and ``bias``."""
        forms: dict[str, Form] = {}
        if call.output_grad is None:
            return forms
        grads = split_rows(call.output_grad, call.num_rows, call.where)
        if "weight" in names:
            inputs = split_rows(call.input.detach(), call.num_rows, call.where)
            forms["weight"] = OuterProduct(inputs.to(grads.dtype), grads, transposed=True)
        if "bias" in names:
            forms["bias"] = bias_form(grads)
        return forms


def _computes_affine_map(module: nn.Module) -> bool:
    """Try one input: a class of the same path in another release may do something else."""
    weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
    if (
        not isinstance(weight, Tensor)
        or not isinstance(bias, Tensor)
        or weight.shape[1:] != bias.shape
    ):
        return False
    with torch.no_grad():
        trial = torch.linspace(-1, 1, weight.shape[0], dtype=weight.dtype, device=weight.device)
        try:
            written = module.forward(trial.view(1, -1))
        except (RuntimeError, TypeError, AttributeError):
            return False
        expected = (trial @ weight + bias).view(1, -1)
        return written.shape == expected.shape and torch.allclose(
            written.float(), expected.float(), rtol=1e-2, atol=1e-2
        )
