"""Linear layers: ``nn.Linear`` and classes that keep its forward."""

from __future__ import annotations

from torch import nn

from gradledger.gradient.bias import bias_form
from gradledger.gradient.form import Form
from gradledger.gradient.kind import Call
from gradledger.gradient.outer_product import OuterProduct
from gradledger.gradient.rows import split_rows


class LinearKind:
    """Weight by outer products, bias by sums over positions.

    Source:
        Goodfellow (2015), Efficient per-example gradient computations; 02 of the design names
        the forms: ``gamma = sum_t b_t a_t^T``.
    """

    name = "linear"
    wants_all_rows = False

    def refuses(self, module: nn.Module) -> str | None:
        """Accept modules whose forward is that of ``nn.Linear``."""
        if isinstance(module, nn.Linear) and type(module).forward is nn.Linear.forward:
            return None
        return "forward is not that of nn.Linear"

    def forms(self, call: Call, names: frozenset[str]) -> dict[str, Form]:
        """Return forms for ``weight`` and ``bias``."""
        forms: dict[str, Form] = {}
        if call.output_grad is None:
            return forms
        where = type(call.module).__name__
        grads = split_rows(call.output_grad, call.num_rows, where)
        if "weight" in names:
            inputs = split_rows(call.input.detach(), call.num_rows, where)
            forms["weight"] = OuterProduct(inputs.to(grads.dtype), grads)
        if "bias" in names:
            forms["bias"] = bias_form(grads)
        return forms
