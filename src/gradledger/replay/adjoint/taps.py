"""Taps on captured modules: what each visit's gradient has along a direction of the parameters.

With y = module(x; theta) and b = d loss / d y, the gradient that visit v gives the module's
parameters has the inner product <b_v, t_v> with a direction e, where t = (dy/dtheta) e is the
module's output along e. Weighted by depth and added up that is <G(theta), e>, G being the gradient
that the optimizer received; as b and t stay in autograd's graph, its gradient is the
Hessian-vector product, and no per-example gradient is ever formed.

Shape legend: K directions, R rows (visits of a micro-batch), P elements.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten
from torch.utils.hooks import RemovableHandle

from gradledger.gradient import Unit, row_axis
from gradledger.gradient.again import carries_gradient
from gradledger.gradient.rows import spread_over_rows, stands_for_all_rows
from gradledger.replay.adjoint.along import Part, by_row, output_along, unpadded, weighted
from gradledger.replay.adjoint.layout import Layout


@dataclass(frozen=True)
class Tapped:
    """One call of a module: what it wrote, and the same along every direction.

    Attributes:
        unit: The module.
        outputs: Tensors in autograd's graph, rows first or second.
        along: Part -> per direction one tensor per output.
    """

    unit: Unit
    outputs: list[Tensor]
    along: list[tuple[Part, list[list[Tensor]]]]


class Taps:
    """Hooks on all captured modules, active inside one micro-batch of a reverse step.

    Args:
        units: Which module captures which parameters.
        layout: Places of the parameters.

    Attributes:
        captured: ``id`` of the parameters of these modules.
    """

    def __init__(self, units: Sequence[Unit], layout: Layout) -> None:
        self._layout = layout
        self._units = {id(unit.module): unit for unit in units}
        self._handles: list[RemovableHandle] = []
        self._calls: list[Tapped] = []
        self._weights: Mapping[int, Tensor] = {}
        self._directions: list[Mapping[int, Tensor]] = []
        self._padding: dict[int, int | None] = {}
        self._num_rows = 0
        self._active = False
        self.captured = {id(value) for unit in units for value in unit.names.values()}
        self._bare = [p for p in layout.places if id(p.parameter) not in self.captured]

    def attach(self) -> None:
        """Put the hooks on the modules."""
        for unit in self._units.values():
            if getattr(unit.module, "padding_idx", None) is not None and (
                isinstance(unit.module, nn.Embedding)
            ):
                self._handles.append(unit.module.register_forward_pre_hook(self._unpad))
            self._handles.append(
                unit.module.register_forward_hook(self._after, prepend=True, with_kwargs=True)
            )

    def detach(self) -> None:
        """Take the hooks off."""
        while self._handles:
            self._handles.pop().remove()

    def aim(self, directions: Tensor) -> None:
        """Set the directions of the next step, shape (K, P)."""
        self._directions = [
            {
                id(place.parameter): part
                for place, part in zip(self._layout.places, parts, strict=True)
            }
            for parts in (self._layout.split(direction) for direction in directions)
        ]

    def begin(self, num_rows: int, weights: Mapping[int, Tensor]) -> None:
        """Begin a micro-batch with the depth weights of its rows, by ``id`` of the parameter."""
        self._num_rows, self._weights, self._calls, self._active = num_rows, weights, [], True

    def end(self) -> None:
        """Forget the micro-batch."""
        self._calls, self._active = [], False

    def pull(
        self, losses: Sequence[Tensor], cotangents: Sequence[Tensor | None]
    ) -> tuple[Tensor, Tensor]:
        """Return Hessian-vector products and inner products of one backward pass.

        Args:
            losses: What ``backward`` was called on.
            cotangents: Its gradient argument.

        Returns:
            d <G, e> / d theta, shape (K, P), and <g_v, e> by parameter group without depth
            weights, shape (K, R, G).
        """
        self._active = False
        # What follows is no call of the loop's.
        with torch._C.DisableTorchFunction():  # noqa: SLF001 - has no other name
            found = self._pull(losses, cotangents)
        self._active = True
        return found

    def _pull(
        self, losses: Sequence[Tensor], cotangents: Sequence[Tensor | None]
    ) -> tuple[Tensor, Tensor]:
        outputs = [value for call in self._calls for value in call.outputs]
        bare = [place.parameter for place in self._bare]
        found: Any = torch.autograd.grad(
            list(losses),
            [*outputs, *bare],
            list(cotangents),
            create_graph=True,
            allow_unused=True,
        )
        grads = iter(found[: len(outputs)])
        by_call = [[next(grads) for _ in call.outputs] for call in self._calls]
        num = len(self._directions)
        inner = torch.zeros(num, self._num_rows, self._layout.num_groups, dtype=torch.float64)
        products = []
        for k in range(num):
            pairs = self._pairs(k, by_call, inner[k])
            pairs += [
                (grad, self._directions[k][id(place.parameter)])
                for place, grad in zip(self._bare, found[len(outputs) :], strict=True)
                if grad is not None
            ]
            products.append(self._differentiate(pairs, last=k == num - 1))
        return torch.stack(products), inner

    def _pairs(
        self, k: int, by_call: Sequence[Sequence[Tensor | None]], inner: Tensor
    ) -> list[tuple[Tensor, Tensor]]:
        """Return what to differentiate with which cotangent, so that <G, e> is differentiated.

        <G, e> is a sum of products b t: its gradient takes t to b and b to t. The inner products
        of the rows are added to ``inner``, shape (R, G).
        """
        pairs = []
        for call, grads in zip(self._calls, by_call, strict=True):
            axis = row_axis(call.unit.module)
            for part, along in call.along:
                for grad, value in zip(grads, along[k], strict=True):
                    if grad is None:
                        continue
                    b, t = grad.detach(), value.detach()
                    per_row = by_row(b, t, axis, self._num_rows, call.unit.path)
                    inner[:, part.column] += per_row.double()
                    if part.weights is not None:
                        b, t = weighted(b, part.weights, axis), weighted(t, part.weights, axis)
                    pairs += [(grad, t), (value, b)]
        return [(output, cotangent) for output, cotangent in pairs if output.requires_grad]

    def _differentiate(self, pairs: Sequence[tuple[Tensor, Tensor]], *, last: bool) -> Tensor:
        parameters = self._layout.parameters
        if not pairs:
            return torch.zeros(self._layout.size, dtype=parameters[0].dtype)
        found: Any = torch.autograd.grad(
            [output for output, _ in pairs],
            parameters,
            [cotangent for _, cotangent in pairs],
            retain_graph=not last,
            allow_unused=True,
        )
        return self._layout.gather(
            [
                torch.zeros_like(value) if grad is None else grad
                for value, grad in zip(parameters, found, strict=True)
            ]
        )

    def _unpad(self, module: nn.Module, _args: Any) -> None:
        """Let autograd see what padding reads: training depends on it, though not by a gradient."""
        if self._active and torch.is_grad_enabled():
            table: Any = module
            self._padding[id(module)] = table.padding_idx
            table.padding_idx = None

    def _after(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
        if not self._active or not torch.is_grad_enabled() or output is None:
            return None
        unit = self._units[id(module)]
        padding = self._padding.pop(id(module), None)
        leaves, tree = tree_flatten(output)
        places = [index for index, leaf in enumerate(leaves) if carries_gradient(leaf)]
        outputs = [leaves[index] for index in places]
        spread = row_axis(module) == 0 and stands_for_all_rows(
            (args, kwargs), outputs, self._num_rows
        )
        if spread:
            outputs = spread_over_rows(outputs, self._num_rows)
        along = []
        for part in self._parts(unit):
            values = [
                self._along_of(unit, part, unpadded(unit, direction, padding), args, kwargs)
                for direction in self._directions
            ]
            if spread:
                values = [spread_over_rows(value, self._num_rows) for value in values]
            along.append((part, values))
        if padding is not None:
            table: Any = module
            table.padding_idx = padding
        self._calls.append(Tapped(unit, outputs, along))
        # What follows may write in place: it gets a tensor of its own.
        for index, value in zip(places, outputs, strict=True):
            leaves[index] = value.clone()
        return tree_unflatten(leaves, tree)

    def _parts(self, unit: Unit) -> list[Part]:
        found: dict[tuple[int, int], tuple[Tensor | None, list[str]]] = {}
        for name, parameter in unit.names.items():
            weights = self._weights.get(id(parameter))
            key = (self._layout.of[id(parameter)].column, id(weights))
            found.setdefault(key, (weights, []))[1].append(name)
        return [Part(key[0], weights, tuple(names)) for key, (weights, names) in found.items()]

    def _along_of(
        self, unit: Unit, part: Part, direction: Mapping[int, Tensor], args: Any, kwargs: Any
    ) -> list[Tensor]:
        self._active = False  # The call of the module is our own.
        try:
            return output_along(unit, part, direction, args, kwargs)
        finally:
            self._active = True
