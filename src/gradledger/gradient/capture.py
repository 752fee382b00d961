"""Capture: hooks on modules that collect the per-example gradients of one step.

Hooks sit on modules and on activations, never on parameters, so that sharded parameters work.
Outside ``micro_batch`` and without autograd the hooks do nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten
from torch.utils.hooks import RemovableHandle

from gradledger.errors import GradientError
from gradledger.gradient.again import (
    RandomState,
    Written,
    carries_gradient,
    draws_random,
)
from gradledger.gradient.collector import Collector
from gradledger.gradient.form import Form
from gradledger.gradient.held import SUBSTITUTED, Shelf
from gradledger.gradient.kind import Call
from gradledger.gradient.ownership import put_tensor, row_axis
from gradledger.gradient.rows import spread_over_rows, stands_for_all_rows
from gradledger.gradient.tap import tap_input, tap_outputs
from gradledger.gradient.unit import Unit

#: What torch says where a whole graph was asked for.
_REASON: Final = "gradledger reads what modules write: compile without fullgraph=True"


@dataclass(frozen=True)
class Use:
    """The per-example gradients of one parameter tensor from one call of its module.

    Attributes:
        micro_batch: Which forward and backward pass of the step.
        form: The gradients, permitted rows only.
        rows: Which rows of the micro-batch the form holds; None for all.
        weights: Depth weight of each held row; None where all are 1.
    """

    micro_batch: int
    form: Form
    rows: Tensor | None
    weights: Tensor | None


class Capture:
    """Collects the uses of every captured parameter during a step.

    Args:
        units: Which module captures which parameters.
        collect_passive: Whether gradients are collected where nothing is routed; depth weights are
            enforced either way.
        substitute: Whether the sum of per-example gradients stands in for autograd's own weight
            gradient, in modules for which that is a matrix product.

    Attributes:
        num_rows: Visits of the current micro-batch.
        is_paused: Whether nothing is collected right now, gradients that arrive included.
    """

    def __init__(
        self, units: Sequence[Unit], *, collect_passive: bool = True, substitute: bool = False
    ) -> None:
        self._collect_passive = collect_passive
        self._shelf = Shelf(keeps=collect_passive)
        self._substituted = {
            id(unit.module) for unit in units if substitute and unit.kind.name in SUBSTITUTED
        }
        self._links: dict[int, _Link] = {}
        self._units = {id(unit.module): unit for unit in units}
        self._handles: list[RemovableHandle] = []
        self._uses: dict[int, list[Use]] = {}
        self._emitted: dict[int, Tensor] = {}
        self._weights: Mapping[int, Tensor] = {}
        self._held: dict[int, dict[str, nn.Parameter]] = {}
        self._random: dict[int, RandomState] = {}
        self.num_rows = 0
        self._micro_batch = -1
        self._active = self.is_paused = False

    def attach(self) -> None:
        """Put the hooks on the modules."""
        # A compiled model stops its graphs at them, in place of tracing what they do.
        before, after = (
            torch.compiler.disable(hook, reason=_REASON)  # type: ignore[no-untyped-call]
            for hook in (self._before, self._after)
        )
        for unit in self._units.values():
            self._handles += [
                # First of all hooks: what the module's own hooks do is part of the model.
                unit.module.register_forward_pre_hook(before, prepend=True),
                unit.module.register_forward_hook(
                    after, prepend=True, with_kwargs=True, always_call=True
                ),
            ]

    def detach(self) -> None:
        """Take the hooks off the modules."""
        while self._handles:
            self._handles.pop().remove()

    @contextmanager
    def micro_batch(self, num_rows: int, weights: Mapping[int, Tensor]) -> Iterator[None]:
        """Collect one forward and backward pass.

        Args:
            num_rows: Visits in the micro-batch.
            weights: Depth weight per row for every routed parameter, by ``id``; parameters that
                are not named stay passive.
        """
        self.num_rows, self._weights, self._active = num_rows, weights, True
        self._micro_batch += 1
        try:
            yield
        finally:
            self._active = False

    @property
    def active(self) -> bool:
        """Whether a micro-batch is being collected."""
        return self._active

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Collect nothing for a while, such as during forward and backward passes of our own."""
        before, self._active = self._active, False
        self.is_paused = True
        try:
            yield
        finally:
            self._active, self.is_paused = before, False

    def emitted(self, parameter: nn.Parameter) -> Tensor | None:
        """Return the gradient that routed taps gave a parameter in this step; None if passive."""
        return self._emitted.get(id(parameter))

    def uses(self, parameter: nn.Parameter) -> list[Use]:
        """Return what was collected for a parameter in this step."""
        return self._uses.get(id(parameter), [])

    def clear(self) -> None:
        """Forget the step."""
        self._uses, self._emitted, self._micro_batch = {}, {}, -1
        self._shelf.clear()

    def _is_routed(self, unit: Unit) -> bool:
        return any(id(parameter) in self._weights for parameter in unit.names.values())

    def _before(self, module: nn.Module, args: Any) -> Any:
        """Where autograd is not to give the gradients, run with detached parameters."""
        unit = self._units[id(module)]
        if not self._active or not torch.is_grad_enabled():
            return None
        if unit.kind.wants_all_rows and draws_random(module):
            self._random[id(module)] = RandomState.now(module)
        substitutes = id(module) in self._substituted
        if not substitutes and not self._is_routed(unit):
            return None
        self._held[id(module)] = unit.names
        for name, parameter in unit.names.items():
            put_tensor(module, name, parameter.detach())
        first = args[0] if args else None
        if not substitutes or self._is_routed(unit) or not isinstance(first, Tensor):
            return None
        if not first.requires_grad:
            return None  # A tap there would make autograd compute a gradient that nobody wants.
        link = self._links[id(module)] = _Link()
        return (tap_input(first, link.emit, list(unit.names.values())), *args[1:])

    def _after(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
        """Restore the parameters and put a tap behind the outputs."""
        held = self._held.pop(id(module), None)
        random = self._random.pop(id(module), None)
        link = self._links.pop(id(module), None)
        for name, parameter in (held or {}).items():
            put_tensor(module, name, parameter)
        if not self._active or not torch.is_grad_enabled() or output is None:
            return None
        if held is None and not self._collect_passive:
            return None
        unit = self._units[id(module)]
        leaves, tree = tree_flatten(output)
        places = [index for index, leaf in enumerate(leaves) if carries_gradient(leaf)]
        outputs = [leaves[index] for index in places]
        if held is None and not any(value.requires_grad for value in outputs):
            return None
        if not outputs:
            raise GradientError(
                "G101",
                observed=f"no tensor of numbers in an output of type {type(output).__name__}",
                expected="tensors, or tuples, lists and dicts of tensors",
                where=unit.path or type(module).__name__,
                hint="return tensors from this module, or name it in unattributed=[...]",
            )
        inputs = (args, kwargs)
        rows_first = row_axis(module) == 0
        if rows_first and stands_for_all_rows(inputs, outputs, self.num_rows):
            inputs = spread_over_rows(inputs, self.num_rows)
            outputs = spread_over_rows(outputs, self.num_rows)
        written = [Written.note(value) for value in outputs] if unit.kind.wants_all_rows else []
        if link is not None:
            # Without its history, which leads back to the tap and so to what the collector holds.
            inputs = ((args[0].detach(), *args[1:]), kwargs)
        routed = held is not None and link is None
        substitutes = held is not None and not self._is_routed(unit)
        collector = Collector(
            self, unit, inputs, written, random, routed=routed, substitutes=substitutes
        )
        if link is not None:
            link.collector = collector
        parameters = list(unit.names.values()) if routed else []
        tapped = tap_outputs(outputs, collector, parameters)
        for index, value in zip(places, tapped, strict=True):
            leaves[index] = value
        return tree_unflatten(leaves, tree)

    def collect(self, unit: Unit, call: Call, *, hold: bool = False) -> None:
        """Turn one call with its output gradients into uses; ``hold`` their gradients at once."""
        groups: dict[int, tuple[Tensor | None, list[str]]] = {}
        for name, parameter in unit.names.items():
            if not parameter.requires_grad:
                continue  # Frozen for now.
            weights = self._weights.get(id(parameter))
            groups.setdefault(id(weights), (weights, []))[1].append(name)
        for given, names in groups.values():
            rows, weights = None, given
            if weights is not None and bool((weights == 0).any()):
                rows = weights.nonzero().flatten()
                weights = weights[rows]
            if weights is not None:
                dtype = next(grad.dtype for grad in call.output_grads if grad is not None)
                weights = weights.to(dtype)
            if rows is not None and rows.numel() == 0:
                continue
            with torch.no_grad(), self.paused():
                restricted = (
                    replace(call, rows=rows) if unit.kind.wants_all_rows else call.permitted(rows)
                )
                forms = unit.kind.forms(restricted, frozenset(names))
                if hold:
                    forms = {n: self._shelf.hold(f, unit.names[n].dtype) for n, f in forms.items()}
            for name, form in forms.items():
                use = Use(self._micro_batch, form, rows, weights)
                self._uses.setdefault(id(unit.names[name]), []).append(use)

    def emit(
        self, unit: Unit, first_use: Mapping[str, int], *, remember: bool = True
    ) -> list[Tensor]:
        """Return the gradient of each parameter from the uses added since ``first_use``."""
        result = []
        for name, parameter in unit.names.items():
            total = torch.zeros_like(parameter)
            for use in self._uses.get(id(parameter), [])[first_use[name] :]:
                total += use.form.total(use.weights).view_as(parameter)
            if remember:
                seen = self._emitted.get(id(parameter))
                self._emitted[id(parameter)] = total.clone() if seen is None else seen + total
            result.append(total)
        return result


class _Link:
    """Joins the tap before a module with the collector behind it."""

    def __init__(self) -> None:
        self.collector: Collector | None = None

    def emit(self) -> list[Tensor]:
        """Return the gradients of the parameters."""
        return [] if self.collector is None else self.collector.emit()
