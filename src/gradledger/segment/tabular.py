"""Tables that are not part of a run: metadata that people bring, results that they take along."""

from __future__ import annotations

import csv as text_csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv, json

from gradledger.errors import StorageError
from gradledger.segment.files import AtomicFile, cannot_read

#: Endings of the files that can be read.
TABLE_SUFFIXES: Final = (".parquet", ".csv", ".jsonl", ".ndjson")
_BLOCK_BYTES: Final = 1 << 24


def read_tabular(path: Path, types: Mapping[str, pa.DataType | None]) -> pa.Table:
    """Read some columns of a Parquet, CSV or JSON-lines file.

    In CSV an empty field without quotes is missing, one with quotes is an empty text. In JSON lines
    a member that a line lacks is missing.

    Args:
        path: The file; its ending says what it is.
        types: Column -> type to read it as where the file has none of its own (CSV, JSON lines);
            None takes what the values look like.

    Returns:
        The columns that are there, in the order of ``types``.

    Raises:
        StorageError: S113 cannot be read; S115 another ending, or content that does not fit.
    """
    readers = {".parquet": _parquet, ".csv": _csv, ".jsonl": _json, ".ndjson": _json}
    suffix = path.suffix.lower()
    if suffix not in readers:
        raise _unreadable(
            f"a file that ends in {suffix!r}", f"one of {', '.join(TABLE_SUFFIXES)}", path
        )
    try:
        return readers[suffix](path, types)
    except OSError as error:
        if error.errno is None:
            raise _unreadable(str(error).splitlines()[0][:300], f"a {suffix} file", path) from error
        raise cannot_read(path, error) from error
    except (pa.ArrowException, UnicodeDecodeError, text_csv.Error) as error:
        raise _unreadable(str(error).splitlines()[0][:300], f"a {suffix} file", path) from error


def write_tabular(path: Path, table: pa.Table) -> None:
    """Write a table as Parquet, whole or not at all.

    Raises:
        StorageError: The disk refuses. Code S112.
    """
    with AtomicFile(path) as file:
        pq.write_table(table, file, compression="zstd")


def _parquet(path: Path, types: Mapping[str, pa.DataType | None]) -> pa.Table:
    with pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
        return file.read(columns=[name for name in types if name in names])


def _csv(path: Path, types: Mapping[str, pa.DataType | None]) -> pa.Table:
    with path.open(encoding="utf-8-sig", newline="") as file:
        names = next(text_csv.reader(file), [])
    kept = [name for name in types if name in names]
    if twice := [name for name in kept if names.count(name) > 1]:
        raise _unreadable(f"two columns named {twice[0]!r}", "every name once", path)
    if not kept:
        kept, types = names[:1], {name: pa.string() for name in names[:1]}
    options = csv.ConvertOptions(
        include_columns=kept,
        column_types={name: types[name] for name in kept if types[name] is not None},
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    return csv.read_csv(
        path,
        read_options=csv.ReadOptions(block_size=_BLOCK_BYTES),
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=options,
    )


def _json(path: Path, types: Mapping[str, pa.DataType | None]) -> pa.Table:
    schema = pa.schema([(name, kind) for name, kind in types.items() if kind is not None])
    options: dict[str, Any] = {"explicit_schema": schema, "newlines_in_values": False}
    behaviour = "infer" if None in types.values() else "ignore"
    table = json.read_json(
        path,
        read_options=json.ReadOptions(block_size=_BLOCK_BYTES),
        parse_options=json.ParseOptions(unexpected_field_behavior=behaviour, **options),
    )
    return table.select([name for name in types if name in table.column_names])


def _unreadable(observed: str, expected: str, path: Path) -> StorageError:
    return StorageError(
        "S115",
        observed=observed,
        expected=expected,
        where=str(path),
        hint="write the table as Parquet, CSV with a header, or one JSON object per line",
    )
