"""Adafactor of torch: factored second moments, no momentum.

    delta = -alpha / c g / sqrt(max(V, eps1^2)) - eta lambda theta
    alpha = max(eps2, rms(theta)) min(eta, 1 / sqrt(t)),   c = max(1, rms(g / sqrt(V)) / d)

V is the outer product of row and column means over the mean of the rows, or the plain mean for
vectors, as the step left them. Both alpha and c are numbers of the realised step, taken as they
were: like second moments they depend on the gradient (c) and on the parameter (alpha), and a
visit's effect through them is not in its entry. C = -A, B = 0; decay is decoupled.

Source: torch.optim.Adafactor; Shazeer and Stern, arXiv:1804.04235.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim import Optimizer

from gradledger.errors import UpdateError
from gradledger.update.family import Before, Family, register
from gradledger.update.moment import step_after, step_count
from gradledger.update.precision import precision_of
from gradledger.update.realised import Realised, direct_law
from gradledger.update.settings import read_settings

__all__ = ["AdafactorFamily"]

_FLOATS = ("lr", "d", "weight_decay", "maximize")


@register
class AdafactorFamily(Family):
    """``torch.optim.Adafactor`` with all its options."""

    name: ClassVar[str] = "adafactor"
    classes: ClassVar[tuple[type[Optimizer], ...]] = (torch.optim.Adafactor,)

    def check_settings(self, param_group: Mapping[str, Any], where: str = "") -> None:
        """Refuse the default epsilon for tensors of several formats in one param group.

        torch takes the epsilon of the first tensor's format for all of them then.

        Raises:
            UpdateError: U102.
        """
        super().check_settings(param_group, where)
        formats = {parameter.dtype for parameter in param_group["params"]}
        if param_group["eps"][0] is None and len(formats) > 1:
            raise UpdateError(
                "U102",
                observed="eps of None for parameters of several formats",
                expected="one number format per optimizer param group",
                where=where,
                hint="split the param group by dtype, or set eps=(1e-7, 1e-3)",
            )

    def before(
        self,
        optimizer: Optimizer,
        parameter: Tensor,
        param_group: Mapping[str, Any],
        reuse: Before | None = None,
    ) -> Before | None:
        """Remember the size of the parameter too: the step scales with it."""
        found = super().before(optimizer, parameter, param_group, reuse)
        if found is None:
            return None
        size = _root_mean_square(parameter)
        return replace(found, settings={**found.settings, "size": size})

    def remember(
        self,
        gradient: Tensor,
        state: Mapping[str, Any],
        param_group: Mapping[str, Any],
        reuse: Before | None,  # noqa: ARG002 - nothing is copied
    ) -> Before:
        """Remember settings alone: moments are read after the step."""
        settings = read_settings(param_group, _FLOATS)
        first, second = param_group["eps"]
        settings["eps1"] = torch.finfo(gradient.dtype).eps if first is None else float(first)
        settings["eps2"] = float(second)
        step = step_count(state)
        return Before(gradient, settings, None, step, step == 0)

    def read_law(self, before: Before, state: Mapping[str, Any]) -> Realised:
        """Read the law of the step that was taken."""
        settings = before.settings
        step = step_after(before, state)
        scale = _scale(state, settings["eps1"])
        rate = min(settings["lr"], 1.0 / step**0.5) * max(settings["eps2"], settings["size"])
        update = before.gradient.to(scale.dtype) * scale
        clipped = max(1.0, _root_mean_square(update) / settings["d"])
        return direct_law(
            settings,
            rate=rate / clipped,
            scale=scale,
            decoupled=settings["lr"] * settings["weight_decay"],
        )


def _root_mean_square(tensor: Tensor) -> float:
    wide = tensor.detach().to(precision_of(tensor.dtype).compute)
    return float(wide.norm(2)) / math.sqrt(max(tensor.numel(), 1))


def _scale(state: Mapping[str, Any], eps: float) -> Tensor:
    """Return 1 / sqrt(max(V, eps^2))."""
    plain: Tensor | None = state.get("variance")
    if plain is None:
        row, column = (
            state[name].to(precision_of(state[name].dtype).compute)
            for name in ("row_var", "col_var")
        )
        second: Tensor = (row @ column).div_(row.mean(dim=-2, keepdim=True).clamp_(min=eps))
    else:
        second = plain.detach().to(precision_of(plain.dtype).compute, copy=True)
    return second.clamp_(min=eps * eps).rsqrt_()
