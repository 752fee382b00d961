"""What was decided, as columns: millions of examples, few distinct tuples, fewer distinct reasons.

Records of single decisions are made only where somebody asks for them; what a run stores is built
column by column from codes and small dictionaries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gradledger.canon import canonical_json
from gradledger.policy.assign import UNKNOWN_LABEL
from gradledger.policy.columns import Coded, distinct
from gradledger.policy.policy import Policy
from gradledger.policy.profile import NO_PROFILE
from gradledger.policy.reason import reason
from gradledger.policy.verdict import ADMIT, NOT_KNOWN, Truths, determining
from gradledger.schema import VERDICTS, Decision, RuleTruth

#: Truth values of rules, as records name them.
TRUTH_NAMES: Final = ("false", "unknown", "true")


@dataclass(frozen=True)
class Decisions:
    """What a policy decided for every example of a data set.

    Attributes:
        policy: The policy.
        decided_at: The recorded ``now``, ISO 8601 UTC.
        code: For every example the number of its distinct decision, in order of first appearance;
            int32.
        attributes: Attribute -> its value in every distinct decision, in codes.
        truths: Truth of every rule in every distinct decision, shape (rules, decisions): 0 false,
            1 unknown, 2 true.
        class_truths: Truth of the predicate of every class, likewise.
        verdicts: Verdict of every distinct decision, as a place in ``VERDICTS``; int8.
        classes: Its content class, as a place in the policy; -1 where none is known; int32.
        band_places: Its band, likewise.
    """

    policy: Policy
    decided_at: str
    code: NDArray[np.int32]
    attributes: Mapping[str, Coded]
    truths: Truths
    class_truths: Truths
    verdicts: NDArray[np.int8]
    classes: NDArray[np.int32]
    band_places: NDArray[np.int32]

    def __len__(self) -> int:
        """Return the number of distinct decisions."""
        return len(self.verdicts)

    def count(self) -> dict[str, int]:
        """Return the number of examples of each verdict that occurs, the strongest first."""
        sizes = np.bincount(self.verdicts[self.code], minlength=len(VERDICTS))
        return {name: int(size) for name, size in zip(VERDICTS, sizes, strict=True) if size}

    @property
    def admitted(self) -> NDArray[np.bool_]:
        """Whether each distinct decision admits."""
        return np.asarray(self.verdicts == ADMIT)

    @cached_property
    def class_labels(self) -> pa.DictionaryArray:
        """Content class of every distinct decision; ``unknown`` where none is known."""
        return _labels(self.classes, [entry.id for entry in self.policy.classes])

    @cached_property
    def bands(self) -> pa.DictionaryArray:
        """Band of every distinct decision.

        ``unknown`` where its measure is missing, empty where the policy declares no bands.
        """
        if self.policy.bands is None:
            return pa.DictionaryArray.from_arrays(np.zeros(len(self), np.int32), [""])
        return _labels(self.band_places, self.policy.bands.names)

    @cached_property
    def profiles(self) -> pa.DictionaryArray:
        """Depth profile of every distinct decision; ``none`` where it does not admit."""
        names = (*(entry.id for entry in self.policy.classes), None)
        bands = (*(self.policy.bands.names if self.policy.bands else ()), None)
        chosen = [self.policy.assignment.by[name, band] for name in names for band in bands]
        known = list(dict.fromkeys([NO_PROFILE, *chosen]))
        places = np.asarray([known.index(name) for name in chosen], np.int32)
        # The last row and column stand for what is not known: -1 counts from the end.
        cells = places.reshape(len(names), len(bands))[self.classes, self.band_places]
        return pa.DictionaryArray.from_arrays(np.where(self.admitted, cells, np.int32(0)), known)

    @cached_property
    def reasons(self) -> pa.DictionaryArray:
        """Why each distinct decision was taken, in one line."""
        patterns = self._patterns
        missing = [self.missing(name) for name in self.attributes]
        codes = [patterns.code.astype(np.int64), *(flags.astype(np.int64) for flags in missing)]
        first, place = distinct(codes, len(self))
        texts = []
        for row in first.tolist():
            resting = patterns.determining[patterns.code[row]]
            rules = [
                (self.policy.rules[rule], self.truths[rule, row] == TRUTH_NAMES.index("unknown"))
                for rule in np.flatnonzero(resting)
            ]
            absent = [
                name for name, flags in zip(self.attributes, missing, strict=True) if flags[row]
            ]
            texts.append(reason(VERDICTS[self.verdicts[row]], rules, absent))
        return pa.DictionaryArray.from_arrays(place, pa.array(texts, pa.string()))

    @cached_property
    def distinct(self) -> list[Decision]:
        """Every distinct decision as a record."""
        return [self.record(number) for number in range(len(self))]

    def record(self, number: int) -> Decision:
        """Return one distinct decision as a record."""
        verdict, label, profile = self.outcome(number)
        rests = self._patterns.determining[self._patterns.code[number]]
        return Decision(
            decision=number,
            verdict=verdict,
            content_class=label,
            profile=profile,
            policy_digest=self.policy.digest,
            policy_id=self.policy.id,
            policy_version=self.policy.version,
            decided_at=self.decided_at,
            attributes={name: column.plain(number) for name, column in self._plain.items()},
            truths=tuple(
                RuleTruth(rule.id, rule.effect, TRUTH_NAMES[truth], bool(on))
                for rule, truth, on in zip(
                    self.policy.rules, self.truths[:, number], rests, strict=True
                )
            ),
            reason=self.reasons[number].as_py(),
        )

    def outcome(self, number: int) -> tuple[str, str, str]:
        """Return verdict, content class and depth profile of one distinct decision."""
        return (
            VERDICTS[self.verdicts[number]],
            self.class_labels[number].as_py(),
            self.profiles[number].as_py(),
        )

    def rests_on(self, number: int) -> tuple[str, ...]:
        """Return the rules on which one distinct decision rests, in the order of the policy."""
        rests = self._patterns.determining[self._patterns.code[number]]
        return tuple(rule.id for rule, on in zip(self.policy.rules, rests, strict=True) if on)

    def columns(self) -> dict[str, Any]:
        """Return the columns of the table of decisions, but for their numbers."""
        policy = self.policy
        fixed = {
            "policy_digest": policy.digest,
            "policy_id": policy.id,
            "policy_version": policy.version,
            "decided_at": self.decided_at,
        }
        everywhere = np.zeros(len(self), np.int32)
        return {
            "verdict": pa.DictionaryArray.from_arrays(self.verdicts.astype(np.int32), VERDICTS),
            "class": self.class_labels,
            "profile": self.profiles,
            **{
                name: pa.DictionaryArray.from_arrays(everywhere, [value])
                for name, value in fixed.items()
            },
            "attributes": self._attributes_as_json(),
            "reason": self.reasons.cast(pa.string()),
        }

    def truth_columns(self) -> dict[str, Any]:
        """Return the columns of the table of truths, but for the numbers of the decisions.

        One row per decision and rule, decisions first, rules in the order of the policy.
        """
        rules, num_decisions = self.policy.rules, len(self)
        effects = np.asarray([VERDICTS.index(rule.effect) for rule in rules], np.int32)
        places = np.arange(len(rules), dtype=np.int32)
        truths = np.ascontiguousarray(self.truths.T).ravel().astype(np.int32)
        return {
            "rule": pa.DictionaryArray.from_arrays(
                np.tile(places, num_decisions), [rule.id for rule in rules]
            ),
            "effect": pa.DictionaryArray.from_arrays(np.tile(effects, num_decisions), VERDICTS),
            "truth": pa.DictionaryArray.from_arrays(truths, TRUTH_NAMES),
            "determining": self.determining.ravel(),
        }

    @property
    def determining(self) -> NDArray[np.bool_]:
        """Whether each distinct decision rests on each rule, shape (decisions, rules)."""
        return self._patterns.determining[self._patterns.code]

    def missing(self, attribute: str) -> NDArray[np.bool_]:
        """Whether an attribute is missing in each distinct decision."""
        return np.asarray(self.attributes[attribute].codes == 0)

    @cached_property
    def _patterns(self) -> _Patterns:
        return _Patterns.of(self.truths, [rule.effect for rule in self.policy.rules], self.verdicts)

    @cached_property
    def _plain(self) -> dict[str, _PlainColumn]:
        return {
            name: _PlainColumn(
                [None, *(_plain(value) for value in column.values.to_pylist())], column.codes
            )
            for name, column in self.attributes.items()
        }

    def _attributes_as_json(self) -> pa.Array:
        """Return the attributes of every decision as canonical JSON.

        Names are plain ASCII, so their order is that of RFC 8785; every distinct value of an
        attribute is written once.
        """
        parts: list[Any] = []
        for name in sorted(self.attributes):
            texts = [canonical_json(value).decode() for value in self._plain[name].values]
            parts += [
                f'{"," if parts else "{"}"{name}":',
                pa.array(texts).take(self.attributes[name].codes),
            ]
        if not parts:
            return pa.array(["{}"] * len(self), pa.string())
        return pc.binary_join_element_wise(*parts, "}", "")


@dataclass(frozen=True)
class _PlainColumn:
    """Values of an attribute as records keep them; the first one is None."""

    values: list[Any]
    codes: NDArray[np.int64]

    def plain(self, number: int) -> Any:
        return self.values[self.codes[number]]


@dataclass(frozen=True)
class _Patterns:
    """Distinct columns of truths: on what each verdict rests depends on nothing else.

    Attributes:
        first: Number of the first decision of every pattern.
        code: Pattern of every decision.
        determining: Whether the verdict rests on a rule, shape (patterns, rules).
    """

    first: list[int]
    code: NDArray[np.int32]
    determining: NDArray[np.bool_]

    @classmethod
    def of(cls, truths: Truths, effects: Sequence[str], verdicts: NDArray[np.int8]) -> _Patterns:
        first, code = distinct(list(truths.astype(np.int64)), truths.shape[1])
        rests = [determining(truths[:, row], effects, int(verdicts[row])) for row in first]
        return cls(first.tolist(), code, np.asarray(rests, np.bool_).reshape(-1, len(effects)))


def _labels(places: NDArray[np.int32], names: Sequence[str]) -> pa.DictionaryArray:
    known = np.where(places == NOT_KNOWN, np.int32(len(names)), places)
    return pa.DictionaryArray.from_arrays(known, [*names, UNKNOWN_LABEL])


def _plain(value: Any) -> Any:
    """Return a value as records keep it: moments as ISO 8601 text in UTC."""
    return value.replace(tzinfo=UTC).isoformat() if isinstance(value, datetime) else value
