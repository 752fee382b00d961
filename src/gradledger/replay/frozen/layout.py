"""Where the elements of every parameter lie in one flat vector."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from gradledger.recorder.tracked import Tracked


class Flat:
    """All tensors of all groups, one behind the other.

    Args:
        tracked: Tensors by group.

    Attributes:
        entries: All tensors.
        columns: Group of each.
        parts: Its elements in the flat vector.
        num_elements: Length of that vector.
        dtype: Format in which rows are kept: that of the widest tensor, at least float32.
    """

    def __init__(self, tracked: Sequence[Sequence[Tracked]]) -> None:
        pairs = [(column, entry) for column, group in enumerate(tracked) for entry in group]
        self.columns = [column for column, _ in pairs]
        self.entries = [entry for _, entry in pairs]
        ends = np.cumsum([0, *(entry.parameter.numel() for entry in self.entries)])
        self.parts = [slice(int(a), int(b)) for a, b in pairwise(ends)]
        self.num_elements = int(ends[-1])
        wide = any(entry.parameter.dtype == torch.float64 for entry in self.entries)
        self.dtype = np.dtype(np.float64 if wide else np.float32)

    def vector(self, tensors: dict[str, Tensor]) -> Tensor:
        """Return named tensors as one flat vector, in float64."""
        return torch.cat(
            [tensors[entry.name].detach().double().reshape(-1).cpu() for entry in self.entries]
        )

    def parts_of_groups(self, num_groups: int) -> list[list[slice]]:
        """Return the elements of every group."""
        found: list[list[slice]] = [[] for _ in range(num_groups)]
        for column, part in zip(self.columns, self.parts, strict=True):
            found[column].append(part)
        return found
