"""Depth weights: from profiles over blocks to one weight per profile and parameter tensor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradledger.errors import GradientError
from gradledger.recorder.groups import Grouping

#: The profile of examples that no policy limits.
FULL = "full"


class DepthWeights:
    """Weights of every profile in force, by parameter tensor.

    A shared tensor takes the smallest weight of the blocks that use it.
    """

    def __init__(self, grouping: Grouping, *, accept_coupled: bool) -> None:
        self._grouping, self.accept_coupled = grouping, accept_coupled
        self.names: list[str] = []
        self.by_block: dict[str, list[float]] = {}
        self._by_tensor: dict[int, list[float]] = {
            id(value): [] for group in grouping.groups for value in group.parameters.values()
        }
        self._full: list[bool] = []
        self.add(FULL, [1.0] * len(grouping.blocks))

    def add(self, name: str, weights: Sequence[float]) -> int:
        """Add a profile, resolved to one weight per block; return its number.

        Raises:
            GradientError: The profile limits a tensor that has no capture. Code G104.
        """
        if name in self.by_block and self.by_block[name] == list(weights):
            return self.names.index(name)
        of_block = dict(zip(self._grouping.blocks, weights, strict=True))
        missing = {entry[0] for entry in self._grouping.coverage.unattributed}
        for group in self._grouping.groups:
            for full, value in group.parameters.items():
                weight = min(of_block[block] for block in self._grouping.blocks_of[id(value)])
                if weight != 1.0 and full in missing:
                    raise GradientError(
                        "G104",
                        observed=f"weight {weight:g} on {full}",
                        expected="weight 1 where a tensor has no per-example capture",
                        where=f"profile {name!r}, block {group.record.block}",
                        hint="leave that block at 1, or give the module a layer kind",
                    )
                self._by_tensor[id(value)].append(weight)
        self.names.append(name)
        self.by_block[name] = list(weights)
        self._full.append(all(weight == 1.0 for weight in weights))
        return len(self.names) - 1

    def refuse_coupled(
        self, profiles: NDArray[np.int32], coupled_modules: Callable[[], Sequence[str]]
    ) -> None:
        """Refuse profiles other than full where modules couple the rows of a batch.

        Args:
            profiles: Of the rows.
            coupled_modules: Names what couples them; asked only where a profile is not full.

        Raises:
            GradientError: Code G102.
        """
        limited = [self.names[number] for number in np.unique(profiles) if not self._full[number]]
        if not limited or self.accept_coupled:
            return
        if coupled := coupled_modules():
            raise GradientError(
                "G102",
                observed=f"profile {limited[0]!r} with coupled module {coupled[0]!r}",
                expected="profile 'full' for every example, or no module that couples rows",
                where=f"{len(coupled)} coupled modules",
                hint="replace batch by group normalisation, put the module in eval mode, or pass "
                "accept_coupled=True",
            )

    def for_batch(
        self, profiles: NDArray[np.int32], device: torch.device, *, accumulated: bool = False
    ) -> Mapping[int, Tensor]:
        """Return the weight of every row for each tensor that is routed in this batch, by ``id``.

        Tensors whose weights are all 1 are left out: they stay passive. Equal weights share one
        tensor, so that a module's parameters are routed together.

        Args:
            profiles: Profile number of every row.
            device: Where the weights are needed.
            accumulated: The step has several micro-batches: a tensor that any profile in force
                limits is then routed in all of them, so that its gradient has one origin.
        """
        in_force = range(len(self.names)) if accumulated else np.unique(profiles)
        if all(self._full[number] for number in in_force):
            return {}
        shared: dict[tuple[float, ...], Tensor] = {}
        routed: dict[int, Tensor] = {}
        for key, by_profile in self._by_tensor.items():
            row = tuple(by_profile[number] for number in profiles)
            if any(weight != 1.0 for weight in (by_profile if accumulated else row)):
                if row not in shared:
                    shared[row] = torch.tensor(row, device=device, dtype=torch.float64)
                routed[key] = shared[row]
        return routed
