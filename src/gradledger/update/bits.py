"""Whether two tensors hold the same bits, at the speed of reading them.

Comparing floats has to mind what is not a number and both signs of zero, which takes two to three
times as long as comparing the words that they are stored in, and says less: the bits may differ.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from gradledger.native import same_bytes

__all__ = ["same_bits"]

_WORDS: Final = {8: torch.int64, 4: torch.int32, 2: torch.int16, 1: torch.int8}


def same_bits(first: Tensor, second: Tensor) -> bool:
    """Compare the bits of two real tensors; other formats or shapes are never the same."""
    if first.dtype is not second.dtype or first.shape != second.shape:
        return False
    if all(value.is_cpu and value.is_contiguous() for value in (first, second)):
        num_bytes = first.numel() * first.element_size()
        found = same_bytes(first.data_ptr(), second.data_ptr(), num_bytes)
        if found is not None:
            return found
    return torch.equal(_words(first), _words(second))


def _words(tensor: Tensor) -> Tensor:
    """View a tensor as the widest integers that its place and size allow."""
    flat = tensor.detach().reshape(-1)
    size = flat.element_size()
    start = flat.storage_offset() * size
    width = 8 if not (flat.numel() * size % 8 or start % 8) else size
    return flat.view(_WORDS[width])
