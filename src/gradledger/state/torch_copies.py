"""Copies that a fingerprint takes on its way, and whether what was copied still stands.

To compare with the copies means to read both. The fingerprint has multiplied every row of what it
copied: to multiply again reads one of them, and finds what a fingerprint finds. A change within one
word always shows, because weights are odd; any other shows as surely as in a fingerprint.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from gradledger.native import same_bytes
from gradledger.state.fingerprint import Fingerprint, Head
from gradledger.state.lanes import COPY_BYTES, ROW_BYTES, WORD_BYTES, Memory, Words, fill_lanes
from gradledger.state.torch_items import dtype_name

#: Types whose elements lie in the memory that their address names.
_PLAIN: Final = (Tensor, nn.Parameter)


class _Copied(NamedTuple):
    """Where a tensor and its copy lie, and the column of its first row's products."""

    head: Head
    address: int
    num_bytes: int
    copy: int
    column: int


class Copies:
    """Tensors that a fingerprint is to copy.

    Args:
        wanted: By ``id`` of a tensor what shall take its content; held while this is.
    """

    def __init__(self, wanted: Mapping[int, Tensor]) -> None:
        self._wanted = dict(wanted)
        self._copied: dict[int, _Copied] = {}
        self._lanes: Words = np.empty((2, 0), np.uint64)

    def __contains__(self, tensor: Tensor) -> bool:
        """Whether the fingerprint has copied a tensor."""
        return id(tensor) in self._copied

    def add(self, fingerprint: Fingerprint, name: str, value: Tensor) -> bool:
        """Add a tensor to a fingerprint, and have it copied where that is wanted and possible.

        Returns:
            False where it lies otherwise than the compiled pass reads; nothing has been added then.
        """
        address = _address(value)
        if address is None or address % WORD_BYTES:
            return False
        into, copy, dtype, shape = 0, self._wanted.get(id(value)), value.dtype, value.shape
        if copy is not None and (copy.dtype, copy.shape) == (dtype, shape):
            place = _address(copy)
            if place is not None and not (place % COPY_BYTES or address % COPY_BYTES):
                into = place
        head = (name, dtype_name(dtype), tuple(shape))
        num_bytes = value.numel() * dtype.itemsize
        column = fingerprint.add_memory(head, address, num_bytes, into)
        if into:
            self._copied[id(value)] = _Copied(head, address, num_bytes, into, column)
        return True

    def finish(self, fingerprint: Fingerprint) -> str:
        """Return the fingerprint's 16 hex digits, and keep its products."""
        found = fingerprint.hexdigest()
        self._lanes = fingerprint.lanes
        return found

    def stand(self, tensors: Iterable[Tensor]) -> list[Tensor] | None:
        """Compare tensors with what was copied of them.

        Returns:
            Those that nothing is known of; None where one has changed.
        """
        unknown: list[Tensor] = []
        jobs: list[tuple[Memory, int]] = []
        places: list[slice] = []
        num_rows = 0
        for tensor in tensors:
            copied = self._copied.get(id(tensor))
            if copied is None or _address(tensor) != copied.address:
                unknown.append(tensor)
                continue
            if (dtype_name(tensor.dtype), tuple(tensor.shape)) != copied.head[1:]:
                return None
            rows = copied.num_bytes // ROW_BYTES
            whole = rows * ROW_BYTES
            rest = copied.num_bytes - whole
            if rest and not same_bytes(copied.address + whole, copied.copy + whole, rest):
                return None
            if rows:
                jobs.append((Memory(copied.address, rows, 0), num_rows))
                places.append(slice(copied.column, copied.column + rows))
                num_rows += rows
        lanes = np.empty((2, num_rows), np.uint64)
        fill_lanes(jobs, lanes)
        expected = [self._lanes[:, place] for place in places]
        same = not places or np.array_equal(lanes, np.concatenate(expected, axis=1))
        return unknown if same else None


def _address(value: Tensor) -> int | None:
    """Return where the elements lie in C order; None where they lie otherwise."""
    # What is quantized, conjugated or negated has its own dtype or flag, or no plain layout.
    usual = type(value) in _PLAIN and value.layout is torch.strided and value.is_contiguous()
    if not usual or value.is_quantized or value.is_conj() or value.is_neg() or not value.is_cpu:
        return None
    return value.data_ptr()
