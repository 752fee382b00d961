"""Decide a data set: distinct attribute tuples first, then one code per example.

A million examples have few distinct tuples of the attributes that a policy reads. Rules are
evaluated over these, as columns; only the distinct decisions become Python objects.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gradledger.errors import PolicyError
from gradledger.policy.columns import Coded, distinct, encode, rows_of
from gradledger.policy.decided import Decisions
from gradledger.policy.evaluate import EvidenceFunction, evaluate, gather_evidence
from gradledger.policy.place import shown
from gradledger.policy.policy import Policy
from gradledger.policy.sql import TRUE, UNKNOWN
from gradledger.policy.verdict import NOT_KNOWN, Truths, bands_of, first_matching, verdicts


def decide(
    policy: Policy,
    table: pa.Table | Mapping[str, Sequence[Any]],
    now: datetime,
    functions: Mapping[str, EvidenceFunction] | None = None,
    *,
    allow_missing: bool = False,
) -> Decisions:
    """Decide every row of a table.

    Args:
        policy: The policy.
        table: One column per attribute that the policy reads; null (and NaN) is a missing value.
            Further columns are ignored.
        now: Moment of decision, with a time zone; it is recorded and stands for ``now()``.
        functions: Evidence functions by name, such as ``{"spdx_satisfies": rights.satisfies}``.
        allow_missing: Take columns that are not there as missing in every row.

    Returns:
        The same decisions, to the byte, for the same policy, attributes, ``now`` and functions.

    Raises:
        PolicyError: P151 a column is not there, P152 a column does not fit, P153 a function is not
            given, P154 a function fails, P155 ``now`` has no zone.
    """
    if now.tzinfo is None:
        raise PolicyError(
            "P155",
            observed=now.isoformat(),
            expected="a moment with a time zone",
            where="decide",
            hint="use datetime.now(UTC)",
        )
    moment = now.astimezone(UTC)
    columns, num_rows = _columns(policy, table, allow_missing=allow_missing)
    coded = {
        name: encode(name, policy.attributes[name].type, column) for name, column in columns.items()
    }
    rows, code = distinct([column.codes for column in coded.values()], num_rows)
    values = {name: rows_of(column, rows) for name, column in coded.items()}
    truths = _truths(policy, coded, values, rows, moment, functions or {})
    rules = truths[: len(policy.rules)]
    return Decisions(
        policy=policy,
        decided_at=moment.isoformat(),
        code=code,
        attributes={
            name: Coded(column.values, column.codes[rows]) for name, column in coded.items()
        },
        truths=rules,
        class_truths=truths[len(policy.rules) :],
        verdicts=verdicts(rules, [rule.effect for rule in policy.rules]),
        classes=first_matching(truths[len(policy.rules) :]),
        band_places=_bands(policy, values, len(rows)),
    )


def _columns(
    policy: Policy, table: pa.Table | Mapping[str, Sequence[Any]], *, allow_missing: bool
) -> tuple[dict[str, Any], int]:
    """Return the columns that the policy reads, and the number of rows."""
    given = {name: table[name] for name in policy.reads if name in _names(table)}
    if isinstance(table, Mapping):
        given = {name: _as_array(name, column) for name, column in given.items()}
        num_rows = len(next(iter(table.values()), ()))
    else:
        num_rows = table.num_rows
    columns = {}
    for name in policy.reads:
        if name not in given and not allow_missing:
            raise PolicyError(
                "P151",
                observed=f"no column {name!r}",
                expected=f"the attributes {', '.join(policy.reads)}",
                where=f"policy {policy.id}",
                hint="add the column; null marks a value that is missing",
            )
        columns[name] = given.get(name, pa.nulls(num_rows))
        if len(columns[name]) != num_rows:
            raise PolicyError(
                "P152",
                observed=f"{len(columns[name])} values",
                expected=f"{num_rows}, as in the first column",
                where=f"column {name!r}",
            )
    return columns, num_rows


def _names(table: pa.Table | Mapping[str, Sequence[Any]]) -> Collection[str]:
    return table.keys() if isinstance(table, Mapping) else table.column_names


def _as_array(name: str, column: Any) -> Any:
    if isinstance(column, pa.Array | pa.ChunkedArray):
        return column
    try:
        return pa.array(column)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise PolicyError(
            "P152",
            observed=shown(str(error)),
            expected="values of one type, or None",
            where=f"column {name!r}",
        ) from error


def _truths(
    policy: Policy,
    coded: Mapping[str, Coded],
    values: Mapping[str, pa.Array],
    rows: NDArray[np.int64],
    now: datetime,
    functions: Mapping[str, EvidenceFunction],
) -> Truths:
    """Return the truth of all rules, then all classes, for every distinct tuple."""
    trees = [*(rule.tree for rule in policy.rules), *(entry.tree for entry in policy.classes)]
    evidence = {
        node: pa.array(found == TRUE, mask=found == UNKNOWN)
        for node, by_code in gather_evidence(trees, coded, functions).items()
        for found in (by_code[coded[node.attribute].codes[rows]],)
    }
    return evaluate(trees, values, evidence, len(rows), now)


def _bands(policy: Policy, values: Mapping[str, pa.Array], num_tuples: int) -> NDArray[np.int32]:
    """Return the place of the band of every distinct tuple."""
    if policy.bands is None:
        return np.full(num_tuples, NOT_KNOWN, np.int32)
    measure = values[policy.bands.attribute].cast(pa.float64())
    return bands_of(measure.to_numpy(zero_copy_only=False), policy.bands.edges)
