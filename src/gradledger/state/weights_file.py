"""Files of named arrays in the safetensors format, written and read without torch.

The format is a JSON header and raw bytes; nothing in it can be executed. Writing it here gives each
file its digest in the same pass, an atomic rename, and an auditor without torch.

Source:
    The format's description in the safetensors project: 8 bytes of header length, little-endian;
    the header, padded with spaces; the data without gaps.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np

from gradledger.canon import parse_json
from gradledger.errors import InputError, StorageError
from gradledger.segment import AtomicFile, cannot_read
from gradledger.state.arrays import Array, Bytes, byte_view, dtype_label, labelled
from gradledger.state.digest import digest_arrays

#: dtype label -> name in the format.
FORMAT_NAMES: Final[dict[str, str]] = {
    "bool": "BOOL",
    "uint8": "U8",
    "int8": "I8",
    "uint16": "U16",
    "int16": "I16",
    "float16": "F16",
    "bfloat16": "BF16",
    "uint32": "U32",
    "int32": "I32",
    "float32": "F32",
    "uint64": "U64",
    "int64": "I64",
    "float64": "F64",
    "complex64": "C64",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
}
_LABELS: Final = {name: label for label, name in FORMAT_NAMES.items()}
#: Formats that NumPy lacks, with their bytes per element.
_FOREIGN: Final = {"bfloat16": 2, "float8_e4m3fn": 1, "float8_e5m2": 1}

_LENGTH_BYTES: Final = 8
_METADATA: Final = "__metadata__"
#: The reference implementation's own limit.
_MAX_HEADER_BYTES: Final = 100_000_000


@dataclass(frozen=True)
class StoredArrays:
    """Content of one file.

    Attributes:
        arrays: Name -> array; all are views of one buffer.
        metadata: Name -> text.
        sha256: Digest of the file that the arrays were read from, 64 hex digits.
    """

    arrays: dict[str, Array]
    metadata: dict[str, str]
    sha256: str


def write_arrays(
    path: Path, arrays: Mapping[str, Array], metadata: Mapping[str, str] | None = None
) -> str:
    """Write named arrays atomically.

    Args:
        path: Final name.
        arrays: Name -> array; any dtype of ``FORMAT_NAMES``.
        metadata: Text entries for the header.

    Returns:
        SHA-256 of the file, 64 hex digits.

    Raises:
        StorageError: A dtype or name that the format lacks (S124); the disk refuses (S112).
    """
    # Wide elements first, so that every array lies at a multiple of its element's size.
    names = sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name))
    header: dict[str, Any] = {_METADATA: dict(metadata)} if metadata else {}
    offset = 0
    for name in names:
        array = arrays[name]
        label = dtype_label(array.dtype)
        if label not in FORMAT_NAMES or name == _METADATA:
            raise StorageError(
                "S124",
                observed=f"an array of {label}",
                expected=f"one of {', '.join(FORMAT_NAMES)}",
                where=f"{path}, {name}",
            )
        header[name] = {
            "dtype": FORMAT_NAMES[label],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + array.nbytes],
        }
        offset += array.nbytes
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _LENGTH_BYTES)
    with AtomicFile(path) as file:
        file.write(len(text).to_bytes(_LENGTH_BYTES, "little") + text)
        for name in names:
            content = byte_view(arrays[name])
            if content.size:
                file.write(content.data)
    return file.sha256


def read_arrays(path: Path) -> StoredArrays:
    """Read a whole file; every claim of its header is checked.

    Raises:
        StorageError: The file cannot be read (S113) or is damaged (S123).
    """
    try:
        content = np.fromfile(path, np.uint8)
    except OSError as error:
        raise cannot_read(path, error) from error
    sha256 = hashlib.sha256(content.data).hexdigest()
    num_header = int.from_bytes(content[:_LENGTH_BYTES].tobytes(), "little")
    start = _LENGTH_BYTES + num_header
    if content.size < _LENGTH_BYTES or num_header > _MAX_HEADER_BYTES or start > content.size:
        raise damaged(f"a header of {num_header} bytes", "one that lies within the file", path)
    try:
        header = parse_json(content[_LENGTH_BYTES:start].tobytes(), str(path))
    except InputError as error:
        raise damaged(error.observed, "a header in JSON", path) from error
    if not isinstance(header, dict):
        raise damaged("a header without names", "names and their arrays", path)
    metadata = header.pop(_METADATA, {})
    data = content[start:]
    arrays = {name: _array(data, name, entry, path) for name, entry in header.items()}
    _check_gapless(header, data.size, path)
    return StoredArrays(arrays, metadata, sha256)


def model_file_digest(path: Path) -> str:
    """Return the digest of the model state in a file: that of ``digest_arrays`` on its arrays.

    Raises:
        StorageError: The file cannot be read (S113) or is damaged (S123).
    """
    return digest_arrays(read_arrays(path).arrays.items())


def damaged(observed: str, expected: str, path: Path) -> StorageError:
    """Return the error for a file of a model state that is not what it claims."""
    return StorageError(
        "S123",
        observed=observed,
        expected=expected,
        where=str(path),
        hint="restore the run from a copy, or use an earlier model state",
    )


def _array(data: Bytes, name: str, entry: Any, path: Path) -> Array:
    try:
        label = _LABELS[entry["dtype"]]
        shape = tuple(entry["shape"])
        first, last = entry["data_offsets"]
        numbers = (*shape, first, last)
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(
            f"the entry {entry!r:.200}", f"dtype, shape, offsets of {name}", path
        ) from error
    if any(type(number) is not int or number < 0 for number in numbers):
        raise damaged(f"lengths {numbers}", f"integers from 0 for {name}", path)
    dtype = labelled(label, _FOREIGN[label]) if label in _FOREIGN else np.dtype(label)
    if not first <= last <= data.size or last - first != prod(shape) * dtype.itemsize:
        raise damaged(
            f"bytes {first} to {last} of {data.size}",
            f"{prod(shape) * dtype.itemsize} bytes within the file for {name}",
            path,
        )
    return data[first:last].view(dtype).reshape(shape)


def _check_gapless(header: Mapping[str, Any], num_bytes: int, path: Path) -> None:
    """Bytes outside all arrays, or shared by two, would escape the digest of the model."""
    end = 0
    for first, last in sorted(entry["data_offsets"] for entry in header.values()):
        if first != end:
            raise damaged(f"an array at byte {first}", f"one at byte {end}", path)
        end = last
    if end != num_bytes:
        raise damaged(f"{num_bytes} bytes of data", f"{end}", path)
