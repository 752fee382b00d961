"""What ``nn.MultiheadAttention`` does between its projections, in the same order of random draws.

Shape legend: L and S query and key positions, B sequences, H heads, E width, W width of a head.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


@dataclass(frozen=True)
class Masks:
    """What the caller said about which positions see which.

    Attributes:
        attention: Added to the scores: (L, S) or (B * H, L, S).
        padding: Added to the scores of each key: (B, S).
        causal: The hint that ``attention`` is the causal mask.
        need_weights: Whether the attention weights are written too.
        average: Whether those are averaged over heads.
    """

    attention: Tensor | None
    padding: Tensor | None
    causal: bool
    need_weights: bool
    average: bool

    @classmethod
    def of(cls, given: Mapping[str, Any], dtype: torch.dtype) -> Masks:
        """Read the arguments of ``nn.MultiheadAttention.forward``."""
        return cls(
            _added(given["attn_mask"], dtype),
            _added(given["key_padding_mask"], dtype),
            bool(given["is_causal"]),
            bool(given["need_weights"]),
            bool(given["average_attn_weights"]),
        )

    def merged(self, num_heads: int, num_added: int) -> Tensor | None:
        """Return one mask for all scores, (1 or B * H, 1 or L, S + added); None for no mask."""
        attention, padding = self.attention, self.padding
        if attention is not None:
            attention = F.pad(attention.reshape(-1, *attention.shape[-2:]), (0, num_added))
        if padding is None:
            return attention
        padding = F.pad(padding, (0, num_added))
        padding = padding[:, None, None, :].expand(-1, num_heads, -1, -1).flatten(0, 1)
        return padding if attention is None else attention + padding


def attend(
    module: nn.MultiheadAttention,
    projected: Sequence[Tensor],
    added: Mapping[str, Tensor],
    masks: Masks,
) -> tuple[Float[Tensor, "L B E"], Tensor | None]:
    """Return what the output projection reads, and the attention weights where asked for.

    Args:
        module: Gives heads, dropout and whether a zero position is added.
        projected: Queries, keys and values, sequence first.
        added: ``bias_k`` and ``bias_v``, one position for each sequence; empty if there are none.
        masks: What the caller said.

    Source:
        torch.nn.functional.multi_head_attention_forward, of which this is the part between the
        projections.
    """
    query, key, value = projected
    length, batch, width = query.shape
    heads, rate = module.num_heads, module.dropout if module.training else 0.0
    if added:
        key, value = torch.cat([key, added["bias_k"]]), torch.cat([value, added["bias_v"]])
    q, k, v = (
        part.reshape(part.shape[0], batch * heads, -1).transpose(0, 1)
        for part in (query, key, value)
    )
    if module.add_zero_attn:
        k, v = F.pad(k, (0, 0, 0, 1)), F.pad(v, (0, 0, 0, 1))
    hinted = masks.causal and masks.padding is None and not masks.need_weights
    mask = None if hinted else masks.merged(heads, k.shape[1] - projected[1].shape[0])
    if not masks.need_weights:
        q, k, v = (part.view(batch, heads, *part.shape[1:]) for part in (q, k, v))
        if mask is not None:
            mask = (
                mask.unsqueeze(0)
                if mask.shape[0] == 1
                else mask.view(batch, heads, *mask.shape[1:])
            )
        context = F.scaled_dot_product_attention(q, k, v, mask, rate, is_causal=hinted)
        return context.permute(2, 0, 1, 3).reshape(length, batch, width), None
    scores = torch.bmm(q * math.sqrt(1.0 / q.shape[2]), k.mT)
    weights = F.softmax(scores if mask is None else mask + scores, dim=-1)
    if rate > 0:
        weights = F.dropout(weights, rate)
    context = torch.bmm(weights, v).transpose(0, 1).reshape(length, batch, width)
    weights = weights.view(batch, heads, *weights.shape[1:])
    return context, weights.mean(1) if masks.average else weights


def _added(mask: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """Turn a mask of truth values into what is added to the scores."""
    if mask is None or mask.is_floating_point():
        return mask
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(mask, -math.inf)
