"""A module's own backward pass, one row at a time: at once by vmap, or in a loop.

The loop is the slow path for modules that vmap has no rule for (recurrent layers, custom autograd
functions, control flow that depends on values).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.func import vjp, vmap

from gradledger.errors import GradientError
from gradledger.gradient.again import refusal, refuse_other_output

#: Runs the module on single rows, without their row axis; returns what it wrote, likewise.
RunOne = Callable[[dict[str, Tensor], list[Tensor]], list[Tensor]]


@dataclass(frozen=True)
class LocalRun:
    """One call of a module, ready to be run again row by row.

    Attributes:
        run_one: Runs one row with given parameters.
        wanted: Parameters whose gradients are asked for.
        inputs: Tensors that the module read, rows first.
        grads: Gradients of what it wrote, rows first.
        where: The module, for messages.
        loop: Whether vmap is known to have no rule for it.
    """

    run_one: RunOne
    wanted: dict[str, Tensor]
    inputs: list[Tensor]
    grads: list[Tensor]
    where: str
    loop: bool = False

    def of_rows(self, rows: Tensor | None, outputs: Sequence[Tensor | None]) -> dict[str, Tensor]:
        """Return the gradient of each wanted parameter for the given rows, rows first.

        Args:
            rows: Places of the rows; None for all.
            outputs: What the module wrote when it ran, rows first; None where not known.

        Raises:
            GradientError: The module writes something else now, or cannot be run. Code G108.
        """
        inputs, grads, first = self.inputs, self.grads, list(outputs)
        if rows is not None:
            inputs = [value.index_select(0, rows) for value in inputs]
            grads = [value.index_select(0, rows) for value in grads]
            first = [None if value is None else value.index_select(0, rows) for value in first]
        try:
            result, second = self._run(inputs, grads)
        except GradientError:
            raise
        except Exception as error:
            raise refusal(
                f"{type(error).__name__} when it ran on one row: {error}", self.where
            ) from error
        refuse_other_output(first, second, self.where)
        return result

    def _run(
        self, inputs: list[Tensor], grads: list[Tensor]
    ) -> tuple[dict[str, Tensor], list[Tensor]]:
        if not self.loop:
            try:
                with warnings.catch_warnings():
                    # A missing vmap rule inside is slow, not wrong.
                    warnings.simplefilter("ignore")
                    mapped: Any = vmap(self._gradients)
                    found, written = mapped(inputs, grads)
                    return dict(found), list(written)
            except (RuntimeError, ValueError, TypeError):
                pass  # No rule for something inside: one row at a time.
        devices = {value.device for value in inputs if value.device.type == "cuda"}
        with torch.random.fork_rng(list(devices)):
            pairs = [
                self._gradients_alone(
                    [value[row] for value in inputs], [grad[row] for grad in grads]
                )
                for row in range(grads[0].shape[0])
            ]
        found = {name: torch.stack([pair[0][name] for pair in pairs]) for name in self.wanted}
        return found, [torch.stack(written) for written in zip(*(p[1] for p in pairs), strict=True)]

    def _gradients(
        self, row: list[Tensor], cotangents: list[Tensor]
    ) -> tuple[dict[str, Tensor], list[Tensor]]:
        outcome: Any = vjp(lambda values: self.run_one(values, row), self.wanted)
        written, pull = outcome
        found = pull([grad.to(out.dtype) for grad, out in zip(cotangents, written, strict=True)])
        return dict(found[0]), written

    def _gradients_alone(
        self, row: list[Tensor], cotangents: list[Tensor]
    ) -> tuple[dict[str, Tensor], list[Tensor]]:
        """Use plain autograd, which runs whatever the module itself could run."""
        with torch.enable_grad():
            values = {name: value.clone().requires_grad_() for name, value in self.wanted.items()}
            written = self.run_one(values, row)
            pairs = [
                (out, grad)
                for out, grad in zip(written, cotangents, strict=True)
                if out.requires_grad
            ]
            found: Sequence[Tensor | None] = [None] * len(values)
            if pairs:
                found = torch.autograd.grad(
                    [out for out, _ in pairs],
                    list(values.values()),
                    [grad for _, grad in pairs],
                    allow_unused=True,
                )
        return (
            {
                name: torch.zeros_like(value) if grad is None else grad
                for (name, value), grad in zip(values.items(), found, strict=True)
            },
            [out.detach() for out in written],
        )
