"""What changes between two versions of a policy, on the same examples at the same moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gradledger.policy.columns import distinct
from gradledger.policy.decide import decide
from gradledger.policy.decided import Decisions
from gradledger.policy.evaluate import EvidenceFunction
from gradledger.policy.policy import Policy
from gradledger.policy.profile import Profile
from gradledger.schema import VERDICTS, Decision

#: What a decision gives an example; a change in any of them is a difference.
ASPECTS: Final = ("verdict", "class", "profile")


@dataclass(frozen=True)
class Transition:
    """Examples that change in the same way, for the same reasons.

    Attributes:
        old: Verdict, class and profile by the old policy.
        new: By the new one.
        old_rules: Rules on which the old verdict rests.
        new_rules: Rules on which the new verdict rests.
        changed: Which of ``ASPECTS`` change.
        num_examples: How many examples.
        rows: The first of them, by row of the table.
    """

    old: tuple[str, str, str]
    new: tuple[str, str, str]
    old_rules: tuple[str, ...]
    new_rules: tuple[str, ...]
    changed: tuple[str, ...]
    num_examples: int
    rows: tuple[int, ...]


@dataclass(frozen=True)
class PolicyDiff:
    """Decisions of two policies on one table.

    Attributes:
        old: Decisions by the old policy.
        new: Decisions by the new policy.
        transitions: Every way in which examples change, the most frequent first.
        redefined: Profiles that bear one name and other weights.
    """

    old: Decisions
    new: Decisions
    transitions: tuple[Transition, ...]
    redefined: tuple[str, ...]

    @property
    def num_examples(self) -> int:
        """Rows of the table."""
        return len(self.old.code)

    @property
    def num_changed(self) -> int:
        """Examples whose verdict, class or profile changes."""
        return sum(transition.num_examples for transition in self.transitions)

    @property
    def same(self) -> bool:
        """Whether no example changes."""
        return not self.transitions

    @cached_property
    def verdict_matrix(self) -> NDArray[np.int64]:
        """Number of examples by old (row) and new (column) verdict, in the order of VERDICTS."""
        size = len(VERDICTS)
        old = self.old.verdicts[self.old.code].astype(np.int64)
        cells = old * size + self.new.verdicts[self.new.code]
        return np.bincount(cells, minlength=size * size).reshape(size, size)

    def examples(self, transition: Transition) -> list[tuple[int, Decision, Decision]]:
        """Return the listed examples of a transition: row, old decision, new decision."""
        return [
            (
                row,
                self.old.record(int(self.old.code[row])),
                self.new.record(int(self.new.code[row])),
            )
            for row in transition.rows
        ]


def diff(
    old: Policy,
    new: Policy,
    table: pa.Table | Mapping[str, Any],
    now: datetime,
    functions: Mapping[str, EvidenceFunction] | None = None,
    *,
    allow_missing: bool = False,
    num_listed: int = 3,
) -> PolicyDiff:
    """Decide a table by two policies and return what changes.

    Args:
        old: The policy in force.
        new: The policy that may replace it.
        table: Metadata with the attributes that either of them reads.
        now: Moment of decision for both, with a time zone.
        functions: Evidence functions by name.
        allow_missing: Take attributes that the table lacks as missing in every row.
        num_listed: Examples to list of every transition.

    Raises:
        PolicyError: What ``decide`` raises.
    """
    before = decide(old, table, now, functions, allow_missing=allow_missing)
    after = decide(new, table, now, functions, allow_missing=allow_missing)
    redefined = tuple(
        name
        for name, profile in old.profiles.items()
        if name in new.profiles and _meaning(profile) != _meaning(new.profiles[name])
    )
    return PolicyDiff(before, after, _transitions(before, after, redefined, num_listed), redefined)


def _transitions(
    old: Decisions, new: Decisions, redefined: tuple[str, ...], num_listed: int
) -> tuple[Transition, ...]:
    first, code = distinct([_outcomes(old), _outcomes(new)], len(old.code))
    sizes = np.bincount(code, minlength=len(first))
    by_pair = np.argsort(code, kind="stable")
    starts = np.concatenate([[0], np.cumsum(sizes)])
    found = []
    for place, row in enumerate(first.tolist()):
        pair = int(old.code[row]), int(new.code[row])
        before, after = old.outcome(pair[0]), new.outcome(pair[1])
        changed = tuple(
            name
            for name, one, other in zip(ASPECTS, before, after, strict=True)
            if one != other or (name == "profile" and one in redefined)
        )
        if not changed:
            continue
        rows = by_pair[starts[place] : starts[place + 1]][:num_listed]
        found.append(
            Transition(
                before,
                after,
                old.rests_on(pair[0]),
                new.rests_on(pair[1]),
                changed,
                int(sizes[place]),
                tuple(rows.tolist()),
            )
        )
    return tuple(sorted(found, key=lambda entry: (-entry.num_examples, entry.rows)))


def _outcomes(decisions: Decisions) -> NDArray[np.int64]:
    """Return for every example the number of its outcome: verdict, class, profile, rules."""
    columns = [
        decisions.verdicts.astype(np.int64),
        decisions.class_labels.indices.to_numpy().astype(np.int64),
        decisions.profiles.indices.to_numpy().astype(np.int64),
        *decisions.determining.T.astype(np.int64),
    ]
    _, code = distinct(columns, len(decisions))
    return code[decisions.code].astype(np.int64)


def _meaning(profile: Profile) -> tuple[object, ...]:
    """Return what a profile does, without where it is written."""
    weights = tuple((selector.text, weight) for selector, weight in profile.weights)
    parts = frozenset(_meaning(part) for part in profile.least_of)
    return profile.default, frozenset(weights), parts
