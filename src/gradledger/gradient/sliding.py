"""Sliding form: weight gradients of convolutions.

The gradient of row r is ``sum_t b[r, t] w[r, t]^T`` over window positions t, where ``w`` is the
unfolded input. Unfolding multiplies memory by the size of the kernel, so rows are unfolded only
while they are turned into gradients: at once where the weight is smaller than the factors, else
when they are measured.

Shape legend: R rows (visits), F images (a multiple of R), G channel groups, C channels that slide,
S padded extents, O channels that stand still, L window positions, K kernel extents, P elements.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from gradledger.gradient.dense import Dense
from gradledger.gradient.form import Form

#: Elements unfolded at a time: 32 MiB of float32.
UNFOLDED_ELEMENTS: Final = 1 << 23


@dataclass(frozen=True)
class Window:
    """How a kernel moves over its input.

    Attributes:
        kernel: Extents of the kernel, one per axis.
        stride: Steps between positions.
        dilation: Steps between taps of the kernel.
        groups: Channel groups that do not see each other.
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int


@dataclass(frozen=True)
class Sliding:
    """Factors of the weight gradient of a convolution.

    Attributes:
        sliding: What the kernel slides over, padded.
        standing: What has one position per window.
        window: How it slides.
        rows: Number of rows R.
    """

    sliding: Float[Tensor, "F C ..."]
    standing: Float[Tensor, "F O ..."]
    window: Window
    rows: int

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return self.rows

    @property
    def num_elements(self) -> int:
        """Elements of the weight."""
        channels = self.sliding.shape[1] // self.window.groups
        return self.standing.shape[1] * channels * prod(self.window.kernel)

    def chunk(self, start: int, stop: int) -> Float[Tensor, "b P"]:
        """Return rows ``start:stop`` as dense weight gradients."""
        images = self.sliding.shape[0] // self.rows
        part = slice(start * images, stop * images)
        standing, groups = self.standing[part], self.window.groups
        left = standing.reshape(standing.shape[0] * groups, standing.shape[1] // groups, -1)
        right = _unfold(self.sliding[part], self.window, standing.shape[2:])
        grads = torch.bmm(left, right.mT)
        if images == 1:
            return grads.reshape(stop - start, -1)
        return grads.reshape(stop - start, images, -1).sum(1)

    def total(self, weights: Float[Tensor, " R"] | None) -> Float[Tensor, " P"]:
        """Return the weighted sum over rows."""
        step = self._rows_at_once()
        total = self.standing.new_zeros(self.num_elements)
        for start in range(0, self.rows, step):
            rows = self.chunk(start, min(start + step, self.rows))
            if weights is None:
                total += rows.sum(0)
            else:
                total += weights[start : start + step] @ rows
        return total

    @property
    def num_terms(self) -> int:
        """Images and window positions."""
        return self.standing.shape[0] * prod(self.standing.shape[2:])

    def magnitude(self, weights: Float[Tensor, " R"] | None) -> Float[Tensor, " P"]:
        """Return the sum of the absolute values of all products."""
        sizes = replace(self, sliding=self.sliding.abs(), standing=self.standing.abs())
        return sizes.total(None if weights is None else weights.abs())

    def smallest(self) -> Form:
        """Return finished gradients where they take less memory than the factors."""
        if self.num_elements * self.rows > self.sliding.numel() + self.standing.numel():
            return self
        step = self._rows_at_once()
        starts = range(0, self.rows, step)
        return Dense(
            torch.cat([self.chunk(start, min(start + step, self.rows)) for start in starts])
        )

    def _rows_at_once(self) -> int:
        """Rows whose unfolded inputs and gradients fit the working memory."""
        unfolded = self.sliding.shape[1] * prod(self.window.kernel) * prod(self.standing.shape[2:])
        images = self.sliding.shape[0] // self.rows
        return max(1, UNFOLDED_ELEMENTS // max(1, images * unfolded, self.num_elements))


def _unfold(values: Tensor, window: Window, positions: torch.Size) -> Tensor:
    """Return windows as (F * G, C/G * K, L); a view where the kernel has one tap."""
    images, channels = values.shape[:2]
    strides = values.stride()
    axes = strides[2:]
    windows = values.as_strided(
        (images, channels, *window.kernel, *positions),
        (
            *strides[:2],
            *(step * axis for step, axis in zip(window.dilation, axes, strict=True)),
            *(step * axis for step, axis in zip(window.stride, axes, strict=True)),
        ),
        values.storage_offset(),
    )
    rows = channels // window.groups * prod(window.kernel)
    return windows.reshape(images * window.groups, rows, prod(positions))
