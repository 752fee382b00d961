"""Decide a data set: distinct attribute tuples first, then one code per example.

A million examples have few distinct tuples of the attributes that a policy reads. Rules are
evaluated over these, as columns; only the distinct decisions become Python objects.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gradledger.errors import PolicyError
from gradledger.policy.assign import UNKNOWN_LABEL
from gradledger.policy.columns import Coded, distinct, encode, rows_of
from gradledger.policy.evaluate import EvidenceFunction, evaluate, gather_evidence
from gradledger.policy.explain import reason
from gradledger.policy.place import shown
from gradledger.policy.policy import Policy
from gradledger.policy.profile import NO_PROFILE
from gradledger.policy.sql import TRUE, UNKNOWN
from gradledger.policy.verdict import (
    ADMIT,
    NOT_KNOWN,
    Truths,
    bands_of,
    determining,
    first_matching,
    verdicts,
)
from gradledger.schema import VERDICTS, Decision, RuleTruth

#: Truth values of rules, as records name them.
TRUTH_NAMES: Final = ("false", "unknown", "true")


@dataclass(frozen=True)
class Decisions:
    """What a policy decided for every example of a data set.

    Attributes:
        distinct: One decision per distinct attribute tuple, in order of first appearance.
        code: For every example the place of its decision in ``distinct``; int32.
        bands: Band of every distinct decision; ``unknown`` where its measure is missing, empty
            where the policy declares no bands.
    """

    distinct: list[Decision]
    code: NDArray[np.int32]
    bands: list[str]

    def count(self) -> dict[str, int]:
        """Return the number of examples of each verdict that occurs, the strongest first."""
        sizes = np.bincount(self.code, minlength=len(self.distinct))
        found = {
            verdict: sum(
                int(size)
                for size, decision in zip(sizes, self.distinct, strict=True)
                if decision.verdict == verdict
            )
            for verdict in VERDICTS
        }
        return {verdict: count for verdict, count in found.items() if count}


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
    return _Records(policy, values, truths, moment).decisions(code)


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


class _Records:
    """Makes records of the distinct decisions."""

    def __init__(
        self, policy: Policy, values: Mapping[str, pa.Array], truths: Truths, now: datetime
    ) -> None:
        self._policy, self._decided_at = policy, now.isoformat()
        self._rules = truths[: len(policy.rules)]
        self._effects = [rule.effect for rule in policy.rules]
        self._verdicts = verdicts(self._rules, self._effects)
        self._classes = first_matching(truths[len(policy.rules) :])
        self._bands = np.full(truths.shape[1], NOT_KNOWN, np.int32)
        if policy.bands is not None:
            measure = values[policy.bands.attribute].cast(pa.float64())
            self._bands = bands_of(measure.to_numpy(zero_copy_only=False), policy.bands.edges)
        self._values = {name: _plain(column) for name, column in values.items()}
        self._patterns: dict[bytes, tuple[RuleTruth, ...]] = {}
        self._reasons: dict[tuple[bytes, tuple[str, ...]], str] = {}

    def decisions(self, code: NDArray[np.int32]) -> Decisions:
        patterns = np.ascontiguousarray(self._rules.T)
        found = [self._decision(number, patterns[number]) for number in range(len(patterns))]
        names = (*self._policy.bands.names, UNKNOWN_LABEL) if self._policy.bands else ("",)
        return Decisions(found, code, [names[band] for band in self._bands])

    def _decision(self, number: int, pattern: NDArray[np.uint8]) -> Decision:
        policy, verdict = self._policy, int(self._verdicts[number])
        attributes = {name: column[number] for name, column in self._values.items()}
        missing = tuple(name for name, value in attributes.items() if value is None)
        key = pattern.tobytes()
        if key not in self._patterns:
            self._patterns[key] = self._rule_truths(pattern, verdict)
        truths = self._patterns[key]
        if (key, missing) not in self._reasons:
            self._reasons[key, missing] = self._reason(VERDICTS[verdict], truths, missing)
        place, band = int(self._classes[number]), int(self._bands[number])
        content_class = None if place == NOT_KNOWN else policy.classes[place].id
        band_name = None if band == NOT_KNOWN or policy.bands is None else policy.bands.names[band]
        return Decision(
            decision=number,
            verdict=VERDICTS[verdict],
            content_class=content_class or UNKNOWN_LABEL,
            profile=policy.assignment.by[content_class, band_name]
            if verdict == ADMIT
            else NO_PROFILE,
            policy_digest=policy.digest,
            policy_id=policy.id,
            policy_version=policy.version,
            decided_at=self._decided_at,
            attributes=attributes,
            truths=truths,
            reason=self._reasons[key, missing],
        )

    def _rule_truths(self, pattern: NDArray[np.uint8], verdict: int) -> tuple[RuleTruth, ...]:
        rests = determining(pattern, self._effects, verdict)
        return tuple(
            RuleTruth(rule.id, rule.effect, TRUTH_NAMES[truth], on)
            for rule, truth, on in zip(self._policy.rules, pattern, rests, strict=True)
        )

    def _reason(self, verdict: str, truths: Sequence[RuleTruth], missing: Sequence[str]) -> str:
        resting = [
            (rule, truth.truth == "unknown")
            for rule, truth in zip(self._policy.rules, truths, strict=True)
            if truth.determining
        ]
        return reason(verdict, resting, missing)


def _plain(column: pa.Array) -> list[Any]:
    """Return values as records keep them: moments as ISO 8601 text in UTC."""
    return [
        value.replace(tzinfo=UTC).isoformat() if isinstance(value, datetime) else value
        for value in column.to_pylist()
    ]
