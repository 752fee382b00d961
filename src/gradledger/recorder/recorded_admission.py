"""Admissions as they were recorded: a resumed run takes them, and never decides anew."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from gradledger.errors import StorageError
from gradledger.recorder.admission import (
    RESERVED,
    Admission,
    logical_type,
    metadata_table,
    whole_column,
)
from gradledger.segment import (
    ARROW_TYPES,
    SealedSegment,
    arrow_schema,
    read_json,
    read_segment,
    write_json,
)

ADMISSION_FORMAT: Final = "gradledger.admission/1"


@dataclass(frozen=True)
class AdmissionRecord:
    """One call of ``run.admit``; written when everything else of it is on the disk.

    Attributes:
        format: Version of the record.
        admission: Number, from 0.
        first_example: Number of its first example.
        num_examples: Items of the data set.
        first_decision: Number of its first decision.
        num_decisions: Distinct decisions.
        segments: Files that hold them, below the run.
    """

    format: str
    admission: int
    first_example: int
    num_examples: int
    first_decision: int
    num_decisions: int
    segments: tuple[str, ...]


@dataclass(frozen=True)
class RecordedAdmission:
    """Decisions on a data set, as they were made.

    Attributes:
        record: Numbers and files.
        admission: The decisions; without the rows that were written of them.
        example_ids: One per example.
        contents: Commitments, one per example; None where none was taken.
        columns: Metadata as recorded.
    """

    record: AdmissionRecord
    admission: Admission
    example_ids: pa.Array
    contents: list[bytes | None]
    columns: dict[str, pa.ChunkedArray]


def write_admission(
    run_dir: Path, numbers: Sequence[int], counts: Sequence[int], sealed: Sequence[SealedSegment]
) -> AdmissionRecord:
    """Write the record that makes an admission stand.

    Args:
        run_dir: The run.
        numbers: Admission, first example, first decision.
        counts: Examples, distinct decisions.
        sealed: Segments of the admission.
    """
    record = AdmissionRecord(
        ADMISSION_FORMAT,
        numbers[0],
        numbers[1],
        counts[0],
        numbers[2],
        counts[1],
        tuple(segment.name for segment in sealed),
    )
    write_json(_path(run_dir, record.admission), asdict(record))
    return record


def read_admissions(run_dir: Path) -> list[AdmissionRecord]:
    """Return the admissions that stand, in order."""
    found: list[AdmissionRecord] = []
    while (path := _path(run_dir, len(found))).exists():
        parts = read_json(path)
        found.append(AdmissionRecord(**{**parts, "segments": tuple(parts["segments"])}))
    return found


def load_admission(run_dir: Path, record: AdmissionRecord) -> RecordedAdmission:
    """Read the decisions and metadata of an admission.

    Raises:
        StorageError: A segment of it cannot be read. Code S115.
    """
    tables = {name.rpartition("/")[0]: read_segment(run_dir / name) for name in record.segments}
    examples = tables.get(
        "decisions/examples", arrow_schema("decisions/examples", {}).empty_table()
    )
    distinct = tables["decisions/distinct"]
    code = examples["decision"].to_numpy() - np.int32(record.first_decision)
    verdicts = distinct["verdict"].to_pylist()
    return RecordedAdmission(
        record,
        Admission(
            code.astype(np.int32),
            np.asarray([verdict == "admit" for verdict in verdicts], np.bool_),
            pa.array(distinct["profile"].to_pylist(), pa.string()).dictionary_encode(),
            {},
            {},
            0,
        ),
        examples["example_id"].combine_chunks(),
        _contents(examples["content"]),
        {name: examples[name] for name in examples.column_names if name not in RESERVED},
    )


def compare_metadata(recorded: RecordedAdmission, metadata: Any, num_examples: int) -> pa.Table:
    """Return the metadata as a table, after refusing other than what was decided on.

    Raises:
        StorageError: Code S103, with the first example and column that differ.
    """
    count = recorded.record.num_examples
    if num_examples != count:
        raise _differs(f"{num_examples} items", f"{count} items, as admitted", recorded)
    table = metadata_table(metadata, num_examples)
    if odd := sorted(recorded.columns.keys() ^ set(table.column_names)):
        raise _differs(
            f"columns {', '.join(table.column_names)}",
            f"columns {', '.join(recorded.columns)} (differs in {odd[0]})",
            recorded,
        )
    for name, expected in recorded.columns.items():
        found = _as_recorded(table, name)
        if found.equals(expected.combine_chunks()):
            continue
        pairs = zip(found.to_pylist(), expected.to_pylist(), strict=True)
        for place, (now, then) in enumerate(pairs):
            if now != then and not (_is_nan(now) and _is_nan(then)):
                raise _differs(
                    f"{now!r:.80} in column {name} of item {place}",
                    f"{then!r:.80}, as admitted",
                    recorded,
                )
    return table


def _as_recorded(table: pa.Table, name: str) -> pa.Array:
    """Return a column of metadata as the ledger keeps it."""
    kind = ARROW_TYPES[logical_type(table, name)]
    return whole_column(table.column(name)).combine_chunks().cast(kind)


def _contents(column: pa.ChunkedArray) -> list[bytes | None]:
    if column.null_count == len(column):
        return [None] * len(column)
    return [None if value is None else bytes.fromhex(value) for value in column.to_pylist()]


def compare_content(
    recorded: RecordedAdmission, place: int, found: bytes, expected: bytes | None
) -> None:
    """Refuse content other than what was admitted.

    Raises:
        StorageError: Code S103.
    """
    if expected is not None and found != expected:
        raise _differs(
            f"content {found.hex()[:16]} of item {place}",
            f"content {expected.hex()[:16]}, as admitted",
            recorded,
        )


def _differs(observed: str, expected: str, recorded: RecordedAdmission) -> StorageError:
    return StorageError(
        "S103",
        observed=observed,
        expected=expected,
        where=f"run.admit, admission {recorded.record.admission}",
        hint="resume with the data set and metadata that were admitted, in the same order",
    )


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _path(run_dir: Path, number: int) -> Path:
    return run_dir / "decisions" / f"admission-{number:04d}.json"
