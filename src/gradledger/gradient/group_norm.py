"""Group normalisation: scale and shift per channel, summed over positions."""

from __future__ import annotations

import torch.nn.functional as F
from torch import nn

from gradledger.gradient.channels import channel_sums
from gradledger.gradient.form import Form
from gradledger.gradient.kind import Call


class GroupNormKind:
    """Scale by ``sum_t xhat_t * b_t``, shift by ``sum_t b_t``, per channel."""

    name = "group_norm"
    wants_all_rows = False

    def refuses(self, module: nn.Module) -> str | None:
        """Accept modules whose forward is that of ``nn.GroupNorm``."""
        if isinstance(module, nn.GroupNorm) and type(module).forward is nn.GroupNorm.forward:
            return None
        return "forward is not that of nn.GroupNorm"

    def forms(self, call: Call, names: frozenset[str]) -> dict[str, Form]:
        """Return forms for ``weight`` and ``bias``."""
        module, grads = call.module, call.output_grad
        if grads is None or not isinstance(module, nn.GroupNorm):
            return {}
        forms: dict[str, Form] = {}
        if "weight" in names:
            normalised = F.group_norm(
                call.input.detach(), module.num_groups, None, None, module.eps
            )
            forms["weight"] = channel_sums(normalised.to(grads.dtype) * grads, call)
        if "bias" in names:
            forms["bias"] = channel_sums(grads, call)
        return forms
