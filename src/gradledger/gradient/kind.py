"""Layer kinds: the interface and the registry that joins one file per kind.

A kind turns what a module read and the gradient of what it wrote into per-example gradients of
the module's own parameters. Adding a kind is one file and one line in ``kinds.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from gradledger.gradient.form import Form


@dataclass(frozen=True)
class Call:
    """One call of a module, restricted to the rows that may contribute.

    Attributes:
        module: The module.
        args: Positional arguments; tensors whose first axis counts the rows hold those rows only.
        kwargs: Keyword arguments, likewise.
        output_grads: Gradient with respect to each output tensor, in order; None where none came.
        num_rows: Number of rows.
    """

    module: nn.Module
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    output_grads: tuple[Tensor | None, ...]
    num_rows: int

    @property
    def input(self) -> Tensor:
        """The first argument, however it was passed."""
        value = self.args[0] if self.args else next(iter(self.kwargs.values()))
        return value if isinstance(value, Tensor) else Tensor()

    @property
    def output_grad(self) -> Tensor | None:
        """Gradient of the single output."""
        return self.output_grads[0]


class LayerKind(Protocol):
    """What one kind of layer must say about itself."""

    @property
    def name(self) -> str:
        """Name in the group schema, such as ``"linear"``."""

    def refuses(self, module: nn.Module) -> str | None:
        """Return why this kind cannot capture the module, or None if it can."""

    def forms(self, call: Call, names: frozenset[str]) -> dict[str, Form]:
        """Return the per-example gradients of the named parameters of the module.

        Args:
            call: One call of the module with its output gradients.
            names: Local names of the parameters that are asked for.

        Raises:
            GradientError: The shapes do not hold one row per visit. Code G101.
        """
