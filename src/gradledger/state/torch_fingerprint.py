"""Fingerprints of tensors where they are: on a device only two numbers per row leave it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn, optim

from gradledger.state.arrays import Array, Bytes
from gradledger.state.fingerprint import Fingerprint, Head
from gradledger.state.lanes import (
    ROW_BYTES,
    ROW_WORDS,
    WORD_BYTES,
    Words,
    compiled_reader,
    row_weights,
)
from gradledger.state.torch_copies import Copies
from gradledger.state.torch_items import (
    dtype_name,
    model_tensors,
    optimizer_values,
    plain_tensor,
    tensor_array,
)

#: Rows per pass on a device: bounds the temporary products to 128 MiB.
_DEVICE_BLOCK_ROWS: Final = 16_384


def training_fingerprint(
    model: nn.Module, optimizer: optim.Optimizer, copies: Copies | None = None
) -> str:
    """Return the fingerprint of parameters, buffers and optimizer state.

    Settings such as the learning rate do not enter: schedules change them between steps.

    Args:
        model: The model.
        optimizer: Its optimizer.
        copies: What shall be copied on the way, where that is possible: it knows what was.

    Returns:
        16 hex digits; the same for equal bits on a CPU and on a device.

    Raises:
        StorageError: A tensor is sparse, quantized, sharded or meta. Code S124.
    """
    items: list[tuple[str, Tensor | Array]] = [
        (f"model/{name}", tensor) for name, tensor in model_tensors(model).items()
    ]
    items += [(f"optimizer/{name}", value) for name, value in optimizer_values(optimizer, model)]
    return fingerprint_tensors(items, copies)


def fingerprint_tensors(
    items: Iterable[tuple[str, Tensor | Array]], copies: Copies | None = None
) -> str:
    """Return the fingerprint of named tensors and arrays: that of ``fingerprint_arrays``.

    Args:
        items: Name and tensor or array, in an order that matters.
        copies: See ``training_fingerprint``.

    Returns:
        16 hex digits.
    """
    fingerprint, copies = Fingerprint(), Copies({}) if copies is None else copies
    reads_memory = compiled_reader() is not None
    # Tensors on a device as head, products and rest, still on the device; None in their places.
    started: list[tuple[Head, Tensor, Tensor]] = []
    entries: list[tuple[str, Tensor | Array] | None] = []
    for name, value in items:
        if isinstance(value, Tensor) and value.device.type != "cpu":
            started.append(_start_on_device(name, value))
            entries.append(None)
        else:
            entries.append((name, value))
    fetched = zip(started, _fetch(started), strict=True)
    for entry in entries:
        if entry is None:
            (head, _, _), (lanes, rest) = next(fetched)
            fingerprint.add_parts(head, lanes if lanes.size else None, rest)
            continue
        name, value = entry
        if not isinstance(value, Tensor):
            fingerprint.add(name, value)
        elif not (reads_memory and copies.add(fingerprint, name, value)):
            fingerprint.add(name, tensor_array(value, name))
    return copies.finish(fingerprint)


def device_lanes(rows: Tensor) -> Tensor:
    """Return the two products of each row, as ``row_lanes`` does.

    Integers wrap modulo 2**64 on every device, so the bits agree with NumPy's.

    Args:
        rows: int64, shape (R, 1024).

    Returns:
        int64, shape (2, R), on the same device.
    """
    forward, backward = _device_weights(rows.device)
    lanes = torch.empty((2, len(rows)), dtype=torch.int64, device=rows.device)
    for start in range(0, len(rows), _DEVICE_BLOCK_ROWS):
        block = slice(start, start + _DEVICE_BLOCK_ROWS)
        part = rows[block]
        content = part.contiguous().view(torch.uint8).reshape(-1, ROW_WORDS, WORD_BYTES)
        reverse = content.flip(-1).reshape(-1, ROW_BYTES).view(torch.int64)
        lanes[0, block] = (part * forward).sum(1)
        lanes[1, block] = (reverse * backward).sum(1)
    return lanes


@lru_cache(maxsize=16)
def _device_weights(device: torch.device) -> tuple[Tensor, Tensor]:
    forward, backward = row_weights()
    return (
        torch.from_numpy(forward.view(np.int64).copy()).to(device),
        torch.from_numpy(backward.view(np.int64).copy()).to(device),
    )


def _start_on_device(name: str, tensor: Tensor) -> tuple[Head, Tensor, Tensor]:
    tensor = plain_tensor(tensor, name)
    head = (name, dtype_name(tensor.dtype), tuple(tensor.shape))
    content = tensor.contiguous().reshape(-1).view(torch.uint8)
    split = content.numel() - content.numel() % ROW_BYTES
    if content.storage_offset() % WORD_BYTES:
        content = content.clone()
    rows = content[:split].view(torch.int64).reshape(-1, ROW_WORDS)
    return head, device_lanes(rows), content[split:]


def _fetch(entries: list[tuple[Head, Tensor, Tensor]]) -> Iterator[tuple[Words, Bytes]]:
    """Bring products and rests of all tensors over in two transfers per device."""
    found: dict[int, tuple[Words, Bytes]] = {}
    for device in {entry[1].device for entry in entries}:
        places = [place for place, entry in enumerate(entries) if entry[1].device == device]
        lanes = torch.cat([entries[place][1] for place in places], 1).cpu().numpy().view(np.uint64)
        rests = torch.cat([entries[place][2] for place in places]).cpu().numpy()
        lane = byte = 0
        for place in places:
            num_lanes, num_bytes = entries[place][1].shape[1], entries[place][2].numel()
            found[place] = (lanes[:, lane : lane + num_lanes], rests[byte : byte + num_bytes])
            lane, byte = lane + num_lanes, byte + num_bytes
    return iter(found[place] for place in range(len(entries)))
