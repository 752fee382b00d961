"""Buffers change too: running statistics and their kin are booked as groups of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from gradledger.schema import GroupRecord, TensorRecord


class BufferGroups:
    """Floating-point buffers by owning module: the delta is booked whole, as unattributed."""

    def __init__(self, model: nn.Module, blocks: Mapping[str, int], first: int) -> None:
        self._members: dict[str, dict[str, Tensor]] = {}
        self._before: dict[str, Tensor] = {}
        self._model = model
        for name, value in model.named_buffers():
            if value.is_floating_point():
                self._members.setdefault(name.rpartition(".")[0], {})[name] = value
        self.records = tuple(
            GroupRecord(
                group=first + place,
                name=f"{path or type(model).__name__} (buffers)",
                block=_block(path, blocks),
                block_index=blocks.get(_block(path, blocks), -1),
                role="buffers",
                num_parameters=sum(value.numel() for value in members.values()),
                tensors=tuple(
                    TensorRecord(
                        name, tuple(value.shape), str(value.dtype).removeprefix("torch."), -1, ""
                    )
                    for name, value in members.items()
                ),
            )
            for place, (path, members) in enumerate(self._members.items())
        )

    def snapshot(self) -> None:
        """Remember the buffers before the step."""
        self._before = {
            name: self._model.get_buffer(name).detach().clone()
            for members in self._members.values()
            for name in members
        }

    def rows(self, step: int) -> list[dict[str, Any]]:
        """Return books rows of the buffers that changed."""
        rows = []
        for record, members in zip(self.records, self._members.values(), strict=True):
            squared = sum(
                float(
                    (self._model.get_buffer(name).detach() - self._before[name])
                    .double()
                    .square()
                    .sum()
                )
                for name in members
                if name in self._before
            )
            if squared:
                rows.append(_row(step, record.group, squared))
        return rows


def _row(step: int, group: int, squared: float) -> dict[str, Any]:
    norm = torch.tensor(squared).sqrt().item()
    return {
        "step": step,
        "group": group,
        "delta_norm": norm,
        "routed": False,
        "unattributed_norm": norm,
        "unattributed_dot": squared,
        "verdict": "balanced",
    }


def _block(path: str, blocks: Mapping[str, int]) -> str:
    """Return the block whose name starts the path; the path itself where none does."""
    inside = [name for name in blocks if path == name or path.startswith(name + ".")]
    return max(inside, key=len) if inside else path
