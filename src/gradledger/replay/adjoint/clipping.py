"""What a loop did to its gradients before the optimizer saw them, read off and differentiated.

A recorded loop may call ``clip_grad_norm_`` by any name, so nothing is intercepted: accumulated and
consumed gradients are compared at every step, and the law that explains all steps is taken.

    norm    g' = g min(1, c / (|g| + 1e-6)), |g| over all parameters, the same c in every step
    factor  g' = k g, the same k in every step
    value   g' = g clamped to [-c, c]

Source: torch.nn.utils.clip_grad_norm_, clip_grad_value_.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from gradledger.errors import ReplayError

#: What clip_grad_norm_ adds to the norm.
_OFFSET: Final = 1e-6
#: Largest relative difference that is rounding, by dtype of the gradients.
_ROUNDING: Final = {torch.float64: 1e-11, torch.float32: 1e-5}
#: Agreement of thresholds or factors between steps.
_SAME: Final = 1e-3


@dataclass(frozen=True)
class Edit:
    """How one step's accumulated gradient became the consumed one.

    Attributes:
        law: ``none``, ``scaled`` or ``value``; after ``settle`` also ``norm`` or ``factor``.
        factor: Consumed over accumulated gradient.
        norm: Norm of the accumulated gradient.
        limit: Largest magnitude consumed, for ``value``.
    """

    law: str
    factor: float
    norm: float
    limit: float = 0.0

    @property
    def threshold(self) -> float:
        """The c that explains the factor."""
        return self.factor * (self.norm + _OFFSET)

    def applied(self, raw: Tensor) -> Tensor:
        """Return the consumed gradient."""
        if self.law == "value":
            return raw.clamp(-self.limit, self.limit)
        return raw if self.law == "none" else self.factor * raw


def read_edit(raw: Tensor, used: Tensor, step: int) -> Edit:
    """Compare accumulated and consumed gradients of one step.

    Raises:
        ReplayError: Neither scaling nor clamping explains the difference. Code R172.
    """
    size = float(torch.linalg.vector_norm(raw.double()))
    if torch.equal(raw, used):
        return Edit("none", 1.0, size)
    tolerance = _ROUNDING[raw.dtype]
    factor = float(torch.dot(raw.double(), used.double())) / size**2 if size else 0.0
    apart = float(torch.linalg.vector_norm(used.double() - factor * raw.double()))
    if apart <= tolerance * float(torch.linalg.vector_norm(used.double())):
        return Edit("scaled", factor, size)
    limit = float(used.abs().max())
    if torch.equal(used, raw.clamp(-limit, limit)):
        return Edit("value", 1.0, size, limit)
    raise _unknown(
        f"gradients off by {apart:.3g} from {factor:.4g} times those accumulated", f"step {step}"
    )


def settle(edits: Sequence[Edit]) -> list[Edit]:
    """Find the one law that explains every step.

    Raises:
        ReplayError: There is none. Code R172.
    """
    scaled = [edit for edit in edits if edit.law == "scaled"]
    law = "norm"
    if scaled:
        thresholds = [edit.threshold for edit in scaled]
        largest = max(thresholds)
        below = all(edit.norm <= largest * (1 + _SAME) for edit in edits if edit.law == "none")
        if not (below and _alike(thresholds) and all(edit.factor <= 1 + _SAME for edit in scaled)):
            law = "factor"
            if len(scaled) < len(edits) or not _alike([edit.factor for edit in scaled]):
                raise _unknown(
                    f"factors from {min(e.factor for e in scaled):.4g} to "
                    f"{max(e.factor for e in scaled):.4g} that no threshold explains",
                    f"{len(scaled)} of {len(edits)} steps",
                )
    return [Edit(law, edit.factor, edit.norm) if edit.law == "scaled" else edit for edit in edits]


def pull_edit(edit: Edit, raw: Tensor, adjoint: Tensor) -> Tensor:
    """Return the adjoint of the accumulated gradient, shape (K, P); the Jacobian is symmetric.

    Args:
        edit: What was done.
        raw: Accumulated gradient, shape (P,).
        adjoint: Adjoint of the consumed one, shape (K, P).
    """
    if edit.law == "none":
        return adjoint
    if edit.law == "value":
        return torch.where(raw.abs() <= edit.limit, adjoint, 0.0)
    if edit.law == "factor" or not edit.norm:
        return edit.factor * adjoint
    along = adjoint @ raw / (edit.norm * (edit.norm + _OFFSET))
    return edit.factor * (adjoint - along[:, None] * raw)


def _alike(values: Sequence[float]) -> bool:
    return max(values) - min(values) <= _SAME * max(abs(value) for value in values)


def _unknown(observed: str, where: str) -> ReplayError:
    return ReplayError(
        "R172",
        observed=observed,
        expected="gradients as accumulated, times one factor, clipped by one global norm, or "
        "clamped by value",
        where=where,
        hint="ask for an executed replay instead: how='replay'",
    )
