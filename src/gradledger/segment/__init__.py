"""Where records lie: Parquet segments, JSON documents, and the lock of their one writer."""

from gradledger.segment.append_log import (
    AppendLog,
    LogRecord,
    read_append_heads,
    read_append_log,
    remove_append_log,
)
from gradledger.segment.arrow import ARROW_TYPES, SEGMENT_FORMAT, arrow_schema
from gradledger.segment.columns import cut_mantissa
from gradledger.segment.documents import read_json, write_json
from gradledger.segment.files import (
    AtomicFile,
    cannot_read,
    cannot_write,
    ensure_folder,
    is_temporary,
    make_folder,
    remove_folder,
    sync_folder,
    temporary_path,
    write_bytes_atomic,
)
from gradledger.segment.lock import LOCK_NAME, RunLock
from gradledger.segment.orphans import ORPHANS, orphan_folder, orphan_folders, set_aside
from gradledger.segment.reader import (
    damaged_columns,
    part_of_segment,
    read_parts,
    read_segment,
    read_table,
    segment_files,
    segment_of,
    step_ends,
    step_range,
)
from gradledger.segment.rows import encode_rows, row_layout
from gradledger.segment.sealed import SealedSegment
from gradledger.segment.tabular import TABLE_SUFFIXES, read_tabular, write_tabular
from gradledger.segment.writer import ROW_GROUP_ROWS, SegmentWriter

__all__ = [
    "ARROW_TYPES",
    "LOCK_NAME",
    "ORPHANS",
    "ROW_GROUP_ROWS",
    "SEGMENT_FORMAT",
    "TABLE_SUFFIXES",
    "AppendLog",
    "AtomicFile",
    "LogRecord",
    "RunLock",
    "SealedSegment",
    "SegmentWriter",
    "arrow_schema",
    "cannot_read",
    "cannot_write",
    "cut_mantissa",
    "damaged_columns",
    "encode_rows",
    "ensure_folder",
    "is_temporary",
    "make_folder",
    "orphan_folder",
    "orphan_folders",
    "part_of_segment",
    "read_append_heads",
    "read_append_log",
    "read_json",
    "read_parts",
    "read_segment",
    "read_table",
    "read_tabular",
    "remove_append_log",
    "remove_folder",
    "row_layout",
    "segment_files",
    "segment_of",
    "set_aside",
    "step_ends",
    "step_range",
    "sync_folder",
    "temporary_path",
    "write_bytes_atomic",
    "write_json",
    "write_tabular",
]
