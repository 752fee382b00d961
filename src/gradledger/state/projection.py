"""Random projections of parameter tensors, the same in every process and without torch.

A tensor of P elements is permuted, multiplied by random signs and cut into pieces of the sketch's
length, which are added up: a count sketch with buckets of equal size. Inner products are kept in
expectation, with a relative error of sqrt(2 / k) in the square whatever the rank of the tensor; a
two-sided projection R M Q loses a quarter of the norm at rank one. The two halves of a sketch have
permutations and signs of their own, so half of their difference is a measured error.

Source: Charikar, Chen and Farach-Colton, "Finding frequent items in data streams", 2002.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

__all__ = ["Projection"]


@dataclass(frozen=True)
class Projection:
    """The projection of one parameter tensor.

    Attributes:
        seed: Of the run.
        name: Full name of the tensor.
        num_elements: P.
        size: k, an even number: both halves together.
    """

    seed: str
    name: str
    num_elements: int
    size: int

    @property
    def half(self) -> int:
        """Numbers in each half."""
        return self.size // 2

    @property
    def padded(self) -> int:
        """P rounded up to whole pieces."""
        return -(-self.num_elements // self.half) * self.half

    @cached_property
    def order(self) -> NDArray[np.int32]:
        """Permutations of the padded tensor for both halves, 2 x P'; places from P on are zeros."""
        generator = self._generator("order")
        return np.stack([generator.permutation(self.padded).astype(np.int32) for _ in range(2)])

    @cached_property
    def signs(self) -> NDArray[np.int8]:
        """Signs of both halves, 2 x P', after the permutations."""
        drawn = self._generator("signs").integers(0, 2, (2, self.padded), dtype=np.int8)
        return drawn * np.int8(2) - np.int8(1)

    def project(self, vector: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return S x of a flat vector: k numbers, both halves, with <S x, S y> near <x, y>."""
        padded = np.zeros(self.padded)
        padded[: self.num_elements] = vector
        halves = (padded[self.order] * self.signs).reshape(2, -1, self.half).sum(1)
        return np.asarray(halves.reshape(-1) / np.sqrt(2.0), np.float64)

    def _generator(self, part: str) -> np.random.Generator:
        text = f"gradledger.sketch/1\0{self.seed}\0{self.name}\0{self.size}\0{part}"
        key = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")
        return np.random.Generator(np.random.Philox(key=key))
