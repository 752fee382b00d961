"""Seal rows into Parquet segments: gathered column by column, written once, never changed.

Rows stay in the order of arrival. Values that repeat (labels, steps) are dictionary-coded, numbers
of examples delta-coded, everything is compressed with zstd; other tricks save little and
shut out readers such as Spark.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from gradledger.segment.arrow import arrow_schema, misfit
from gradledger.segment.columns import FLOAT32_BITS, to_arrow
from gradledger.segment.files import AtomicFile
from gradledger.segment.reader import next_segment, step_ends
from gradledger.segment.sealed import SealedSegment

#: Rows of a row group: what one thread of a reader scans at a time.
ROW_GROUP_ROWS: Final = 131_072
COMPRESSION_LEVEL: Final = 3
#: Hex digits of identifiers and commitments hold no repeats worth a search: level 1 makes them
#: smaller than level 3 (17.5 against 18.3 MB for a million identifiers) in half of the time.
_HEX_LEVEL: Final = 1
_HEX_COLUMNS: Final = ("example_id", "content")
#: Figures of visits and groups are most of a run: level 12 takes 4 % off them, at 12 MB/s.
_MEASURED_LEVEL: Final = 12


class SegmentWriter:
    """Gathers rows of one table and seals them into segment files.

    Args:
        run_dir: The run; files lie in the folder that bears the table's name.
        table_name: A key of ``TABLES``.
        extra_columns: Further columns, name -> logical type.
        metadata: Further entries for the metadata of the files.
        precision: Column -> mantissa bits to keep (0 to 23) of a float32 column; recorded in the
            metadata. Columns that are not named keep every bit.

    Raises:
        StorageError: Unknown table, type or column, or a precision that the column cannot have.
            Code S114.
    """

    def __init__(
        self,
        run_dir: Path,
        table_name: str,
        extra_columns: Mapping[str, str],
        metadata: Mapping[str, str] | None = None,
        *,
        precision: Mapping[str, int] | None = None,
    ) -> None:
        self.run_dir, self.table_name = Path(run_dir), table_name
        self.precision = dict(precision or {})
        entries = {"gradledger.precision": json.dumps(self.precision, sort_keys=True)}
        self.schema = arrow_schema(table_name, extra_columns, {**entries, **(metadata or {})})
        self._extra = dict(extra_columns)
        self.num_rows = 0
        self._chunks: dict[str, list[Any]] = {name: [] for name in self.schema.names}
        self._path: Path | None = None
        self._check_precision()

    def append(self, columns: Mapping[str, Any]) -> None:
        """Add rows, given as columns; nothing is converted or copied until ``seal``.

        Args:
            columns: Every column of the table, each a list, NumPy array or Arrow array of the same
                length; arrays must not change until they are sealed.

        Raises:
            StorageError: A column lacks, is not known or has another length. Code S114; no row is
                taken.
        """
        if columns.keys() != self._chunks.keys():
            odd = sorted(columns.keys() ^ self._chunks.keys())
            raise misfit(
                f"{'unknown' if odd[0] in columns else 'no'} column {odd[0]!r}",
                f"the {len(self._chunks)} columns of the table, each once",
                self.table_name,
            )
        lengths = {name: len(values) for name, values in columns.items()}
        num_rows = next(iter(lengths.values()))
        for name, length in lengths.items():
            if length != num_rows:
                raise misfit(
                    f"{length} values",
                    f"{num_rows}, as in the column before",
                    f"{self.table_name}, column {name}",
                )
        for name, values in columns.items():
            self._chunks[name].append(values)
        self.num_rows += num_rows

    def seal(self) -> SealedSegment | None:
        """Write the gathered rows as one segment file.

        Returns:
            What was written; None where there are no rows.

        Raises:
            StorageError: The disk refuses (S112), or a value does not fit its column (S114). The
                rows are kept: call ``seal`` again, which takes the same file name.
        """
        if not self.num_rows:
            return None
        table = self._table()
        if self._path is None:
            self._path = next_segment(self.run_dir, self.table_name)
        with AtomicFile(self._path) as file:
            self._write(table, file)
        smallest, largest = step_ends(table) or (None, None)
        sealed = SealedSegment(
            name=self._path.relative_to(self.run_dir).as_posix(),
            num_rows=self.num_rows,
            min_step=smallest,
            max_step=largest,
            sha256=file.sha256,
            num_bytes=file.num_bytes,
        )
        self.num_rows, self._path = 0, None
        self._chunks = {name: [] for name in self.schema.names}
        return sealed

    def _table(self) -> pa.Table:
        arrays = []
        for field in self.schema:
            bits = self.precision.get(field.name)
            where = f"{self.table_name}, column {field.name}"
            chunks = [
                to_arrow(chunk, field.type, bits, where) for chunk in self._chunks[field.name]
            ]
            arrays.append(pa.chunked_array(chunks, type=field.type))
        return pa.Table.from_arrays(arrays, schema=self.schema)

    def _write(self, table: pa.Table, file: AtomicFile) -> None:
        coded = [
            field.name
            for field in self.schema
            if pa.types.is_dictionary(field.type) or field.name == "step"
        ]
        delta = {"example": "DELTA_BINARY_PACKED"} if "example" in self.schema.names else None
        measured = [name for name, kind in self._extra.items() if kind == "float32"]
        is_coded = any(pa.types.is_dictionary(field.type) for field in self.schema)
        # Equal parts: one row more than a row group must not make a group of one row.
        num_groups = max(1, round(table.num_rows / ROW_GROUP_ROWS))
        writer = pq.ParquetWriter(
            file,
            self.schema,
            compression="zstd",
            compression_level={
                **dict.fromkeys(self.schema.names, COMPRESSION_LEVEL),
                **dict.fromkeys(set(_HEX_COLUMNS) & set(self.schema.names), _HEX_LEVEL),
                **dict.fromkeys(measured, _MEASURED_LEVEL),
            },
            use_dictionary=coded,
            column_encoding=delta,
            # A footer names every column; ends of what was measured let no reader skip rows, and
            # Arrow's own copy of the schema says nothing new where no labels are coded.
            write_statistics=[name for name in self.schema.names if name not in measured],
            store_schema=is_coded,
            # Names the column that a damaged page belongs to; readers may pass it over.
            write_page_checksum=True,
        )
        try:
            writer.write_table(table, row_group_size=math.ceil(table.num_rows / num_groups))
            if not is_coded:
                writer.add_key_value_metadata(self.schema.metadata or {})
            writer.close()
        except BaseException:
            # The writer tries to add a footer when it goes away: let it, into nothing.
            file.discard()
            with contextlib.suppress(Exception):
                writer.close()
            raise

    def _check_precision(self) -> None:
        for name, bits in self.precision.items():
            known = name in self.schema.names
            if not known or self.schema.field(name).type != pa.float32():
                raise misfit(
                    f"a precision for {name!r}",
                    "the name of a float32 column",
                    self.table_name,
                )
            if not 0 <= bits <= FLOAT32_BITS:
                raise misfit(
                    f"{bits} mantissa bits for {name!r}", f"0 to {FLOAT32_BITS}", self.table_name
                )
