"""Admission: what the policy decided for every example, and what is written of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gradledger.errors import InputError
from gradledger.policy import Policy, decide
from gradledger.rights import satisfies
from gradledger.segment import SealedSegment, SegmentWriter

#: Columns that the ledger itself uses; metadata may not.
RESERVED = frozenset(
    [
        "example",
        "example_id",
        "decision",
        "content",
        "verdict",
        "class",
        "profile",
        "rule",
        "policy",
        "policy_id",
        "policy_version",
        "policy_digest",
        "decided_at",
        "attributes",
        "reason",
    ]
)


@dataclass(frozen=True)
class Admission:
    """Decisions on one data set, as columns.

    Attributes:
        code: For every example, the place of its decision among the distinct ones.
        admitted: Whether each distinct decision admits.
        profiles: Depth profile of each distinct decision; dictionary-coded.
        columns: The table of decisions, one row per distinct decision, but for their numbers.
        truths: The table of truths, likewise; decisions first, rules within.
        num_rules: Rows of ``truths`` per decision that the policy made.
        num_ruled: Decisions that the policy made, where others follow them; else None.
    """

    code: NDArray[np.int32]
    admitted: NDArray[np.bool_]
    profiles: pa.DictionaryArray
    columns: dict[str, Any]
    truths: dict[str, Any]
    num_rules: int
    num_ruled: int | None = None

    def __len__(self) -> int:
        """Return the number of distinct decisions."""
        return len(self.admitted)


def metadata_table(metadata: Any, num_examples: int) -> pa.Table:
    """Read metadata given as an Arrow table, a mapping of columns or a data frame.

    Raises:
        InputError: Wrong length, reserved names or nothing that holds columns. Code I103.
    """
    if metadata is None:
        table = pa.table({"key": [str(place) for place in range(num_examples)]})
    elif isinstance(metadata, pa.Table):
        table = metadata
    elif isinstance(metadata, Mapping):
        table = pa.table({name: _column(column) for name, column in metadata.items()})
    elif hasattr(metadata, "__arrow_c_stream__"):
        table = pa.table(metadata)
    else:
        raise InputError(
            "I103",
            observed=f"metadata of type {type(metadata).__name__}",
            expected="an Arrow table, a mapping of columns or a data frame",
            where="run.admit",
        )
    if table.num_rows != num_examples:
        raise InputError(
            "I103",
            observed=f"{table.num_rows} rows of metadata",
            expected=f"{num_examples}, one per example of the data set",
            where="run.admit",
            hint="give the metadata in the order of the data set",
        )
    if taken := sorted(RESERVED.intersection(table.column_names)):
        raise InputError(
            "I103",
            observed=f"a metadata column named {taken[0]!r}",
            expected=f"names other than {', '.join(sorted(RESERVED))}",
            where="run.admit",
            hint="rename the column, for example to " + repr(f"source_{taken[0]}"),
        )
    return table


def decide_admission(policy: Policy | None, table: pa.Table, now: datetime) -> Admission:
    """Decide every example; without a policy all are admitted and the record says so."""
    if policy is None:
        return _ungoverned(table.num_rows, now)
    decided = decide(policy, table, now, {"spdx_satisfies": satisfies})
    return Admission(
        decided.code,
        decided.admitted,
        decided.profiles,
        decided.columns(),
        decided.truth_columns(),
        len(policy.rules),
    )


def write_decisions(
    run_dir: Path,
    admission: Admission,
    first_decision: int,
    table: pa.Table,
    *,
    numbers: NDArray[np.int32],
    example_ids: Any,
    commitments: Sequence[bytes | None],
) -> list[SealedSegment]:
    """Write decisions, the truth of every rule, and one row per example.

    Args:
        run_dir: The run.
        admission: Decisions on the data set.
        first_decision: Number of its first decision in the run.
        table: Metadata, one row per example.
        numbers: Example numbers.
        example_ids: Identifiers; an Arrow array or a list.
        commitments: Commitments to the contents, None where none was taken.

    Returns:
        The segments that were sealed.
    """
    distinct = SegmentWriter(run_dir, "decisions/distinct", {})
    truths = SegmentWriter(run_dir, "decisions/truths", {})
    logical = {name: logical_type(table, name) for name in table.column_names}
    examples = SegmentWriter(run_dir, "decisions/examples", logical)
    decisions = np.arange(first_decision, first_decision + len(admission), dtype=np.int32)
    distinct.append({"decision": decisions, **admission.columns})
    ruled = decisions[: admission.num_ruled]
    truths.append({"decision": np.repeat(ruled, admission.num_rules), **admission.truths})
    examples.append(
        {
            "example": numbers,
            "example_id": example_ids,
            "decision": admission.code + np.int32(first_decision),
            "content": _hex(commitments),
            **{name: whole_column(table.column(name)) for name in table.column_names},
        }
    )
    sealed = [writer.seal() for writer in (distinct, truths, examples)]
    return [segment for segment in sealed if segment is not None]


def _ungoverned(num_examples: int, now: datetime) -> Admission:
    """Return the one decision of a run without a policy."""
    columns: dict[str, Any] = {
        "verdict": ["admit"],
        "class": ["ungoverned"],
        "profile": ["full"],
        "policy_digest": [""],
        "policy_id": ["none"],
        "policy_version": [""],
        "decided_at": [now.isoformat()],
        "attributes": ["{}"],
        "reason": ["no policy was given to gl.record; nothing was checked"],
    }
    return Admission(
        np.zeros(num_examples, np.int32),
        np.ones(1, np.bool_),
        pa.array(columns["profile"]).dictionary_encode(),
        columns,
        {"rule": [], "effect": [], "truth": [], "determining": []},
        0,
    )


def _column(values: Any) -> Any:
    """Return a column that Arrow takes as it is, else as a list."""
    return values if isinstance(values, pa.Array | pa.ChunkedArray) else list(values)


def _hex(commitments: Sequence[bytes | None]) -> Any:
    if not any(commitments):
        return pa.nulls(len(commitments), pa.string())
    return [value.hex() if value is not None else None for value in commitments]


def whole_column(column: pa.ChunkedArray) -> Any:
    """Return a column without what the ledger does not keep: parts of a microsecond."""
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        return column.cast(pa.timestamp("us", column.type.tz), safe=False)
    return column


def logical_type(table: pa.Table, name: str) -> str:
    """Return the logical column type of a metadata column."""
    kind = table.schema.field(name).type
    if pa.types.is_boolean(kind):
        return "bool"
    if pa.types.is_integer(kind):
        return "int64"
    if pa.types.is_floating(kind):
        return "float64"
    if pa.types.is_timestamp(kind):
        return "timestamp"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind):
        return "string"
    if pa.types.is_null(kind):
        return "string"
    raise InputError(
        "I103",
        observed=f"metadata column {name!r} of type {kind}",
        expected="text, numbers, booleans or timestamps",
        where="run.admit",
        hint="convert the column to text, or leave it out",
    )
