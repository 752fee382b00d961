"""Attention of torch: ``nn.MultiheadAttention`` with all its options.

Its projections are linear maps inside one forward pass. That pass is run again from the projected
queries, keys and values on, with the same random numbers, so that autograd gives the gradient of
each projection's output; from there on the gradients are those of linear layers. Attention mixes
positions, never rows.

Shape legend: L and S query and key positions, B sequences (a multiple of the visits), E width.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from inspect import signature
from typing import Any, Final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gradledger.gradient.again import refuse_other_output
from gradledger.gradient.attention_core import Masks, attend
from gradledger.gradient.bias import bias_form
from gradledger.gradient.dense import Dense
from gradledger.gradient.form import Form
from gradledger.gradient.kind import Call
from gradledger.gradient.outer_product import OuterProduct
from gradledger.gradient.rows import split_rows
from gradledger.gradient.stacked import Stacked

_SIGNATURE: Final = signature(nn.MultiheadAttention.forward)


class AttentionKind:
    """Projections by outer products; ``bias_k`` and ``bias_v`` by what their position received."""

    name = "attention"
    wants_all_rows = True

    def refuses(self, module: nn.Module) -> str | None:
        """Accept modules whose forward is that of ``nn.MultiheadAttention``."""
        if (
            isinstance(module, nn.MultiheadAttention)
            and type(module).forward is nn.MultiheadAttention.forward
        ):
            return None
        return "forward is not that of nn.MultiheadAttention"

    def forms(self, call: Call, names: frozenset[str]) -> dict[str, Form]:
        """Return forms for the projections in and out and for the added key and value."""
        module = call.module
        if not isinstance(module, nn.MultiheadAttention):
            return {}
        found = _run_again(module, call)
        rows = _Rows(call.num_rows, call.rows, call.where)
        forms: dict[str, Form] = {}
        sources, grads = found.sources, found.grads
        if "in_proj_weight" in names:
            forms["in_proj_weight"] = _packed(rows, sources, grads)
        for name, source, grad in zip(
            ("q_proj_weight", "k_proj_weight", "v_proj_weight"), sources, grads, strict=True
        ):
            if name in names:
                forms[name] = OuterProduct(rows.split(source), rows.split(grad))
        if "in_proj_bias" in names:
            forms["in_proj_bias"] = Dense.summed(*(rows.split(g) for g in grads))
        for name, received in found.added.items():
            if name in names:
                forms[name] = Dense.summed(rows.split(received))
        written = call.output_grads[0]
        if written is not None:
            out = rows.split(_sequence_first(written, module))
            context = rows.split(found.context).to(out.dtype)
            forms["out_proj.weight"] = OuterProduct(context, out)
            forms["out_proj.bias"] = bias_form(out)
        return {name: form for name, form in forms.items() if name in names}


@dataclass(frozen=True)
class _Found:
    """What lies between the projections, and its gradients; sequence first."""

    sources: tuple[Tensor, Tensor, Tensor]
    grads: tuple[Tensor, Tensor, Tensor]
    added: dict[str, Tensor]
    context: Tensor


@dataclass(frozen=True)
class _Rows:
    """How sequences belong to visits."""

    num_rows: int
    kept: Tensor | None
    where: str

    def split(self, values: Float[Tensor, "L B E"]) -> Float[Tensor, "R T E"]:
        """Put rows first and keep those that may contribute."""
        rows = split_rows(values.transpose(0, 1), self.num_rows, self.where)
        return rows if self.kept is None else rows.index_select(0, self.kept)


def _packed(
    rows: _Rows, sources: tuple[Tensor, Tensor, Tensor], grads: tuple[Tensor, Tensor, Tensor]
) -> Form:
    """Return the form of the packed weight: one product for self-attention, else one per part."""
    if sources[0] is sources[1] and sources[1] is sources[2]:
        return OuterProduct(rows.split(sources[0]), rows.split(torch.cat(grads, 2)))
    pairs = zip(sources, grads, strict=True)
    return Stacked(tuple(OuterProduct(rows.split(s), rows.split(g)) for s, g in pairs))


def _run_again(module: nn.MultiheadAttention, call: Call) -> _Found:
    """Run from the projections on, with the same random numbers, and differentiate."""
    bound = _SIGNATURE.bind(module, *call.args, **call.kwargs)
    bound.apply_defaults()
    given: dict[str, Any] = bound.arguments
    sources = _sources(module, given, call)
    batch = sources[0].shape[1]
    parameters = {name: value.detach() for name, value in module.named_parameters()}
    projected = _project(parameters, sources)
    added: dict[str, Tensor] = {
        name: parameters[name].expand(1, batch, -1).clone().requires_grad_()
        for name in ("bias_k", "bias_v")
        if name in parameters
    }
    masks = Masks.of(given, projected[0].dtype)
    with torch.enable_grad(), call.random.repeated() if call.random else nullcontext():
        context, attention = attend(module, projected, added, masks)
    weight, bias = parameters["out_proj.weight"], parameters.get("out_proj.bias")
    output = F.linear(context.detach(), weight.to(context.dtype), bias)
    second = [_sequence_first(output, module), *([] if attention is None else [attention.detach()])]
    refuse_other_output(call.outputs, second, call.where)
    roots, cotangents = [], []
    if (written := call.output_grads[0]) is not None:
        roots.append(context)
        cotangents.append(_sequence_first(written, module).to(weight.dtype) @ weight)
    if attention is not None and (seen := call.output_grads[1]) is not None:
        roots.append(attention)
        cotangents.append(seen)
    leaves = [*projected, *added.values()]
    found: Sequence[Tensor | None] = torch.autograd.grad(
        roots, leaves, cotangents, allow_unused=True
    )
    grads = [
        torch.zeros_like(leaf) if g is None else g for leaf, g in zip(leaves, found, strict=True)
    ]
    return _Found(
        sources,
        (grads[0], grads[1], grads[2]),
        dict(zip(added, grads[3:], strict=True)),
        context.detach(),
    )


def _sources(
    module: nn.MultiheadAttention, given: dict[str, Any], call: Call
) -> tuple[Tensor, Tensor, Tensor]:
    """Return query, key and value, sequence first; the same tensor stays the same."""
    seen: dict[int, Tensor] = {}
    for name in ("query", "key", "value"):
        value = given[name]
        if value.dim() <= 2:  # noqa: PLR2004 - positions and width, but no batch
            split_rows(value.new_empty(()), call.num_rows, call.where)
        seen.setdefault(id(value), _sequence_first(value.detach(), module))
    query, key, value = (seen[id(given[name])] for name in ("query", "key", "value"))
    return query, key, value


def _project(parameters: dict[str, Tensor], sources: tuple[Tensor, ...]) -> list[Tensor]:
    """Return projected queries, keys and values as leaves of a new graph."""
    if "in_proj_weight" in parameters:
        weights: Sequence[Tensor] = parameters["in_proj_weight"].chunk(3)
    else:
        weights = tuple(parameters[f"{name}_proj_weight"] for name in "qkv")
    bias = parameters.get("in_proj_bias")
    biases = (None, None, None) if bias is None else bias.chunk(3)
    return [
        F.linear(source.to(weight.dtype), weight, offset).requires_grad_()
        for source, weight, offset in zip(sources, weights, biases, strict=True)
    ]


def _sequence_first(values: Tensor, module: nn.MultiheadAttention) -> Tensor:
    """Swap the first two axes where the module has the batch first; its own inverse."""
    return values.transpose(0, 1) if module.batch_first else values
