"""Tables of a run as SQL relations: their names, types, and the text that selects from files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gradledger.schema import TABLES

#: Relation name of each table folder.
RELATIONS: Final[dict[str, str]] = {
    "decisions/examples": "examples",
    "decisions/distinct": "decisions",
    "decisions/truths": "truths",
    "visits": "visits",
    "steps": "steps",
    "books": "books",
    "displacement/visits": "displacement_visits",
    "displacement/lines": "displacement_lines",
    "frozen/visits": "frozen_visits",
    "frozen/lines": "frozen_lines",
    "probes/values": "probe_values",
    "probes/visits": "probe_visits",
    "probes/lines": "probe_lines",
    "probes/intervals": "probe_intervals",
}

_SQL_TYPES: Final[dict[str, str]] = {
    "int32": "INTEGER",
    "int16": "SMALLINT",
    "int64": "BIGINT",
    "float32": "FLOAT",
    "float64": "DOUBLE",
    "string": "VARCHAR",
    "label": "VARCHAR",
    "digest": "BLOB",
    "bool": "BOOLEAN",
}


def quote(name: str) -> str:
    """Return a column name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def rows_of(files: Sequence[Path]) -> str:
    """Return Parquet files as an SQL relation."""
    names = ", ".join(literal(without_glob(str(file))) for file in files)
    return f"read_parquet([{names}], union_by_name=true)"


def literal(value: str) -> str:
    """Return text as an SQL literal, for names that a run holds and that cannot be bound."""
    return "'" + value.replace("'", "''") + "'"


def without_glob(name: str) -> str:
    """Escape characters that the engine would expand: a run may lie in a folder named ``a[1]``."""
    return "".join(f"[{char}]" if char in "*?[" else char for char in name)


def selected(folder: str, files: Sequence[Path]) -> str:
    """Return SQL of all rows of a table folder; of none where it has no files."""
    if files:
        return f"SELECT * FROM {rows_of(files)}"
    columns = ", ".join(
        f"NULL::{_SQL_TYPES[kind]} AS {quote(name)}" for name, kind in TABLES[folder].items()
    )
    return f"SELECT {columns} WHERE false"
