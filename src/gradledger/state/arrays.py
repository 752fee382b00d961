"""Named arrays as bytes: one flat view and one label of the number format, for every dtype.

NumPy lacks some formats of deep learning, such as bfloat16. Their bits travel as a structured dtype
with one field that bears the format's name: zero-copy, and never mistaken for integers.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gradledger.errors import StorageError

Bytes = NDArray[np.uint8]
Array = NDArray[Any]

_KINDS: Final = "biufcV"


def labelled(label: str, item_bytes: int) -> np.dtype[Any]:
    """Return a dtype for bits of a format that NumPy lacks.

    Args:
        label: Name of the format, such as ``"bfloat16"``.
        item_bytes: Bytes per element.
    """
    return np.dtype([(label, f"V{item_bytes}")])


@lru_cache(maxsize=256)
def dtype_label(dtype: np.dtype[Any]) -> str:
    """Return the name of a number format: NumPy's own, or that of a labelled dtype.

    Raises:
        StorageError: The dtype holds no plain numbers. Code S124.
    """
    if dtype.names is not None and len(dtype.names) == 1:
        return dtype.names[0]
    if dtype.kind not in _KINDS or dtype.names is not None or dtype.hasobject:
        raise StorageError(
            "S124",
            observed=f"an array of dtype {dtype}",
            expected="booleans, integers, floats or complex numbers",
            where="state",
        )
    return dtype.name


def byte_view(array: Array) -> Bytes:
    """Return the elements' bytes in C order, little-endian; copies only where that is needed.

    Returns:
        Shape (bytes,).
    """
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("<"))
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)
