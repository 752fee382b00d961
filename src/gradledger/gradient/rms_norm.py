"""Root-mean-square normalisation: torch's own ``nn.RMSNorm``."""

from __future__ import annotations

import torch.nn.functional as F
from torch import nn

from gradledger.gradient.dense import Dense
from gradledger.gradient.form import Form
from gradledger.gradient.kind import Call
from gradledger.gradient.rows import split_rows


class RMSNormKind:
    """Scale by ``sum_t xhat_t * b_t``; there is no shift."""

    name = "rms_norm"
    wants_all_rows = False

    def refuses(self, module: nn.Module) -> str | None:
        """Accept modules whose forward is that of ``nn.RMSNorm``."""
        if isinstance(module, nn.RMSNorm) and type(module).forward is nn.RMSNorm.forward:
            return None
        return "forward is not that of nn.RMSNorm"

    def forms(self, call: Call, names: frozenset[str]) -> dict[str, Form]:
        """Return the form of ``weight``."""
        module, grads = call.module, call.output_grad
        if grads is None or "weight" not in names or not isinstance(module, nn.RMSNorm):
            return {}
        shape = list(module.normalized_shape)
        normalised = F.rms_norm(call.input.detach(), shape, None, module.eps)
        product = (normalised.to(grads.dtype) * grads).flatten(grads.dim() - len(shape))
        return {"weight": Dense(split_rows(product, call.num_rows, "RMSNorm").sum(1))}
