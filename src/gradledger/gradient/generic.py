"""Any other module: a local vector-Jacobian product per row.

What the module read and the gradient of what it wrote are enough to run the module alone, once
per row, and to ask autograd for the gradient of its own parameters. This covers normalisation
layers of other libraries, adapters, and parameters that a module uses directly. The second run
must write what the first one wrote, or the gradient is refused.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.utils.parametrize import ParametrizationList
from torch.utils._pytree import tree_flatten, tree_unflatten

from gradledger.errors import GradientError
from gradledger.gradient.again import carries_gradient
from gradledger.gradient.dense import Dense
from gradledger.gradient.form import Form
from gradledger.gradient.kind import Call
from gradledger.gradient.local import LocalRun
from gradledger.gradient.rows import has_rows


class GenericKind:
    """Per-example gradients through ``vmap(vjp(functional_call(module)))``.

    Source:
        torch.func: per-sample gradients by vmap over vjp.
    """

    name = "generic"
    wants_all_rows = True

    def refuses(self, module: nn.Module) -> str | None:
        """Refuse modules whose forward cannot be repeated row by row."""
        if isinstance(module, ParametrizationList):
            return "computes a weight (torch.nn.utils.parametrize), not rows"
        for name, child in module.named_modules():
            shown = name or type(child).__name__
            if isinstance(child, _DropoutNd) and child.p > 0:
                return f"draws random numbers ({shown}), so it cannot be run again"
            if isinstance(child, nn.MultiheadAttention | nn.RNNBase) and child.dropout > 0:
                return f"draws random numbers ({shown}, dropout={child.dropout:g})"
            if _mixes(child):
                return f"couples rows ({shown})"
        return None

    def forms(self, call: Call, names: frozenset[str]) -> dict[str, Form]:
        """Return dense forms for the named parameters."""
        module = call.module
        if any(_mixes(child) for child in module.modules()):
            raise GradientError(
                "G102",
                observed="batch statistics in training mode, in a module that was in evaluation "
                "mode when the run began",
                expected="the mode of normalisation layers to stay as it was",
                where=call.where,
                hint="set modes before gl.record, or name the module in unattributed=[...]",
            )
        fixed: dict[str, Tensor] = {
            name: value.detach().clone() for name, value in module.named_buffers()
        }
        parameters = {name: value.detach() for name, value in module.named_parameters()}
        wanted = {name: parameters.pop(name) for name in sorted(names)}
        fixed |= parameters
        leaves, tree = tree_flatten((call.args, dict(call.kwargs)))
        leaves = [leaf.detach() if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        mapped = [index for index, leaf in enumerate(leaves) if has_rows(leaf, call.num_rows)]
        kept = [index for index, grad in enumerate(call.output_grads) if grad is not None]
        grads = [grad for grad in call.output_grads if grad is not None]
        if any(not has_rows(grad, call.num_rows) for grad in grads):
            raise GradientError(
                "G101",
                observed=f"tensors of shapes {[tuple(grad.shape) for grad in grads]} written",
                expected=f"a first axis that counts {call.num_rows} visits",
                where=call.where,
                hint="name the module in unattributed=[...] if it mixes or drops rows",
            )

        def run_one(values: dict[str, Tensor], rows: list[Tensor]) -> list[Tensor]:
            filled = list(leaves)
            for index, row in zip(mapped, rows, strict=True):
                filled[index] = row.unsqueeze(0)
            args, kwargs = tree_unflatten(filled, tree)
            output = functional_call(module, {**fixed, **values}, args, kwargs)
            written = [leaf for leaf in tree_flatten(output)[0] if carries_gradient(leaf)]
            return [written[index].squeeze(0) for index in kept]

        run = LocalRun(run_one, wanted, [leaves[index] for index in mapped], grads, call.where)
        result = run.of_rows(call.rows, [call.outputs[index] for index in kept])
        return {name: Dense(value.flatten(1)) for name, value in result.items()}


def _mixes(module: nn.Module) -> bool:
    """Tell whether a module takes its statistics from the batch."""
    return isinstance(module, _BatchNorm) and (module.training or not module.track_running_stats)
