"""Layer kinds: the interface and the registry that joins one file per kind.

A kind turns what a module read and the gradient of what it wrote into per-example gradients of
the module's own parameters. Adding a kind is one file and one line in ``kinds.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from torch import Tensor, nn

from gradledger.gradient.again import RandomState
from gradledger.gradient.form import Form
from gradledger.gradient.rows import select_rows


@dataclass(frozen=True)
class Call:
    """One call of a module.

    For most kinds it is restricted to the rows that may contribute. A kind with ``wants_all_rows``
    gets the whole batch, and the last three attributes beside it.

    Attributes:
        module: The module.
        args: Positional arguments; tensors whose first axis counts the rows hold those rows only.
        kwargs: Keyword arguments, likewise.
        output_grads: Gradient with respect to each output tensor, in order; None where none came.
        num_rows: Number of rows.
        rows: Places of the rows that may contribute; None for all.
        outputs: What the module wrote, in order; None where it was changed in place since.
        random: The random generators before the call, where the module draws.
        path: Dotted name of the module.
    """

    module: nn.Module
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    output_grads: tuple[Tensor | None, ...]
    num_rows: int
    rows: Tensor | None = None
    outputs: tuple[Tensor | None, ...] = ()
    random: RandomState | None = None
    path: str = ""

    @property
    def where(self) -> str:
        """The module, for messages."""
        return self.path or type(self.module).__name__

    @property
    def input(self) -> Tensor:
        """The first argument, however it was passed."""
        value = self.args[0] if self.args else next(iter(self.kwargs.values()))
        return value if isinstance(value, Tensor) else Tensor()

    @property
    def output_grad(self) -> Tensor | None:
        """Gradient of the single output."""
        return self.output_grads[0]

    def permitted(self, rows: Tensor | None) -> Call:
        """Restrict the call to the rows that may contribute."""
        if rows is None:
            return self
        return replace(
            self,
            args=select_rows(self.args, rows, self.num_rows),
            kwargs=select_rows(self.kwargs, rows, self.num_rows),
            output_grads=select_rows(self.output_grads, rows, self.num_rows),
            num_rows=rows.numel(),
        )


class LayerKind(Protocol):
    """What one kind of layer must say about itself."""

    @property
    def name(self) -> str:
        """Name in the group schema, such as ``"linear"``."""

    @property
    def wants_all_rows(self) -> bool:
        """Whether ``forms`` selects the rows itself, from a call that holds the whole batch."""

    def refuses(self, module: nn.Module) -> str | None:
        """Return why this kind cannot capture the module, or None if it can."""

    def forms(self, call: Call, names: frozenset[str]) -> dict[str, Form]:
        """Return the per-example gradients of the named parameters of the module.

        Args:
            call: One call of the module with its output gradients.
            names: Local names of the parameters that are asked for.

        Returns:
            A form per name, with one row per permitted visit.

        Raises:
            GradientError: The shapes do not hold one row per visit (G101), or the module cannot be
                run again (G108).
        """
