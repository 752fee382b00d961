"""Bags of embeddings: table rows that were summed or averaged."""

from __future__ import annotations

from inspect import signature
from typing import Final

import torch
from torch import Tensor, nn

from gradledger.errors import GradientError
from gradledger.gradient.form import Form
from gradledger.gradient.kind import Call
from gradledger.gradient.row_sparse import RowSparse

_SIGNATURE: Final = signature(nn.EmbeddingBag.forward)


class EmbeddingBagKind:
    """Weight by scattering each bag's gradient to the table rows that it holds."""

    name = "embedding_bag"
    wants_all_rows = True

    def refuses(self, module: nn.Module) -> str | None:
        """Accept sums and means; the options that change the gradient are refused."""
        if (
            not isinstance(module, nn.EmbeddingBag)
            or type(module).forward is not nn.EmbeddingBag.forward
        ):
            return "forward is not that of nn.EmbeddingBag"
        if module.mode == "max":
            return "mode='max' picks an element per coordinate; only sums and means are booked"
        if module.sparse:
            return "sparse gradients are not booked; pass sparse=False"
        if module.max_norm is not None:
            return "max_norm rewrites the table in the forward pass"
        if module.scale_grad_by_freq:
            return "scale_grad_by_freq divides by counts over the whole batch"
        return None

    def forms(self, call: Call, names: frozenset[str]) -> dict[str, Form]:
        """Return the form of ``weight``."""
        module, grads = call.module, call.output_grad
        if grads is None or "weight" not in names or not isinstance(module, nn.EmbeddingBag):
            return {}
        bound = _SIGNATURE.bind(module, *call.args, **call.kwargs)
        bound.apply_defaults()
        tokens, offsets = bound.arguments["input"], bound.arguments["offsets"]
        scale: Tensor | None = bound.arguments["per_sample_weights"]
        num_bags = grads.shape[0]
        if num_bags % call.num_rows:
            raise GradientError(
                "G101",
                observed=f"{num_bags} bags",
                expected=f"a number that counts {call.num_rows} visits",
                where=call.where,
                hint="make bags of one visit neighbours, or name the module in unattributed=[...]",
            )
        bag = _bags(tokens, offsets, num_bags)
        values = grads[bag]
        tokens = tokens.reshape(-1)[: bag.numel()]
        counted = torch.ones_like(bag, dtype=torch.bool)
        if module.padding_idx is not None:
            counted = tokens != module.padding_idx
        if module.mode == "mean":
            sizes = torch.zeros(num_bags, dtype=values.dtype, device=values.device)
            values = values / sizes.index_add(0, bag, counted.to(values.dtype))[bag].unsqueeze(1)
        if scale is not None:
            values = values * scale.detach().reshape(-1, 1)
        visits = bag // (num_bags // call.num_rows)
        return {"weight": _keep(visits[counted], tokens[counted], values[counted], call, module)}


def _bags(tokens: Tensor, offsets: Tensor | None, num_bags: int) -> Tensor:
    """Return the bag of each token."""
    every = torch.arange(num_bags, device=tokens.device)
    if offsets is None:
        return every.repeat_interleave(tokens.shape[1])
    starts = offsets[:num_bags].contiguous()
    places = torch.arange(tokens.shape[0], device=tokens.device)
    return torch.searchsorted(starts, places, right=True) - 1


def _keep(
    visits: Tensor, tokens: Tensor, values: Tensor, call: Call, module: nn.EmbeddingBag
) -> RowSparse:
    """Drop the visits that may not contribute, number the others anew, add up duplicates."""
    table, num_rows = (module.num_embeddings, module.embedding_dim), call.num_rows
    if call.rows is not None:
        place = torch.full((num_rows,), -1, device=visits.device, dtype=visits.dtype)
        place[call.rows] = torch.arange(call.rows.numel(), device=visits.device)
        visits, num_rows = place[visits], call.rows.numel()
        kept = visits >= 0
        visits, tokens, values = visits[kept], tokens[kept], values[kept]
    key, where = torch.unique(visits * table[0] + tokens, return_inverse=True)
    summed = values.new_zeros(key.shape[0], table[1]).index_add_(0, where, values)
    return RowSparse(key // table[0], key % table[0], summed, num_rows, table)
