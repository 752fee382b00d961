"""Families that carry a first moment ``exp_avg``: what they copy, and the law of ``moment``."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor
from torch.optim import Optimizer

from gradledger.update.account import Account
from gradledger.update.family import Before, Family, copy_into
from gradledger.update.moment import FirstMoment, step_after, step_count
from gradledger.update.realised import Realised
from gradledger.update.settings import read_settings

__all__ = ["FirstMomentFamily", "MomentFamily", "parted_decay"]


class MomentFamily(Family):
    """A family whose steps overwrite a first moment.

    Attributes:
        floats: Settings of an optimizer param group that the law needs; betas come with them.
    """

    floats: ClassVar[tuple[str, ...]]

    def remember(
        self,
        gradient: Tensor,
        state: Mapping[str, Any],
        param_group: Mapping[str, Any],
        reuse: Before | None,
    ) -> Before:
        """Copy the first moment; scales are read after the step and need no copy."""
        moment = state.get("exp_avg")
        momentum = None if moment is None else copy_into(moment, reuse)
        settings = read_settings(param_group, self.floats)
        return Before(gradient, settings, momentum, step_count(state), moment is None)


class FirstMomentFamily(MomentFamily):
    """A family that follows the law of ``moment``, with numbers of its own."""

    @abstractmethod
    def numbers(
        self, settings: Mapping[str, float], state: Mapping[str, Any], step: int
    ) -> tuple[FirstMoment, Tensor | None]:
        """Return the numbers of the law and its elementwise scale, None for 1."""

    def read_law(self, before: Before, state: Mapping[str, Any]) -> Realised:
        """Read the law of the step that was taken."""
        settings = before.settings
        numbers, scale = self.numbers(settings, state, step_after(before, state))
        coupled, decoupled = parted_decay(settings)
        return numbers.law(before, state["exp_avg"], scale, coupled=coupled, decoupled=decoupled)

    def open_account(
        self, optimizer: Optimizer, parameter: Tensor, param_group: Mapping[str, Any]
    ) -> Account:
        """Value the first moment at today's settings."""
        state: Mapping[str, Any] = optimizer.state.get(parameter, {})
        step = step_count(state)
        if step == 0:
            return Account()
        numbers, scale = self.numbers(read_settings(param_group, self.floats), state, step)
        return numbers.open(parameter, state["exp_avg"], scale)


def parted_decay(settings: Mapping[str, float]) -> tuple[float, float]:
    """Return coupled (lambda) and decoupled (omega) decay; one of them is 0."""
    decay = settings["weight_decay"]
    if settings.get("decoupled_weight_decay"):
        return 0.0, settings["lr"] * decay
    return decay, 0.0
