"""Turn columns as the recorder has them into Arrow arrays; cut mantissas where that was asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gradledger.segment.arrow import misfit

#: Mantissa bits that a float32 stores.
FLOAT32_BITS: Final = 23
_EXPONENT: Final = np.uint32(0x7F800000)


def to_arrow(values: Any, kind: pa.DataType, bits: int | None, where: str) -> pa.Array:
    """Return one chunk of a column as an Arrow array.

    Args:
        values: NumPy array, Arrow array or list; None in a list is null. Digests may also be one
            array of shape (rows, 32) of bytes.
        kind: Arrow type of the column.
        bits: Mantissa bits to keep of float32 values; None for all.
        where: Table and column, for the message.

    Raises:
        StorageError: A value does not fit the type. Code S114.
    """
    try:
        array = _convert(values, kind)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise misfit(str(error).splitlines()[0][:200], f"values of type {kind}", where) from error
    return array if bits is None else _cut_array(array, bits)


def cut_mantissa(values: NDArray[np.float32], bits: int) -> NDArray[np.float32]:
    """Round float32 values to fewer mantissa bits, to nearest, ties to even.

    NaN and infinities stay as they are; a finite value that would round up to infinity becomes the
    largest finite one. The relative error is at most 2**-(bits + 1) for normal values.

    Args:
        values: Any shape.
        bits: Stored mantissa bits to keep, 0 to 23.

    Returns:
        New array of the same shape whose lower ``23 - bits`` bits are zero.
    """
    drop = FLOAT32_BITS - bits
    words = np.ascontiguousarray(values, np.float32).view(np.uint32)
    if drop <= 0:
        return words.copy().view(np.float32).reshape(np.shape(values))
    one = np.uint32(1)
    mask = np.uint32((0xFFFFFFFF << drop) & 0xFFFFFFFF)
    # Without a stored bit, what is kept of a normal value is its leading one, and that is odd.
    odd = (words >> np.uint32(drop)) & one if bits else (words & _EXPONENT != 0).astype(np.uint32)
    rounded = (words + (np.uint32((1 << (drop - 1)) - 1) + odd)) & mask
    special = (words & _EXPONENT) == _EXPONENT
    overflow = ((rounded & _EXPONENT) == _EXPONENT) & ~special
    rounded = np.where(overflow, words & mask, rounded)
    return np.where(special, words, rounded).view(np.float32).reshape(np.shape(values))


def _convert(values: Any, kind: pa.DataType) -> pa.Array:
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if isinstance(values, pa.Array):
        return values.cast(kind)
    if isinstance(values, np.ndarray):
        return _from_numpy(values, kind)
    return pa.array(values, type=kind)


def _from_numpy(values: NDArray[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_fixed_size_binary(kind) and values.dtype == np.uint8:
        if values.ndim != 2 or values.shape[1] != kind.byte_width:  # noqa: PLR2004
            message = f"bytes of shape {values.shape}"
            raise ValueError(message)
        content = pa.py_buffer(np.ascontiguousarray(values))
        return pa.FixedSizeBinaryArray.from_buffers(kind, len(values), [None, content])
    if values.ndim != 1:
        message = f"an array of shape {values.shape}"
        raise ValueError(message)
    if pa.types.is_floating(kind) and values.dtype.kind == "f":
        values = values.astype(kind.to_pandas_dtype(), copy=False)
    elif values.dtype.kind not in "biufM":
        return pa.array(values.tolist(), type=kind)
    return pa.array(values, type=kind, from_pandas=False)


def _cut_array(array: pa.Array, bits: int) -> pa.Array:
    """Cut the values; nulls keep their place."""
    values = array.to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    nulls: Sequence[bool] | None = None
    if array.null_count:
        nulls = array.is_null().to_numpy(zero_copy_only=False)
    return pa.array(cut_mantissa(values, bits), type=array.type, mask=nulls, from_pandas=False)
