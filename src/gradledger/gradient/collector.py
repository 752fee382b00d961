"""Collector: the sink of one call of a module, which turns its output gradients into uses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.utils._pytree import tree_flatten

from gradledger.errors import GradientError
from gradledger.gradient.again import RandomState, Written, count_changes
from gradledger.gradient.kind import Call
from gradledger.gradient.unit import Unit

if TYPE_CHECKING:
    from gradledger.gradient.capture import Capture


class Collector:
    """Remembers what a module read until the gradient of what it wrote arrives.

    Args:
        owner: Takes the uses.
        unit: The module.
        inputs: Positional and keyword arguments of the call.
        written: What the module wrote, where its kind asks for that.
        random: The random generators before the call, where the module draws.
        routed: Whether the call itself is to return the gradients of the parameters.
        substitutes: Whether gradients of visits are held and their sum is the parameter's gradient.
    """

    def __init__(
        self,
        owner: Capture,
        unit: Unit,
        inputs: tuple[Any, Any],
        written: Sequence[Written],
        random: RandomState | None,
        *,
        routed: bool,
        substitutes: bool = False,
    ) -> None:
        self._owner, self._unit, self._routed = owner, unit, routed
        self._substitutes, self._first = substitutes, dict.fromkeys(unit.names, 0)
        (self._args, self._kwargs), self._written, self._random = inputs, written, random
        self._versions = self._read_versions()

    def _read_versions(self) -> list[int]:
        leaves = tree_flatten((self._args, self._kwargs))[0]
        return [count_changes(leaf) for leaf in leaves if isinstance(leaf, Tensor)]

    def __call__(self, grads: tuple[Tensor | None, ...]) -> list[Tensor]:
        """Collect; in routed mode return the gradients of the unit's parameters."""
        owner, unit = self._owner, self._unit
        if owner.is_paused:
            return []
        if self._read_versions() != self._versions:
            raise GradientError(
                "G106",
                observed="an input that was changed in place after the module read it",
                expected="inputs that stay as they were until the backward pass",
                where=unit.path or type(unit.module).__name__,
                hint="replace the in-place operation, or name the module in unattributed=[...]",
            )
        self._first = {name: len(owner.uses(value)) for name, value in unit.names.items()}
        if any(grad is not None for grad in grads):
            owner.collect(
                unit,
                Call(
                    unit.module,
                    self._args,
                    self._kwargs,
                    grads,
                    owner.num_rows,
                    outputs=tuple(output.still() for output in self._written),
                    random=self._random,
                    path=unit.path,
                ),
                hold=self._substitutes,
            )
        return self.emit() if self._routed else []

    def emit(self) -> list[Tensor]:
        """Return the gradients of the unit's parameters from what was collected last."""
        return self._owner.emit(self._unit, self._first, remember=not self._substitutes)
