"""Admission: what the policy decided for every example, and what is written of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gradledger.canon import canonical_json
from gradledger.errors import InputError
from gradledger.policy import Policy, decide
from gradledger.rights import satisfies
from gradledger.schema import Decision
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
    """Decisions on one data set.

    Attributes:
        distinct: One decision per distinct attribute tuple.
        code: For every example, the place of its decision in ``distinct``.
    """

    distinct: list[Decision]
    code: NDArray[np.int32]


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
        table = pa.table({name: list(column) for name, column in metadata.items()})
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
    if policy is not None:
        decided = decide(policy, table, now, {"spdx_satisfies": satisfies})
        return Admission(decided.distinct, decided.code)
    decision = Decision(
        decision=0,
        verdict="admit",
        content_class="ungoverned",
        profile="full",
        policy_digest="",
        policy_id="none",
        policy_version="",
        decided_at=now.isoformat(),
        attributes={},
        truths=(),
        reason="no policy was given to gl.record; nothing was checked",
    )
    return Admission([decision], np.zeros(table.num_rows, np.int32))


def write_decisions(
    run_dir: Path,
    admission: Admission,
    first_decision: int,
    table: pa.Table,
    *,
    numbers: NDArray[np.int32],
    example_ids: list[str],
    commitments: list[bytes | None],
) -> list[SealedSegment]:
    """Write decisions, the truth of every rule, and one row per example."""
    distinct = SegmentWriter(run_dir, "decisions/distinct", {})
    truths = SegmentWriter(run_dir, "decisions/truths", {})
    examples = SegmentWriter(
        run_dir,
        "decisions/examples",
        {name: logical_type(table, name) for name in table.column_names},
    )
    distinct.append(_distinct_columns(admission.distinct, first_decision))
    rows = [
        (first_decision + place, truth.rule, truth.effect, truth.truth, truth.determining)
        for place, decision in enumerate(admission.distinct)
        for truth in decision.truths
    ]
    names = ("decision", "rule", "effect", "truth", "determining")
    truths.append({name: [row[place] for row in rows] for place, name in enumerate(names)})
    examples.append(
        {
            "example": numbers,
            "example_id": example_ids,
            "decision": admission.code + np.int32(first_decision),
            "content": [value.hex() if value is not None else None for value in commitments],
            **{name: table.column(name).to_pylist() for name in table.column_names},
        }
    )
    sealed = [writer.seal() for writer in (distinct, truths, examples)]
    return [segment for segment in sealed if segment is not None]


def _distinct_columns(decisions: list[Decision], first: int) -> dict[str, list[Any]]:
    return {
        "decision": [first + place for place in range(len(decisions))],
        "verdict": [value.verdict for value in decisions],
        "class": [value.content_class for value in decisions],
        "profile": [value.profile for value in decisions],
        "policy_digest": [value.policy_digest for value in decisions],
        "policy_id": [value.policy_id for value in decisions],
        "policy_version": [value.policy_version for value in decisions],
        "decided_at": [value.decided_at for value in decisions],
        "attributes": [canonical_json(value.attributes).decode() for value in decisions],
        "reason": [value.reason for value in decisions],
    }


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
