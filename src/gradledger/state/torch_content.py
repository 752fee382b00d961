"""What a batch holds: its leaves by path, and each tensor's place, dtype, shape and bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor


def leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Walk mappings by sorted key, sequences by place, dataclasses by field.

    Args:
        value: Anything that a loader may yield.
        path: Dotted place of the value; empty for the whole.

    Yields:
        Path and value of every leaf.
    """
    if isinstance(value, Mapping):
        for key in sorted(value, key=str):
            yield from leaves(value[key], f"{path}.{key}")
    elif isinstance(value, list | tuple) and any(not isinstance(item, str) for item in value):
        for index, item in enumerate(value):
            yield from leaves(item, f"{path}.{index}")
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from leaves(getattr(value, field.name), f"{path}.{field.name}")
    else:
        yield path, value


def as_tensor(leaf: Any) -> Tensor | None:
    """View what a loader turns into a tensor as one; other objects are not presented as tensors."""
    if isinstance(leaf, Tensor):
        return leaf
    if isinstance(leaf, np.ndarray | np.generic):
        return torch.as_tensor(leaf)
    if isinstance(leaf, bool | int):
        return torch.tensor(leaf)
    if isinstance(leaf, float):
        return torch.tensor(leaf, dtype=torch.float64)
    return None


def add_tensor(hasher: Any, path: str, tensor: Tensor) -> None:
    """Feed place, dtype, shape and bytes of a tensor to a digest."""
    value = tensor.detach().cpu().contiguous()
    header = f"{path}|{value.dtype}|{tuple(value.shape)}|".encode()
    hasher.update(len(header).to_bytes(4, "little") + header)
    hasher.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
