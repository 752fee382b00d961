"""Sums over everything but row and channel, for normalisation layers of images."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gradledger.gradient.dense import Dense
from gradledger.gradient.kind import Call
from gradledger.gradient.rows import split_rows


def channel_sums(values: Float[Tensor, "F C ..."], call: Call) -> Dense:
    """Add up the positions of each channel, and the images of each row."""
    sums = values.reshape(*values.shape[:2], -1).sum(2)
    return Dense(split_rows(sums, call.num_rows, call.where).sum(1))
