"""Root-mean-square normalisation in float32: T5's norm, and Llama's and its kin in transformers.

Known by what they hold and write, since each model family has a class of its own: one ``weight``,
``variance_epsilon``, and an output that is ``weight * xhat`` with xhat computed in float32.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gradledger.gradient.dense import Dense
from gradledger.gradient.form import Form
from gradledger.gradient.kind import Call
from gradledger.gradient.rows import split_rows


class Float32RMSNormKind:
    """Scale by ``sum_t xhat_t * b_t``; there is no shift."""

    name = "rms_norm_float32"
    wants_all_rows = False

    def refuses(self, module: nn.Module) -> str | None:
        """Accept modules that hold a weight and an epsilon alone, and write ``weight * xhat``."""
        weight = getattr(module, "weight", None)
        holds = (
            isinstance(weight, nn.Parameter)
            and weight.dim() == 1
            and isinstance(getattr(module, "variance_epsilon", None), float)
            and [name for name, _ in module.named_parameters()] == ["weight"]
            and not any(True for _ in module.children())
            and not any(True for _ in module.buffers())
        )
        if holds and isinstance(weight, Tensor) and _writes_scaled_norm(module, weight):
            return None
        return "forward is not that of a root-mean-square norm in float32"

    def forms(self, call: Call, names: frozenset[str]) -> dict[str, Form]:
        """Return the form of ``weight``."""
        if call.output_grad is None or "weight" not in names:
            return {}
        x, grads = call.input.detach(), call.output_grad
        if x.dtype is torch.float32 and grads.dtype is torch.float32:
            # xhat is x times one number per position: that number weighs the sum over positions.
            products = split_rows(x * grads, call.num_rows, call.where)
            sizes = split_rows(_inverse_size(x, call.module), call.num_rows, call.where)
            return {"weight": Dense(torch.bmm(sizes.mT, products).squeeze(1))}
        product = _normalised(x, call.module).to(grads.dtype) * grads
        return {"weight": Dense(split_rows(product, call.num_rows, call.where).sum(1))}


def _inverse_size(x: Tensor, module: nn.Module) -> Tensor:
    """Return what x is multiplied with to become xhat, one number per position."""
    epsilon = float(module.variance_epsilon)  # type: ignore[arg-type]
    size = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return torch.rsqrt(size.square_().div_(x.shape[-1]).add_(epsilon))


def _normalised(x: Tensor, module: nn.Module) -> Tensor:
    """Return xhat as the module computes it, in the format of its input."""
    wide = x.to(torch.float32)
    variance = wide.pow(2).mean(-1, keepdim=True)
    epsilon = float(module.variance_epsilon)  # type: ignore[arg-type]
    return (wide * torch.rsqrt(variance + epsilon)).to(x.dtype)


def _writes_scaled_norm(module: nn.Module, weight: Tensor) -> bool:
    """Try three rows of different sizes, one so small that the epsilon shows."""
    with torch.no_grad():
        row = torch.linspace(-1, 2, weight.numel(), dtype=weight.dtype, device=weight.device)
        trial = torch.stack([row, 30 * row.flip(0), 1e-3 * row])
        try:
            written = module.forward(trial)
        except (RuntimeError, TypeError, AttributeError):
            return False
        if not isinstance(written, Tensor) or written.shape != trial.shape:
            return False
        expected = weight * _normalised(trial, module)
        return torch.allclose(written.double(), expected.double(), rtol=1e-5, atol=1e-8)
