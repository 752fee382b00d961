"""Metadata as people bring it (files, single records) -> columns that a policy can decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from gradledger.canon import parse_json
from gradledger.errors import PolicyError
from gradledger.policy.place import shown
from gradledger.policy.policy import Policy
from gradledger.segment import cannot_read, read_tabular

#: How files without types of their own are read; moments come as text.
_READ_AS: Final = {
    "string": pa.string(),
    "spdx": pa.string(),
    "int": pa.int64(),
    "float": pa.float64(),
    "bool": pa.bool_(),
    "timestamp": pa.string(),
}


def read_metadata(
    path: Path | str, policies: Sequence[Policy], extra: Sequence[str] = ()
) -> pa.Table:
    """Read the attributes that policies read, and further columns, from a file.

    Args:
        path: A Parquet, CSV or JSON-lines file.
        policies: The policies; where two declare one attribute, the first says how text is read.
        extra: Further columns, such as one to group by.

    Raises:
        StorageError: S113, S115 the file cannot be read.
        PolicyError: P151 it lacks a further column, P152 a text is no moment.
    """
    types: dict[str, pa.DataType | None] = dict.fromkeys(extra)
    moments = set()
    for policy in reversed(policies):
        for name in policy.reads:
            types[name] = _READ_AS[policy.attributes[name].type]
            moments |= {name} if policy.attributes[name].type == "timestamp" else set()
    table = read_tabular(Path(path), types)
    for name in extra:
        if name not in table.column_names:
            raise PolicyError(
                "P151",
                observed=f"no column {name!r}",
                expected="a column of the table",
                where=str(path),
                hint="name a column that the table has",
            )
    for name in moments & set(table.column_names):
        if pa.types.is_string(table[name].type):
            place = table.column_names.index(name)
            table = table.set_column(place, name, _moments(name, table[name].to_pylist()))
    return table


def read_record(path: Path | str) -> dict[str, Any]:
    """Read one example: a JSON object of attributes.

    Raises:
        StorageError: S113 the file cannot be read.
        InputError: I122 not JSON.
        PolicyError: P152 another value than an object.
    """
    try:
        text = Path(path).read_bytes()
    except OSError as error:
        raise cannot_read(Path(path), error) from error
    found = parse_json(text, str(path))
    if not isinstance(found, dict):
        raise PolicyError(
            "P152",
            observed=f"a record that is {shown(found)}",
            expected="one JSON object, attribute -> value",
            where=str(path),
        )
    return found


def columns_of(policy: Policy, record: Mapping[str, Any]) -> dict[str, pa.Array]:
    """Return one record as columns of one row; what it lacks is missing.

    Raises:
        PolicyError: P152 a value does not fit its attribute.
    """
    columns = {}
    for name in policy.reads:
        value, declared = record.get(name), policy.attributes[name].type
        if declared == "timestamp" and isinstance(value, str):
            columns[name] = _moments(name, [value])
            continue
        try:
            columns[name] = pa.array([value])
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            raise PolicyError(
                "P152",
                observed=shown(value),
                expected=f"a value of type {declared}",
                where=f"attribute {name!r}",
            ) from error
    return columns


def _moments(name: str, texts: Sequence[str | None]) -> pa.Array:
    """Return moments of ISO 8601; without an offset they are UTC."""
    by_text: dict[str, datetime] = {}
    for row, text in enumerate(texts):
        if text is None or text in by_text:
            continue
        try:
            moment = datetime.fromisoformat(text)
            moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
            by_text[text] = moment.astimezone(UTC)
        except (ValueError, OverflowError):
            raise PolicyError(
                "P152",
                observed=shown(text),
                expected="a moment of ISO 8601, such as 2026-01-31T00:00:00Z",
                where=f"column {name!r}, row {row}",
                hint="write moments as ISO 8601",
            ) from None
    return pa.array(
        [None if text is None else by_text[text] for text in texts], pa.timestamp("us", "UTC")
    )


def read_blocks(path: Path | str) -> list[str]:
    """Read the names of a model's blocks, from input to output.

    Args:
        path: A JSON list, or one name per line; lines that begin with ``#`` are comments.

    Raises:
        StorageError: S113 the file cannot be read.
        PolicyError: P156 no names, a name twice, or something else than names.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise _no_blocks("bytes that are no UTF-8", path) from None
    except OSError as error:
        raise cannot_read(Path(path), error) from error
    if text.lstrip().startswith("["):
        found = parse_json(text, str(path))
    else:
        lines = (line.strip() for line in text.splitlines())
        found = [line for line in lines if line and not line.startswith("#")]
    if not found:
        raise _no_blocks("no name", path)
    for place, name in enumerate(found):
        if not isinstance(name, str) or not name or name in found[:place]:
            raise _no_blocks(f"{shown(name)} in place {place + 1}", path)
    return list(found)


def _no_blocks(observed: str, path: Path | str) -> PolicyError:
    return PolicyError(
        "P156",
        observed=observed,
        expected="names of blocks, each once, from input to output",
        where=str(path),
        hint="write one block per line, or a JSON list; a run lists its blocks in run.json",
    )
