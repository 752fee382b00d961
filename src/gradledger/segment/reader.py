"""Read segments back as Arrow tables."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gradledger.errors import StorageError
from gradledger.segment.arrow import arrow_schema
from gradledger.segment.files import cannot_read
from gradledger.segment.orphans import orphan_folders
from gradledger.segment.sealed import SealedSegment

#: What reading a damaged segment may raise.
_DAMAGED: Final = (pa.ArrowException, OSError, UnicodeDecodeError)
#: Rows that are read at a time where a segment is read in parts.
PART_ROWS: Final = 65_536

_SEGMENT_NAME: Final = re.compile(r"part-\d{6,}\.parquet")


def segment_files(run_dir: Path, table_name: str) -> list[Path]:
    """Return the sealed segments of a table, in the order in which they were sealed.

    Temporary files that a crash left behind are no segments.
    """
    try:
        found = [
            path
            for path in (Path(run_dir) / table_name).iterdir()
            if _SEGMENT_NAME.fullmatch(path.name)
        ]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise cannot_read(Path(run_dir) / table_name, error) from error
    return sorted(found, key=lambda path: (len(path.name), path.name))


def next_segment(run_dir: Path, table_name: str) -> Path:
    """Return the path of the next segment of a table; numbers of orphans are not used again."""
    folders = [Path(run_dir), *orphan_folders(run_dir).values()]
    taken = [path for folder in folders for path in segment_files(folder, table_name)]
    number = 1 + max((int(path.stem.removeprefix("part-")) for path in taken), default=-1)
    return Path(run_dir) / table_name / f"part-{number:06d}.parquet"


def read_table(run_dir: Path, table_name: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Read all rows of a table, in the order of arrival.

    Args:
        run_dir: The run.
        table_name: A key of ``TABLES``.
        columns: Names to read; None for all. A segment that lacks a column gives nulls.

    Returns:
        One table; without rows where nothing was sealed.

    Raises:
        StorageError: A segment cannot be read, or no segment has a column (S115); the table is not
            known (S114).
    """
    schema = arrow_schema(table_name, {})
    parts = [_read(path, columns) for path in segment_files(run_dir, table_name)]
    names = {name for part in parts for name in part.column_names}
    wanted = list(columns) if columns is not None else None
    known = names or set(schema.names)
    if wanted is not None and not known.issuperset(wanted):
        lacking = sorted(set(wanted) - known)
        raise _unreadable(
            f"no column {lacking[0]!r}", f"one of {', '.join(sorted(known))}", table_name
        )
    if not parts:
        return schema.empty_table().select(wanted if wanted is not None else schema.names)
    try:
        table = pa.concat_tables(parts, promote_options="default")
    except pa.ArrowException as error:
        raise _unreadable(str(error), "the same types in every segment", table_name) from error
    return table if wanted is None else table.select(wanted)


def read_segment(path: Path) -> pa.Table:
    """Read all columns and rows of one segment, in the order in which they were sealed.

    Raises:
        StorageError: It cannot be read. Code S115.
    """
    return _read(path, None)


def damaged_columns(path: Path) -> Iterator[tuple[str, str]]:
    """Give the columns of a segment whose pages cannot be read or fail their checksum, and why.

    A segment whose footer cannot be read gives none: no column can be told from another.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for name in file.schema_arrow.names:
                try:
                    file.read(columns=[name], use_threads=False).validate(full=True)
                except _DAMAGED as error:
                    yield name, f"{_observed(error):.200}"
    except _DAMAGED:
        return


def read_parts(path: Path) -> Iterator[pa.Table]:
    """Read all columns of one segment a part at a time, in the order in which they were sealed.

    Yields:
        Tables of up to ``PART_ROWS`` rows; one without rows where the segment has none.

    Raises:
        StorageError: It cannot be read. Code S115.
    """
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow.remove_metadata()
            if not file.metadata.num_rows:
                yield schema.empty_table()
            for batch in file.iter_batches(PART_ROWS, use_threads=False):
                # A damaged page may decode: texts that are no text, places outside a dictionary.
                batch.validate(full=True)
                yield pa.Table.from_batches([batch]).replace_schema_metadata(None)
    except _DAMAGED as error:
        raise _damaged(error, path) from error


def step_ends(table: pa.Table) -> tuple[int, int] | None:
    """Return the smallest and largest step of rows; None where there are no rows or no steps."""
    if "step" not in table.column_names:
        return None
    found = pc.min_max(table["step"])
    smallest, largest = found["min"].as_py(), found["max"].as_py()
    return None if smallest is None else (smallest, largest)


def step_range(path: Path, column: str = "step") -> tuple[int, int] | None:
    """Return the smallest and largest value of a column of integers, from a segment's footer.

    Raises:
        StorageError: The file cannot be read. Code S115.
    """
    try:
        with pq.ParquetFile(path) as file:
            place = file.schema_arrow.get_field_index(column)
            if place < 0:
                known = ", ".join(file.schema_arrow.names)
                raise _unreadable(f"no column {column!r}", f"one of {known:.200}", str(path))
            groups = [file.metadata.row_group(n) for n in range(file.metadata.num_row_groups)]
            ranges = [group.column(place).statistics for group in groups if group.num_rows]
            ends = [(item.min, item.max) for item in ranges if item is not None]
    except _DAMAGED as error:
        raise _damaged(error, path) from error
    if len(ends) != len(ranges) or not all(type(end) is int for pair in ends for end in pair):
        raise _unreadable(f"no range of {column!r}", "smallest and largest value", str(path))
    return (min(low for low, _ in ends), max(high for _, high in ends)) if ends else None


def segment_of(run_dir: Path, path: Path) -> SealedSegment:
    """Return what ``SegmentWriter.seal`` returned for a segment, from the file itself.

    Raises:
        StorageError: It cannot be read. Codes S113 and S115.
    """
    try:
        with path.open("rb") as file:
            sha256, num_bytes = hashlib.file_digest(file, "sha256").hexdigest(), file.tell()
        with pq.ParquetFile(path) as parquet:
            num_rows, names = parquet.metadata.num_rows, parquet.schema_arrow.names
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise _damaged(error, path) from error
    except OSError as error:
        raise cannot_read(path, error) from error
    smallest, largest = (step_range(path) or (None, None)) if "step" in names else (None, None)
    name = path.relative_to(run_dir).as_posix()
    return SealedSegment(name, num_rows, smallest, largest, sha256, num_bytes)


def _read(path: Path, columns: Sequence[str] | None) -> pa.Table:
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            kept = names if columns is None else [name for name in columns if name in names]
            found = file.read(columns=kept).replace_schema_metadata(None)
            # A damaged page may decode: texts that are no text, places outside a dictionary.
            found.validate(full=True)
    except _DAMAGED as error:
        raise _damaged(error, path) from error
    return found


def _damaged(error: Exception, path: Path) -> StorageError:
    return _unreadable(_observed(error)[:300], "a sealed segment", str(path))


def _observed(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _unreadable(observed: str, expected: str, where: str) -> StorageError:
    return StorageError(
        "S115",
        observed=observed,
        expected=expected,
        where=where,
        hint="check the run against its manifest, or restore it from a copy",
    )
