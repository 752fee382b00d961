"""Arrow schemas of the tables, from the logical types of their columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pyarrow as pa

from gradledger.errors import StorageError
from gradledger.schema import TABLES

#: Version of the layout of segment files.
SEGMENT_FORMAT: Final = "gradledger.segment/1"

#: Logical type -> Arrow type.
ARROW_TYPES: Final[dict[str, pa.DataType]] = {
    "bool": pa.bool_(),
    "digest": pa.binary(32),
    "float32": pa.float32(),
    "float64": pa.float64(),
    "int16": pa.int16(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "label": pa.dictionary(pa.int32(), pa.string()),
    "string": pa.string(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    **{f"bytes{width}": pa.binary(width) for width in (64, 128, 256, 512, 1024)},
}


def arrow_schema(
    table_name: str, extra: Mapping[str, str], metadata: Mapping[str, str] | None = None
) -> pa.Schema:
    """Return the Arrow schema of a table.

    Args:
        table_name: A key of ``TABLES``.
        extra: Further columns after the fixed ones, name -> logical type.
        metadata: Further entries for the file's metadata.

    Raises:
        StorageError: The table or a logical type is not known, or a further column bears the name
            of a fixed one. Code S114.
    """
    if table_name not in TABLES:
        raise misfit(
            f"the table {table_name!r}", f"one of {', '.join(sorted(TABLES))}", "arrow_schema"
        )
    fixed = TABLES[table_name]
    if taken := sorted(fixed.keys() & extra.keys()):
        raise misfit(
            f"a further column named {taken[0]!r}",
            "names that the table does not have already",
            table_name,
            "rename the column",
        )
    fields = []
    for name, kind in {**fixed, **extra}.items():
        if kind not in ARROW_TYPES:
            raise misfit(
                f"the logical type {kind!r}",
                f"one of {', '.join(ARROW_TYPES)}",
                f"{table_name}, column {name}",
            )
        fields.append(pa.field(name, ARROW_TYPES[kind]))
    entries = {"gradledger.table": table_name, "gradledger.format": SEGMENT_FORMAT}
    return pa.schema(fields, metadata={**entries, **(metadata or {})})


def misfit(observed: str, expected: str, where: str, hint: str = "") -> StorageError:
    """Return the error for rows or columns that do not fit their table."""
    return StorageError("S114", observed=observed, expected=expected, where=where, hint=hint)
