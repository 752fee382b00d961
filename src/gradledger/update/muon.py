"""Muon of torch: momentum made orthogonal by a polynomial of its own Gram matrix.

    m_after = mu m_before + (1 - mu) g,   U = (1 - mu) g + mu m_after (Nesterov), or m_after
    delta = -eta' NS(U) - eta lambda theta

NS(U) starts from X = U / |U| and takes five steps X <- (a + b X X^T + c (X X^T)^2) X, all in
bfloat16. With the Gram matrices as they were, that is a matrix R times U: R stands on the left, or
on the right for tall matrices, which torch transposes. R depends on the gradient as second moments
do, and a visit's effect through it is not in its entry. With p = mu (1 without Nesterov) and
q = 1 - mu (0 without), the law is that of ``moment`` with M = R in front of every gradient and
momentum: A = eta' (p + q), B = eta' p mu / (1 - mu).

What bfloat16 rounds away in NS is the remainder line: the step that was taken less R U, found by
executing torch's operations again; about a hundredth of the change.

Source: torch.optim.Muon; Jordan et al., "Muon: an optimizer for hidden layers", 2024.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim import Optimizer

from gradledger.update.account import Account
from gradledger.update.family import Before, Family, copy_into, register
from gradledger.update.mixing import Mixing
from gradledger.update.moment import FirstMoment
from gradledger.update.precision import precision_of
from gradledger.update.realised import Realised
from gradledger.update.settings import read_settings

__all__ = ["MuonFamily"]

_FLOATS = ("lr", "momentum", "nesterov", "weight_decay", "eps", "ns_steps")


@register
class MuonFamily(Family):
    """``torch.optim.Muon`` with all its options."""

    name: ClassVar[str] = "muon"
    classes: ClassVar[tuple[type[Optimizer], ...]] = (
        (torch.optim.Muon,) if hasattr(torch.optim, "Muon") else ()
    )

    def remember(
        self,
        gradient: Tensor,
        state: Mapping[str, Any],
        param_group: Mapping[str, Any],
        reuse: Before | None,
    ) -> Before:
        """Copy the momentum."""
        buffer = state.get("momentum_buffer")
        momentum = None if buffer is None else copy_into(buffer, reuse)
        settings = _settings(param_group, gradient)
        return Before(gradient, settings, momentum, 0, buffer is None)

    def read_law(self, before: Before, state: Mapping[str, Any]) -> Realised:
        """Read the law of the step that was taken, executing its polynomial again."""
        settings = before.settings
        moment: Tensor = state["momentum_buffer"].detach()
        mu = settings["momentum"]
        update = before.gradient.lerp(moment, mu) if settings["nesterov"] else moment
        mixing, rounded = _orthogonalised(update, settings)
        wide = update.to(mixing.factor.dtype)
        numbers = _numbers(settings)
        return Realised(
            sign=1.0,
            gradient_factor=-numbers.cash,
            history_factor=0.0 if before.momentum is None else -numbers.through * mu,
            incurred_factor=numbers.incurred,
            inventory_factor=numbers.stored,
            gradient_scale=None,
            carried_scale=None,
            momentum_before=before.momentum,
            momentum_after=moment,
            retain=mu,
            intake=1.0 - mu,
            coupled_decay=0.0,
            decoupled_decay=settings["lr"] * settings["weight_decay"],
            cash_factor=numbers.cash / numbers.incurred if numbers.incurred else 1.0 - mu,
            learning_rate=settings["lr"],
            remainder=mixing.apply(wide).sub_(rounded.to(wide.dtype)).mul_(settings["rate"]),
            mixing=mixing,
        )

    def open_account(
        self, optimizer: Optimizer, parameter: Tensor, param_group: Mapping[str, Any]
    ) -> Account:
        """Value the momentum at today's rate, with the polynomial of the momentum alone."""
        buffer = optimizer.state.get(parameter, {}).get("momentum_buffer")
        if buffer is None:
            return Account()
        settings = _settings(param_group, parameter)
        mixing = _orthogonalised(buffer.detach(), settings)[0]
        value = mixing.apply(buffer.detach()) * _numbers(settings).stored
        return Account.from_tensors({"inventory": value}, parameter)


def _settings(param_group: Mapping[str, Any], matrix: Tensor) -> dict[str, float]:
    settings = read_settings(param_group, _FLOATS)
    coefficients = zip("abc", param_group["ns_coefficients"], strict=True)
    settings |= {name: float(value) for name, value in coefficients}
    rows, columns = matrix.shape[:2]
    adjusted = {
        None: math.sqrt(max(1, rows / columns)),
        "original": math.sqrt(max(1, rows / columns)),
        "match_rms_adamw": 0.2 * math.sqrt(max(rows, columns)),
    }
    settings["rate"] = settings["lr"] * adjusted.get(param_group["adjust_lr_fn"], 1.0)
    return settings


def _numbers(settings: Mapping[str, float]) -> FirstMoment:
    rate, mu = settings["rate"], settings["momentum"]
    if settings["nesterov"]:
        return FirstMoment(rate * mu, rate * (1.0 - mu), mu, 1.0 - mu)
    return FirstMoment(rate, 0.0, mu, 1.0 - mu)


@torch.no_grad()
def _orthogonalised(update: Tensor, settings: Mapping[str, float]) -> tuple[Mixing, Tensor]:
    """Execute Newton-Schulz as torch does; return its matrix, in wide format, and its result."""
    compute = precision_of(update.dtype).compute
    tall = update.size(0) > update.size(1)
    current = update.bfloat16()
    if current.data_ptr() == update.data_ptr():
        current = current.clone()  # torch divides in place
    if tall:
        current = current.T
    norm = current.norm().clamp(min=settings["eps"])
    current.div_(norm)
    a, b, c = settings["a"], settings["b"], settings["c"]
    size = current.size(0)
    eye = torch.eye(size, dtype=compute, device=update.device)
    factor = eye / norm.to(compute)
    for _ in range(int(settings["ns_steps"])):
        gram = current @ current.T
        polynomial = torch.addmm(gram, gram, gram, beta=b, alpha=c)
        current = torch.addmm(current, polynomial, current, beta=a)
        factor = (a * eye + polynomial.to(compute)) @ factor
    if tall:
        return Mixing(factor.T, right=True), current.T
    return Mixing(factor, right=False), current
