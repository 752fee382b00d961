"""Any other module: a local vector-Jacobian product per row.

What the module read and the gradient of what it wrote are enough to run the module alone, once
per row, and to ask autograd for the gradient of its own parameters. This covers normalisation
layers of other libraries, adapters, and parameters that a module uses directly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vjp, vmap
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.utils._pytree import tree_flatten, tree_unflatten

from gradledger.errors import GradientError
from gradledger.gradient.dense import Dense
from gradledger.gradient.form import Form
from gradledger.gradient.kind import Call
from gradledger.gradient.rows import has_rows


class GenericKind:
    """Per-example gradients through ``vmap(vjp(functional_call(module)))``.

    Source:
        torch.func: per-sample gradients by vmap over vjp.
    """

    name = "generic"

    def refuses(self, module: nn.Module) -> str | None:
        """Refuse modules whose forward cannot be repeated row by row."""
        for name, child in module.named_modules():
            shown = name or type(child).__name__
            if isinstance(child, _DropoutNd) and child.p > 0:
                return f"draws random numbers ({shown}), so it cannot be run again"
            if isinstance(child, _BatchNorm):
                return f"couples rows ({shown})"
            if isinstance(child, nn.RNNBase):
                return f"holds a recurrent layer ({shown})"
        return None

    def forms(self, call: Call, names: frozenset[str]) -> dict[str, Form]:
        """Return dense forms for the named parameters."""
        parameters = {name: value.detach() for name, value in call.module.named_parameters()}
        wanted = {name: parameters[name] for name in sorted(names)}
        rest = {name: value for name, value in parameters.items() if name not in names}
        leaves, tree = tree_flatten((call.args, dict(call.kwargs)))
        leaves = [leaf.detach() if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        mapped = [index for index, leaf in enumerate(leaves) if has_rows(leaf, call.num_rows)]
        grads = [grad for grad in call.output_grads if grad is not None]
        kept = [index for index, grad in enumerate(call.output_grads) if grad is not None]
        if not mapped or any(not has_rows(grad, call.num_rows) for grad in grads):
            raise GradientError(
                "G101",
                observed=f"tensors of shapes {[tuple(grad.shape) for grad in grads]} written",
                expected=f"a first axis that counts {call.num_rows} visits",
                where=type(call.module).__name__,
                hint="name the module in unattributed=[...] if it mixes or drops rows",
            )

        def run_one(values: dict[str, Tensor], rows: list[Tensor]) -> list[Tensor]:
            filled = list(leaves)
            for index, row in zip(mapped, rows, strict=True):
                filled[index] = row.unsqueeze(0)
            args, kwargs = tree_unflatten(filled, tree)
            output = functional_call(call.module, {**rest, **values}, args, kwargs)
            written = [leaf for leaf in tree_flatten(output)[0] if isinstance(leaf, Tensor)]
            return [written[index].squeeze(0) for index in kept]

        def gradients(rows: list[Tensor], cotangents: list[Tensor]) -> dict[str, Tensor]:
            pull = vjp(lambda values: run_one(values, rows), wanted)[1]
            return dict(pull(cotangents)[0])

        result = _over_rows(gradients, [leaves[index] for index in mapped], grads)
        return {name: Dense(value.flatten(1)) for name, value in result.items()}


def _over_rows(
    function: Callable[[list[Tensor], list[Tensor]], dict[str, Tensor]],
    inputs: list[Tensor],
    grads: list[Tensor],
) -> dict[str, Tensor]:
    """Map over rows at once; row by row where vmap has no rule for what the module does."""
    try:
        return dict(vmap(function)(inputs, grads))
    except (RuntimeError, NotImplementedError, ValueError):
        rows = [
            function([value[row] for value in inputs], [grad[row] for grad in grads])
            for row in range(inputs[0].shape[0])
        ]
        return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


def written_tensors(output: Any) -> list[Tensor]:
    """Return the tensors that a module wrote, in the order of ``Call.output_grads``."""
    return [leaf for leaf in tree_flatten(output)[0] if isinstance(leaf, Tensor)]
