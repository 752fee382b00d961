"""Optimizer families: one small interface, one file per family, one registry.

A family knows what to copy before ``optimizer.step()`` and how to read the realised law from the
optimizer's state afterwards. Adding a family is one file with one ``@register`` class.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor
from torch.optim import Optimizer

from gradledger.errors import UpdateError
from gradledger.update.account import Account
from gradledger.update.precision import precision_of
from gradledger.update.realised import Realised
from gradledger.update.settings import refuse_settings

__all__ = ["FAMILIES", "Before", "Family", "find_family", "register", "supported"]


@dataclass(frozen=True, slots=True)
class Before:
    """What one parameter's step must be remembered by, taken before ``step()``.

    Attributes:
        gradient: What the optimizer is about to consume: ``parameter.grad`` itself, or a copy
            where the step overwrites it. This is the ``g_used`` of ``measure``.
        settings: Hyperparameters as floats at that moment; flags are 0.0 or 1.0.
        momentum: Copy of the momentum buffer; None where there is none yet.
        step: Steps that this parameter had taken; 0 where the family does not count.
        first: Whether this step creates the optimizer's state for the parameter.
        found_inf: Overflow flag that a gradient scaler handed to the optimizer; None without one.
    """

    gradient: Tensor
    settings: Mapping[str, float]
    momentum: Tensor | None
    step: int
    first: bool
    found_inf: Tensor | None = None

    @property
    def skipped(self) -> bool:
        """Whether the optimizer leaves every parameter alone because gradients overflowed."""
        return self.found_inf is not None and bool(self.found_inf.item())


class Family(ABC):
    """One kind of update rule.

    Attributes:
        name: Short lower-case name, as written to the run record.
        classes: Optimizer classes whose ``step`` follows this rule.
        class_names: Classes of other libraries, known by name and behaviour.
    """

    name: ClassVar[str]
    classes: ClassVar[tuple[type[Optimizer], ...]]
    class_names: ClassVar[tuple[str, ...]] = ()

    def accepts(self, optimizer: Optimizer) -> bool:
        """Whether an optimizer follows this rule: by default a class whose step was inherited."""
        return any(
            isinstance(optimizer, known) and _same_step(type(optimizer), known)
            for known in self.classes
        )

    def check(self, optimizer: Optimizer) -> None:
        """Refuse what this family cannot book, before the first step.

        Raises:
            UpdateError: U102 for settings, U103 for parameters or gradients that cannot be booked.
        """
        for index, group in enumerate(optimizer.param_groups):
            self.check_settings(group, f"optimizer param group {index}")
            for parameter in group["params"]:
                _check_parameter(parameter, f"optimizer param group {index}")
                if group.get("capturable") and parameter.device.type == "cpu":
                    raise UpdateError(
                        "U102",
                        observed="capturable=True for a tensor on a CPU",
                        expected="capturable=False where torch captures no graphs",
                        where=f"optimizer param group {index}",
                        hint="leave capturable out, or train on a CUDA device",
                    )

    def check_settings(self, param_group: Mapping[str, Any], where: str = "") -> None:
        """Refuse settings of one optimizer param group; also called at every step.

        Raises:
            UpdateError: U102.
        """
        refuse_settings(param_group, where)

    def before(
        self,
        optimizer: Optimizer,
        parameter: Tensor,
        param_group: Mapping[str, Any],
        reuse: Before | None = None,
    ) -> Before | None:
        """Copy what ``step()`` is about to overwrite.

        Args:
            optimizer: The optimizer, about to step.
            parameter: One of its parameters.
            param_group: The optimizer param group that holds it.
            reuse: This parameter's ``Before`` of an earlier step, whose memory may be taken over.

        Returns:
            None where the parameter has no gradient: the optimizer will not touch it.

        Raises:
            UpdateError: U102, U103 or U105.
        """
        if parameter.grad is None:
            return None
        self.check_settings(param_group)
        _check_parameter(parameter, "")
        gradient = _without_scale(parameter.grad.detach(), optimizer, param_group)
        state: Mapping[str, Any] = optimizer.state.get(parameter, {})
        remembered = self.remember(gradient, state, param_group, reuse)
        found_inf = getattr(optimizer, "found_inf", None)
        return remembered if found_inf is None else replace(remembered, found_inf=found_inf)

    @abstractmethod
    def remember(
        self,
        gradient: Tensor,
        state: Mapping[str, Any],
        param_group: Mapping[str, Any],
        reuse: Before | None,
    ) -> Before:
        """Build the ``Before`` of one parameter; copy ``gradient`` if the step overwrites it."""

    def after(self, before: Before, optimizer: Optimizer, parameter: Tensor) -> Realised | None:
        """Read the realised law after ``step()``.

        Returns:
            None where the optimizer skipped the step because gradients overflowed.

        Raises:
            UpdateError: U104 where the state is not that of exactly one step later.
        """
        if before.skipped:
            return None
        return self.read_law(before, optimizer.state.get(parameter, {}))

    @abstractmethod
    def read_law(self, before: Before, state: Mapping[str, Any]) -> Realised:
        """Read the law of a step that was taken from the state that it left."""

    def open_account(
        self,
        optimizer: Optimizer,  # noqa: ARG002 - nothing is carried unless a family says so
        parameter: Tensor,  # noqa: ARG002
        param_group: Mapping[str, Any],  # noqa: ARG002
    ) -> Account:
        """Open the accounts of a parameter, with momentum that the optimizer already carries.

        Opening momentum is valued at the rates in force when recording begins: rates of earlier
        steps are not known, and only later changes are booked.
        """
        return Account()


_F = TypeVar("_F", bound=type[Family])

#: All families, in the order in which they were registered.
FAMILIES: list[Family] = []


def register(family: _F) -> _F:
    """Add a family to the registry (class decorator)."""
    FAMILIES.append(family())
    return family


def supported() -> tuple[str, ...]:
    """Names of the optimizer classes that can be booked."""
    return tuple(
        name
        for family in FAMILIES
        for name in (*(kind.__name__ for kind in family.classes), *family.class_names)
    )


def find_family(optimizer: Optimizer) -> Family:
    """Find the family of an optimizer.

    A subclass counts as its parent where it inherits ``step``; one that overrides it may do
    anything and is refused by name. Schedulers that wrap ``step`` on the instance change nothing.

    Raises:
        UpdateError: U101 for any other optimizer.
    """
    kind = type(optimizer)
    for family in FAMILIES:
        if family.accepts(optimizer):
            return family
    parents = [known.__name__ for f in FAMILIES for known in f.classes if issubclass(kind, known)]
    overrides = f", which overrides the step of {parents[0]}" if parents else ""
    if any(kind.__name__ in family.class_names for family in FAMILIES):
        overrides = f", which has an option or a rule that is not that of {kind.__name__}"
    raise UpdateError(
        "U101",
        observed=f"{kind.__module__}.{kind.__qualname__}{overrides}",
        expected="one of " + ", ".join(supported()),
        hint="use a supported optimizer; if this one wraps another, pass the wrapped one",
    )


def _same_step(kind: type[Optimizer], known: type[Optimizer]) -> bool:
    """Whether both classes run the same code, below the wrappers that torch puts around it."""
    names = ("step", "_init_group")
    return all(_code(kind, name) is _code(known, name) for name in names)


def _code(kind: type[Optimizer], name: str) -> object:
    # torch replaces `step` on the class of each new instance by a profiling wrapper, so identity
    # of the attribute says nothing: look below it.
    method = getattr(kind, name, None)
    return inspect.unwrap(method) if callable(method) else None


def _check_parameter(parameter: Tensor, where: str) -> None:
    place = f"{where + ', ' if where else ''}tensor of shape {tuple(parameter.shape)}"
    precision_of(parameter.dtype, place)
    gradient = parameter if parameter.grad is None else parameter.grad
    if parameter.layout is not torch.strided or gradient.layout is not torch.strided:
        raise UpdateError(
            "U103",
            observed="a sparse parameter or gradient",
            expected="dense gradients",
            where=place,
            hint="build embeddings with sparse=False",
        )


def _without_scale(
    gradient: Tensor, optimizer: Optimizer, param_group: Mapping[str, Any]
) -> Tensor:
    """Return the gradient that the step consumes: fused kernels divide by the loss scale.

    Raises:
        UpdateError: U105 where something else than a fused kernel was handed a loss scale.
    """
    scale: Tensor | None = getattr(optimizer, "grad_scale", None)
    if scale is None:
        return gradient
    if not param_group.get("fused"):
        raise UpdateError(
            "U105",
            observed="a loss scale that the optimizer divides out by itself",
            expected="a fused kernel of torch, or gradients without a loss scale",
            hint="call scaler.unscale_(optimizer) before scaler.step(optimizer)",
        )
    return gradient / scale.to(gradient.device, gradient.dtype)


def copy_into(source: Tensor, reuse: Before | None) -> Tensor:
    """Copy a momentum buffer, into memory of an earlier copy where it fits."""
    old = None if reuse is None else reuse.momentum
    alike = old is not None and (old.shape, old.dtype, old.device) == (
        source.shape,
        source.dtype,
        source.device,
    )
    if old is not None and alike:
        return old.copy_(source.detach())
    return source.detach().clone()
