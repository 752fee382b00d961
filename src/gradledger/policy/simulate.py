"""What a policy would decide about a table, in counts; nothing is recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gradledger.errors import PolicyError
from gradledger.policy.decide import decide
from gradledger.policy.decided import TRUTH_NAMES, Decisions
from gradledger.policy.evaluate import EvidenceFunction
from gradledger.policy.policy import Policy
from gradledger.policy.sql import UNKNOWN
from gradledger.schema import VERDICTS
from gradledger.segment import write_tabular

Row = dict[str, Any]


@dataclass(frozen=True)
class Simulation:
    """Decisions on a table and what they come to.

    Attributes:
        decisions: The decisions.
        by: Name of the column to group by; empty without one.
        groups: Its value in every row, as text.
        absent: Attributes that the policy reads and the table lacks; missing in every row.
    """

    decisions: Decisions
    by: str = ""
    groups: pa.Array | None = None
    absent: tuple[str, ...] = ()

    @property
    def num_examples(self) -> int:
        """Rows of the table."""
        return len(self.decisions.code)

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """Number of examples of every distinct decision."""
        return np.bincount(self.decisions.code, minlength=len(self.decisions)).astype(np.int64)

    def by_verdict(self) -> dict[str, int]:
        """Return the number of examples of every verdict, the strongest first, zeros included."""
        found = self.decisions.count()
        return {verdict: found.get(verdict, 0) for verdict in VERDICTS}

    def by_class(self) -> list[Row]:
        """Return the verdicts on the examples of every content class, in the policy's order."""
        return self._crossed(self.decisions.class_labels, "class")

    def by_band(self) -> list[Row]:
        """Return the verdicts on the examples of every band; nothing without bands."""
        if self.decisions.policy.bands is None:
            return []
        return self._crossed(self.decisions.bands, "band")

    def by_profile(self) -> list[Row]:
        """Return the number of admitted examples of every depth profile."""
        profiles = self.decisions.profiles
        counts = np.bincount(
            profiles.indices.to_numpy()[self.decisions.admitted],
            self.sizes[self.decisions.admitted],
            len(profiles.dictionary),
        )
        return [
            {"profile": name, "examples": int(count)}
            for name, count in zip(profiles.dictionary.to_pylist(), counts, strict=True)
            if count
        ]

    def by_rule(self) -> list[Row]:
        """Return for every rule how many examples it is true, unknown and false for.

        ``rests`` counts the examples whose verdict rests on it, ``alone`` those whose verdict rests
        on no other rule.
        """
        decided = self.decisions
        resting = decided.determining.T
        alone = resting & (resting.sum(axis=0) == 1)
        return [
            {
                "rule": rule.id,
                "effect": rule.effect,
                **{
                    name: int(self.sizes[decided.truths[place] == value].sum())
                    for value, name in reversed(list(enumerate(TRUTH_NAMES)))
                },
                "rests": int(self.sizes[resting[place]].sum()),
                "alone": int(self.sizes[alone[place]].sum()),
            }
            for place, rule in enumerate(decided.policy.rules)
        ]

    def by_reason(self) -> list[Row]:
        """Return verdicts with their reasons, the most frequent first within a verdict."""
        reasons = self.decisions.reasons
        key = self.decisions.verdicts.astype(np.int64) * len(reasons.dictionary)
        key += reasons.indices.to_numpy()
        texts = reasons.dictionary.to_pylist()
        counts = np.bincount(key, self.sizes)
        rows = [
            (int(number) // len(texts), -int(counts[number]), texts[int(number) % len(texts)])
            for number in np.flatnonzero(counts)
        ]
        return [
            {"verdict": VERDICTS[verdict], "examples": -count, "reason": text}
            for verdict, count, text in sorted(rows)
        ]

    def by_missing(self) -> list[Row]:
        """Return for every attribute how many examples lack it, and what that did.

        ``undecided`` counts those whose verdict rests on a rule that is unknown and reads it,
        ``unclassified`` those whose class or band is not known for want of it.
        """
        decided, policy = self.decisions, self.decisions.policy
        unknown = decided.truths == UNKNOWN
        rows = []
        for name in policy.reads:
            lacks = decided.missing(name)
            readers = [name in rule.reads for rule in policy.rules]
            undecided = (unknown & decided.determining.T)[readers].any(axis=0) & lacks
            unplaced = self._unplaced(name) & lacks
            rows.append(
                {
                    "attribute": name,
                    "missing": int(self.sizes[lacks].sum()),
                    "undecided": int(self.sizes[undecided].sum()),
                    "unclassified": int(self.sizes[unplaced].sum()),
                    **self._verdicts_of(lacks),
                }
            )
        return rows

    def by_group(self) -> list[Row]:
        """Return the verdicts on every value of the column to group by, most examples first."""
        if self.groups is None:
            return []
        encoded = self.groups.dictionary_encode()
        names = encoded.dictionary.to_pylist()
        codes = encoded.indices.fill_null(len(names)).to_numpy().astype(np.int64)
        cells = codes * len(VERDICTS) + self.decisions.verdicts[self.decisions.code]
        counts = np.bincount(cells, minlength=(len(names) + 1) * len(VERDICTS))
        rows = [
            {
                self.by: name,
                "examples": int(row.sum()),
                **dict(zip(VERDICTS, row.tolist(), strict=True)),
            }
            for name, row in zip([*names, None], counts.reshape(-1, len(VERDICTS)), strict=True)
            if row.any()
        ]
        return sorted(rows, key=lambda row: (-row["examples"], str(row[self.by])))

    def table(self) -> pa.Table:
        """Return one row per example: verdict, class, band, profile, rules, reason, attributes."""
        decided, code = self.decisions, pa.array(self.decisions.code)
        ids = [rule.id for rule in decided.policy.rules]
        resting = [
            ", ".join(name for name, on in zip(ids, row, strict=True) if on)
            for row in decided.determining
        ]
        columns = {
            "row": pa.array(np.arange(self.num_examples)),
            **({} if self.groups is None else {self.by: self.groups}),
            "verdict": pa.array([VERDICTS[verdict] for verdict in decided.verdicts]).take(code),
            "class": decided.class_labels.cast(pa.string()).take(code),
            "band": decided.bands.cast(pa.string()).take(code),
            "profile": decided.profiles.cast(pa.string()).take(code),
            "rules": pa.array(resting, pa.string()).take(code),
            "reason": decided.reasons.cast(pa.string()).take(code),
            "attributes": decided.columns()["attributes"].take(code),
        }
        metadata = {
            "policy": f"{decided.policy.id}@{decided.policy.version}",
            "policy_digest": decided.policy.digest,
            "decided_at": decided.decided_at,
        }
        return pa.table(columns, metadata=metadata)

    def write(self, path: Path | str) -> None:
        """Write ``table`` as a Parquet file.

        Raises:
            StorageError: The disk refuses. Code S112.
        """
        write_tabular(Path(path), self.table())

    def _unplaced(self, attribute: str) -> NDArray[np.bool_]:
        """Return where an unknown class predicate or the measure of the bands reads it."""
        decided, policy = self.decisions, self.decisions.policy
        readers = [attribute in entry.reads for entry in policy.classes]
        found: NDArray[np.bool_] = (decided.class_truths == UNKNOWN)[readers].any(axis=0)
        found &= decided.classes < 0
        if policy.bands is not None and policy.bands.attribute == attribute:
            found |= decided.band_places < 0
        return found

    def _crossed(self, labels: pa.DictionaryArray, name: str) -> list[Row]:
        places = labels.indices.to_numpy()
        return [
            {
                name: label,
                "examples": int(self.sizes[places == place].sum()),
                **self._verdicts_of(places == place),
            }
            for place, label in enumerate(labels.dictionary.to_pylist())
            if self.sizes[places == place].any()
        ]

    def _verdicts_of(self, chosen: NDArray[np.bool_]) -> dict[str, int]:
        verdicts = self.decisions.verdicts
        return {
            verdict: int(self.sizes[chosen & (verdicts == place)].sum())
            for place, verdict in enumerate(VERDICTS)
        }


def simulate(
    policy: Policy,
    table: pa.Table,
    now: datetime,
    functions: Mapping[str, EvidenceFunction] | None = None,
    *,
    by: str = "",
    allow_missing: bool = False,
) -> Simulation:
    """Decide a table as a run would, and count.

    Args:
        policy: The policy.
        table: Metadata, one row per example.
        now: Moment of decision, with a time zone.
        functions: Evidence functions by name.
        by: Column to count by as well.
        allow_missing: Take attributes that the table lacks as missing in every row.

    Raises:
        PolicyError: What ``decide`` raises; P151 also where the column to count by is not there.
    """
    if by and by not in table.column_names:
        raise PolicyError(
            "P151",
            observed=f"no column {by!r}",
            expected=f"one of {', '.join(table.column_names)}",
            where="simulate",
            hint="count by a column that the table has",
        )
    decisions = decide(policy, table, now, functions, allow_missing=allow_missing)
    absent = tuple(name for name in policy.reads if name not in table.column_names)
    groups = None
    if by:
        groups = pc.cast(table[by].combine_chunks(), pa.string())
    return Simulation(decisions, by, groups, absent)
