"""Recurrent layers: ``nn.RNN``, ``nn.LSTM``, ``nn.GRU``, run again one visit at a time.

Their batch is the first or the second axis of what they read and write, and always the second one
of their states. vmap has no rule for them, so this is a loop over visits.
"""

from __future__ import annotations

from itertools import chain
from typing import Final

from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils.rnn import PackedSequence

from gradledger.errors import GradientError
from gradledger.gradient.dense import Dense
from gradledger.gradient.form import Form
from gradledger.gradient.kind import Call
from gradledger.gradient.local import LocalRun

_CLASSES: Final = (nn.RNN, nn.LSTM, nn.GRU)


class RecurrentKind:
    """Gradients of each visit by running it alone."""

    name = "recurrent"
    wants_all_rows = True

    def refuses(self, module: nn.Module) -> str | None:
        """Accept torch's recurrent layers without dropout between their layers."""
        for kind in _CLASSES:
            if isinstance(module, kind) and type(module).forward is kind.forward:
                if module.dropout > 0 and module.num_layers > 1:
                    return f"draws random numbers between its layers (dropout={module.dropout:g})"
                return None
        return "forward is not that of nn.RNN, nn.LSTM or nn.GRU"

    def forms(self, call: Call, names: frozenset[str]) -> dict[str, Form]:
        """Return dense forms for the named parameters."""
        module = call.module
        if not isinstance(module, _CLASSES):
            return {}
        given = (*call.args, *call.kwargs.values())
        if isinstance(given[0], PackedSequence):
            raise GradientError(
                "G101",
                observed="a packed sequence",
                expected="padded sequences, one per visit",
                where=call.where,
                hint="pass the padded tensor, or name the module in unattributed=[...]",
            )
        axis = 0 if module.batch_first else 1
        inputs = [_rows_first(given[0], axis, call)]
        states = given[1] if len(given) > 1 else None
        inputs += [_rows_first(state, 1, call) for state in _flat(states)]
        axes = [axis, *([1] * (len(call.output_grads) - 1))]
        kept = [place for place, grad in enumerate(call.output_grads) if grad is not None]
        grads = [_rows_first(call.output_grads[place], axes[place], call) for place in kept]
        outputs = [
            None
            if (value := call.outputs[place]) is None
            else _rows_first(value, axes[place], call)
            for place in kept
        ]
        parameters = {name: value.detach() for name, value in module.named_parameters()}
        wanted = {name: parameters.pop(name) for name in sorted(names)}

        def run_one(values: dict[str, Tensor], rows: list[Tensor]) -> list[Tensor]:
            own = [row.unsqueeze(1) for row in rows[1:]]
            state = tuple(own) if isinstance(states, tuple) else (own[0] if own else None)
            written = functional_call(
                module, {**parameters, **values}, (rows[0].unsqueeze(axis), state)
            )
            flat = list(chain.from_iterable(_flat(part) for part in written))
            return [flat[place].squeeze(axes[place]) for place in kept]

        result = LocalRun(run_one, wanted, inputs, grads, call.where, loop=True).of_rows(
            call.rows, outputs
        )
        return {name: Dense(value.flatten(1)) for name, value in result.items()}


def _flat(states: object) -> list[Tensor]:
    if isinstance(states, Tensor):
        return [states]
    return list(states) if isinstance(states, tuple) else []


def _rows_first(values: Tensor | None, axis: int, call: Call) -> Tensor:
    """Move the row axis to the front.

    Raises:
        GradientError: There is none. Code G101.
    """
    batched = values is not None and values.dim() > 2  # noqa: PLR2004 - positions and width
    if values is None or not batched or values.shape[axis] != call.num_rows:
        raise GradientError(
            "G101",
            observed=f"a tensor of shape {None if values is None else tuple(values.shape)}",
            expected=f"axis {axis} to count {call.num_rows} visits",
            where=call.where,
            hint="pass one sequence per visit, or name the module in unattributed=[...]",
        )
    return values.detach().movedim(axis, 0)
