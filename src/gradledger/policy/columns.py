"""Arrow columns -> small integer codes, and codes -> the distinct tuples among millions of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gradledger.errors import PolicyError
from gradledger.policy.document import MAX_INTEGER
from gradledger.policy.place import shown

_ARROW_TYPES: Final = {
    "string": pa.string(),
    "spdx": pa.string(),
    "int": pa.int64(),
    "float": pa.float64(),
    "bool": pa.bool_(),
    "timestamp": pa.timestamp("us"),
}
_HINTS: Final = {
    "string": "convert the column to text",
    "spdx": "give licence expressions as text",
    "int": "cast the column to int64 (in pandas: Int64, which keeps missing values)",
    "float": "cast the column to float64",
    "bool": "convert the column to true and false",
    "timestamp": "parse the column into timestamps; without a zone they are taken as UTC",
}
#: Beyond so many cells the key of a tuple would not fit into 64 bits.
_MAX_RADIX: Final = 1 << 62
#: First and last moment that Python, and so a record, can hold, in microseconds since 1970.
_FIRST_MOMENT: Final = -62_135_596_800_000_000
_LAST_MOMENT: Final = 253_402_300_799_999_999


@dataclass(frozen=True)
class Coded:
    """A column in codes.

    Attributes:
        values: Its distinct values; none is null.
        codes: For every row 1 + the place of its value, 0 where it is missing; int64.
    """

    values: pa.Array
    codes: NDArray[np.int64]


def encode(name: str, declared: str, column: Any) -> Coded:
    """Return a column in codes; NaN counts as missing, 0.0 and -0.0 as one value.

    Args:
        name: Attribute, for messages.
        declared: Its type in the policy.
        column: Arrow array or chunked array.

    Raises:
        PolicyError: The column does not fit the declared type. Code P152.
    """
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    array = _typed(name, declared, array)
    encoded = array.dictionary_encode()
    values = encoded.dictionary
    try:
        values.validate(full=True)
    except pa.ArrowInvalid as error:
        raise _misfit(name, declared, "text that is no UTF-8", None) from error
    _check_range(name, declared, values)
    codes = encoded.indices.cast(pa.int64())
    return Coded(values, pc.add(codes, 1).fill_null(0).to_numpy())


def distinct(
    codes: Sequence[NDArray[np.int64]], num_rows: int
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return the distinct tuples over several columns of codes.

    Args:
        codes: Codes of every column, each of ``num_rows``.
        num_rows: Rows, also where there is no column.

    Returns:
        The first row of every distinct tuple, in order of appearance; and for every row the place
        of its tuple among them, int32.
    """
    key = np.zeros(num_rows, np.int64)
    num_cells = 1
    for column in codes:
        radix = int(column.max(initial=0)) + 1
        if num_cells * radix > _MAX_RADIX:
            key, num_cells = _recoded(key)
        key = key * radix + column
        num_cells *= radix
    key, num_tuples = _recoded(key)
    first_row = np.empty(num_tuples, np.int64)
    first_row[key[::-1]] = np.arange(num_rows - 1, -1, -1)  # the last write, the first row, wins
    return first_row, key.astype(np.int32)


def _recoded(key: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    """Number keys in order of appearance; by hashing, which is faster than sorting."""
    encoded = pa.array(key).dictionary_encode()
    return encoded.indices.to_numpy().astype(np.int64), len(encoded.dictionary)


def rows_of(coded: Coded, rows: NDArray[np.int64]) -> pa.Array:
    """Return the values of some rows, null where missing."""
    codes = coded.codes[rows]
    return coded.values.take(pa.array(codes - 1, mask=codes == 0))


def _typed(name: str, declared: str, array: pa.Array) -> pa.Array:
    """Return the array in the one Arrow type of a declared type."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        array = array.cast(kind.value_type)
        kind = array.type
    if not (pa.types.is_null(kind) or _fits(declared, kind)):
        raise _misfit(name, declared, f"a column of type {kind}", array)
    safe = not (pa.types.is_timestamp(kind) and kind.unit == "ns")
    try:
        array = array.cast(_ARROW_TYPES[declared], safe=safe)
    except pa.ArrowInvalid as error:
        raise _misfit(name, declared, "a value out of range", array) from error
    if declared == "float":
        number = pc.add(array, 0.0)  # -0.0 becomes 0.0
        return pc.if_else(pc.is_nan(number), pa.scalar(None, pa.float64()), number)
    return array


def _fits(declared: str, kind: pa.DataType) -> bool:
    match declared:
        case "string" | "spdx":
            return bool(
                pa.types.is_string(kind)
                or pa.types.is_large_string(kind)
                or pa.types.is_string_view(kind)
            )
        case "int":
            return bool(pa.types.is_integer(kind))
        case "float":
            return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))
        case "bool":
            return bool(pa.types.is_boolean(kind))
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def _check_range(name: str, declared: str, values: pa.Array) -> None:
    """Refuse values that a record cannot keep exactly."""
    if declared in {"int", "float"}:
        limit = MAX_INTEGER if declared == "int" else np.finfo(np.float64).max
        low, high = -limit, limit
        numbers = values
    elif declared == "timestamp":
        low, high, numbers = _FIRST_MOMENT, _LAST_MOMENT, values.view(pa.int64())
    else:
        return
    outside = pc.or_(pc.less(numbers, low), pc.greater(numbers, high))
    if pc.any(outside).as_py():
        found = numbers.filter(outside)[0].as_py()
        unit = " microseconds since 1970" if declared == "timestamp" else ""
        raise _misfit(name, declared, f"the value {found}{unit}, out of range", None)


def _misfit(name: str, declared: str, observed: str, array: pa.Array | None) -> PolicyError:
    where = f"column {name!r}"
    if array is not None:
        valid = pc.indices_nonzero(array.is_valid())
        if len(valid):
            row = valid[0].as_py()
            where += f", row {row}: {shown(array[row].as_py())}"
    return PolicyError(
        "P152",
        observed=observed,
        expected=f"values of type {declared}, as the policy declares {name!r}",
        where=where,
        hint=_HINTS[declared],
    )
