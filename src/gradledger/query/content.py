"""Content as the recorder digests it, without torch: an auditor may ask about a file.

The law is that of ``gradledger.recorder.presented``: every tensor of an item adds its path, number
format, shape and bytes. A test holds both implementations together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gradledger.errors import GradledgerError, QueryError
from gradledger.state import byte_view, dtype_label, read_arrays

#: Endings of files that hold tensors of one item.
FILE_KINDS: Final[tuple[str, ...]] = (".safetensors", ".npz", ".npy")


def item_digest(item: Any) -> bytes:
    """Return the SHA-256 of one item: 32 bytes.

    Args:
        item: Arrays, numbers or tensors, in mappings, sequences or dataclasses.

    Raises:
        QueryError: The item holds no tensor, so that it has no content of its own. Code Q131.
    """
    hasher, found = hashlib.sha256(), False
    for path, leaf in _leaves(item, ""):
        array = _as_array(leaf)
        if array is not None:
            found = True
            header = f"{path}|torch.{dtype_label(array.dtype)}|{array.shape}|".encode()
            hasher.update(len(header).to_bytes(4, "little") + header + byte_view(array).tobytes())
    if not found:
        raise _unreadable(
            f"an item of type {type(item).__name__} without numbers", "arrays or tensors", ""
        )
    return hasher.digest()


def read_items(path: Path) -> list[Any]:
    """Return what a file may hold as an item of a data set; several readings where it is open.

    Args:
        path: ``.safetensors`` or ``.npz``: named arrays of one item; ``.npy``: one array, alone or
            as the only element of a tuple.

    Raises:
        QueryError: The file cannot be read. Code Q131.
    """
    kind = path.suffix.lower()
    if kind not in FILE_KINDS:
        raise _unreadable(f"{path.name}", f"a file ending in {', '.join(FILE_KINDS)}", str(path))
    try:
        if kind == ".safetensors":
            return [read_arrays(path).arrays]
        loaded = np.load(path, allow_pickle=False)
        if kind == ".npz":
            with loaded:
                return [{name: loaded[name] for name in loaded.files}]
    except (OSError, ValueError, GradledgerError) as error:
        raise _unreadable(str(error).splitlines()[0], "a file of arrays", str(path)) from error
    return [loaded, (loaded,)]


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


def _as_array(leaf: Any) -> NDArray[Any] | None:
    if hasattr(leaf, "detach") and hasattr(leaf, "numpy"):
        return _tensor_array(leaf)
    if isinstance(leaf, np.ndarray | np.generic):
        return np.asarray(leaf)
    if isinstance(leaf, bool | int | float):
        return np.asarray(leaf)
    return None


def _tensor_array(tensor: Any) -> NDArray[Any]:
    """Return a tensor's array; torch is the caller's."""
    try:
        array: NDArray[Any] = tensor.detach().cpu().numpy()
    except (TypeError, RuntimeError) as error:
        raise _unreadable(
            f"a tensor of {tensor.dtype}", "a number format that NumPy has", "content"
        ) from error
    return array


def _unreadable(observed: str, expected: str, where: str) -> QueryError:
    return QueryError(
        "Q131",
        observed=observed[:300],
        expected=expected,
        where=where or "content",
        hint="give the item as the data set yields it: named arrays in a .safetensors or .npz file",
    )
