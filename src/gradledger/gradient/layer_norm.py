"""Layer normalisation: scale and shift, summed over positions."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from gradledger.gradient.dense import Dense
from gradledger.gradient.form import Form
from gradledger.gradient.kind import Call
from gradledger.gradient.rows import split_rows


class LayerNormKind:
    """Scale by ``sum_t xhat_t * b_t``, shift by ``sum_t b_t``."""

    name = "layer_norm"
    wants_all_rows = False

    def refuses(self, module: nn.Module) -> str | None:
        """Accept modules whose forward is that of ``nn.LayerNorm``."""
        if isinstance(module, nn.LayerNorm) and type(module).forward is nn.LayerNorm.forward:
            return None
        return "forward is not that of nn.LayerNorm"

    def forms(self, call: Call, names: frozenset[str]) -> dict[str, Form]:
        """Return forms for ``weight`` and ``bias``."""
        module, grads = call.module, call.output_grad
        if grads is None or not isinstance(module, nn.LayerNorm):
            return {}
        forms: dict[str, Form] = {}
        if "weight" in names:
            normalised = F.layer_norm(
                call.input.detach(), module.normalized_shape, None, None, module.eps
            )
            forms["weight"] = _summed(normalised.to(grads.dtype) * grads, call, module)
        if "bias" in names:
            forms["bias"] = _summed(grads, call, module)
        return forms


def _summed(values: Tensor, call: Call, module: nn.LayerNorm) -> Dense:
    """Sum over positions; the normalised axes become one."""
    flat = values.flatten(values.dim() - len(module.normalized_shape))
    return Dense(split_rows(flat, call.num_rows, "LayerNorm").sum(1))
