"""Digests: SHA-256 over named arrays in a framing that leaves nothing open."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from gradledger.errors import StorageError
from gradledger.state.arrays import Array, byte_view, dtype_label


def digest_arrays(items: Iterable[tuple[str, Array]]) -> str:
    """Return the digest of named arrays; the order in which they come does not matter.

    Per array, sorted by name: name and dtype label as UTF-8, each after its length; the number of
    axes; their lengths; the number of bytes; the bytes in C order, little-endian. All numbers are
    little-endian and 8 bytes wide. Before them stands the number of arrays.

    Args:
        items: Distinct names with their arrays.

    Returns:
        SHA-256, 64 hex digits.

    Raises:
        StorageError: A name occurs twice, or an array holds no plain numbers. Code S124.
    """
    arrays = list(items)
    named = dict(arrays)
    if len(named) != len(arrays):
        names = [name for name, _ in arrays]
        raise StorageError(
            "S124",
            observed=f"the name {next(name for name in names if names.count(name) > 1)!r} twice",
            expected="distinct names",
            where="digest_arrays",
        )
    hasher = hashlib.sha256(b"gradledger.arrays/1\0" + _number(len(named)))
    for name in sorted(named):
        array = named[name]
        for text in (name.encode(), dtype_label(array.dtype).encode()):
            hasher.update(_number(len(text)) + text)
        content = byte_view(array)
        hasher.update(b"".join(map(_number, (array.ndim, *array.shape, content.size))))
        hasher.update(content.data)
    return hasher.hexdigest()


def _number(value: int) -> bytes:
    return value.to_bytes(8, "little")
