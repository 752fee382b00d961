"""Comparison of memory by the C library, without Python's lock: two threads really compare."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any


def same_bytes(first: int, second: int, num_bytes: int) -> bool | None:
    """Whether two places in memory hold the same bytes; None where no C library can be called.

    Args:
        first: Address of the one.
        second: Address of the other.
        num_bytes: Bytes to compare.
    """
    compare = _compare()
    return None if compare is None else compare(first, second, num_bytes) == 0


@cache
def _compare() -> Any:
    try:
        found = ctypes.CDLL(None).memcmp
    except (AttributeError, OSError, TypeError):
        return None
    found.restype = ctypes.c_int
    found.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
    return found
