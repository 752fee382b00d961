"""What was really presented: a digest of every row of a batch, and of every item of a data set.

Ids are not believed. The digest of a visit covers dtype, shape and bytes of the row of every
tensor in the batch; it equals the digest of the admitted item when the loader only stacks items.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from gradledger.errors import InputError
from gradledger.state.torch_content import add_tensor, as_tensor, leaves


def item_digest(item: Any) -> bytes:
    """Return the SHA-256 of one item of a data set, as the loader would present it."""
    hasher = hashlib.sha256()
    for path, leaf in leaves(item, ""):
        tensor = as_tensor(leaf)
        if tensor is not None:
            add_tensor(hasher, path, tensor)
    return hasher.digest()


def row_digests(batch: Any, num_rows: int) -> list[bytes]:
    """Return the SHA-256 of every row of a batch.

    Raises:
        InputError: A tensor of the batch does not count the rows. Code I102.
    """
    hashers = [hashlib.sha256() for _ in range(num_rows)]
    found = False
    for path, leaf in leaves(batch, ""):
        if isinstance(leaf, list | tuple) and len(leaf) == num_rows:
            continue  # Strings and other objects that the loader left in a list.
        tensor = as_tensor(leaf)
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
            add_tensor(hasher, path, row)
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
    for _, leaf in leaves(batch, ""):
        if not isinstance(leaf, Tensor) or leaf.dtype.is_floating_point:
            continue
        if leaf.dim() == 2:  # noqa: PLR2004 - visits and positions
            return [leaf.shape[1]] * num_rows
    return None
