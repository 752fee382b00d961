"""What was really presented: a digest of every row of a batch, and of every item of a data set.

Ids are not believed. The digest of a visit covers dtype, shape and bytes of the row of every
tensor in the batch; it equals the digest of the admitted item when the loader only stacks items.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gradledger.errors import InputError


def item_digest(item: Any) -> bytes:
    """Return the SHA-256 of one item of a data set, as the loader would present it."""
    hasher = hashlib.sha256()
    for path, leaf in _leaves(item, ""):
        tensor = _as_tensor(leaf)
        if tensor is not None:
            _add(hasher, path, tensor)
    return hasher.digest()


def row_digests(batch: Any, num_rows: int) -> list[bytes]:
    """Return the SHA-256 of every row of a batch.

    Raises:
        InputError: A tensor of the batch does not count the rows. Code I102.
    """
    hashers = [hashlib.sha256() for _ in range(num_rows)]
    found = False
    for path, leaf in _leaves(batch, ""):
        if isinstance(leaf, list | tuple) and len(leaf) == num_rows:
            continue  # Strings and other objects that the loader left in a list.
        tensor = _as_tensor(leaf)
        if tensor is None or tensor.dim() == 0:
            continue
        if tensor.shape[0] != num_rows:
            raise InputError(
                "I102",
                observed=f"a tensor {path or 'batch'} of shape {tuple(tensor.shape)}",
                expected=f"a first axis that counts {num_rows} examples",
                hint="pass the examples of the batch to run.step(batch, examples=[...])",
            )
        found = True
        rows = tensor.detach().cpu().contiguous()
        for row, hasher in zip(rows, hashers, strict=True):
            _add(hasher, path, row)
    if not found:
        raise InputError(
            "I102",
            observed=f"a batch of type {type(batch).__name__} without tensors",
            expected="at least one tensor whose first axis counts the examples",
            hint="pass the object that the loader yielded to run.step",
        )
    return [hasher.digest() for hasher in hashers]


def count_tokens(batch: Any, num_rows: int) -> list[int] | None:
    """Return tokens per row: unmasked positions of ``attention_mask``, else of integer inputs."""
    if isinstance(batch, Mapping) and isinstance(batch.get("attention_mask"), Tensor):
        return [int(value) for value in batch["attention_mask"].reshape(num_rows, -1).sum(1)]
    for _, leaf in _leaves(batch, ""):
        if not isinstance(leaf, Tensor) or leaf.dtype.is_floating_point:
            continue
        if leaf.dim() == 2:  # noqa: PLR2004 - visits and positions
            return [leaf.shape[1]] * num_rows
    return None


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Walk mappings by sorted key, sequences by place, dataclasses by field."""
    if isinstance(value, Mapping):
        for key in sorted(value, key=str):
            yield from _leaves(value[key], f"{path}.{key}")
    elif isinstance(value, list | tuple) and any(not isinstance(item, str) for item in value):
        for index, item in enumerate(value):
            yield from _leaves(item, f"{path}.{index}")
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from _leaves(getattr(value, field.name), f"{path}.{field.name}")
    else:
        yield path, value


def _as_tensor(leaf: Any) -> Tensor | None:
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


def _add(hasher: Any, path: str, tensor: Tensor) -> None:
    value = tensor.detach().cpu().contiguous()
    header = f"{path}|{value.dtype}|{tuple(value.shape)}|".encode()
    hasher.update(len(header).to_bytes(4, "little") + header)
    hasher.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
