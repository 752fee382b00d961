"""A run read for a report: scope, blocks, denominators and the bases that its figures share."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from gradledger.errors import QueryError
from gradledger.query.authority import Volume, volume
from gradledger.query.doubt import LICENSE_COLUMNS, SOURCE_COLUMNS, present_column
from gradledger.query.measures import MEASURE_WORDS, Scope
from gradledger.query.names import Matched, Span, match_groups, match_steps
from gradledger.query.records import Records
from gradledger.query.selection import Key
from gradledger.query.shares import COUNTED, Slice, Whole, split, wholes, widest
from gradledger.query.signals import Signal, group_signals
from gradledger.report.evidence import Basis

#: Name of the column that holds all blocks together.
WHOLE = "all blocks"


@dataclass(frozen=True)
class Reading:
    """A run with what every chapter needs.

    Attributes:
        records: The run.
        matched: All groups of parameters.
        span: All steps.
        scope: The same with the measure by which contributions are added up.
        as_of: Moment for which rights are judged, UTC.
    """

    records: Records
    matched: Matched
    span: Span
    scope: Scope
    as_of: datetime.datetime

    @property
    def measure(self) -> str:
        """``displacement``, ``energy``, or ``visits`` where nothing finer was booked."""
        return self.scope.measure

    @property
    def is_weighed(self) -> bool:
        """Whether contributions can be told, and not only visits counted."""
        return self.measure != COUNTED

    @cached_property
    def units(self) -> dict[str, list[int]]:
        """Block -> numbers of its parameter groups, input to output."""
        found: dict[str, list[int]] = {}
        for group in sorted(self.matched.groups, key=lambda item: (item.block_index, item.group)):
            found.setdefault(group.block, []).append(group.group)
        return found

    @cached_property
    def wholes(self) -> dict[str, Whole]:
        """Denominator and lines of every block."""
        return wholes(self.scope, self.units)

    @cached_property
    def volume(self) -> Volume:
        """How much was booked."""
        return volume(self.records)

    @cached_property
    def squared(self) -> float:
        """Denominator of all blocks together."""
        return sum(whole.squared for whole in self.wholes.values())

    @cached_property
    def normed_groups(self) -> list[int]:
        """Groups whose gradient norms were booked."""
        present, captured = self.records.columns["visits"], set(self.matched.captured)
        return [g for g in self.matched.numbers if f"gnorm_{g}" in present and g in captured]

    @cached_property
    def signals(self) -> list[Signal]:
        """How much signal each of them got."""
        return group_signals(self.records, self.normed_groups)

    @cached_property
    def license_column(self) -> str | None:
        """Metadata column that holds licences."""
        return present_column(self.records, LICENSE_COLUMNS)

    @cached_property
    def source_column(self) -> str | None:
        """Metadata column that says where examples came from."""
        return present_column(self.records, SOURCE_COLUMNS)

    def split(self, key: Key, *, width: int = 0) -> list[Slice]:
        """Split all visits by ``key``, block by block."""
        return split(self.scope, key, self.units, width=width)

    def shares(self, values: Sequence[float]) -> list[float | None]:
        """Return numerators per block as shares: of all blocks together, then of each block."""
        parts = [
            value / whole.squared if whole.squared else None
            for value, whole in zip(values, self.wholes.values(), strict=True)
        ]
        if not self.is_weighed:
            return [None] * (len(parts) + 1)
        return [sum(values) / self.squared if self.squared else None, *parts]

    def share_basis(self, query: str) -> Basis:
        """Return the basis of shares of the change under the run's measure."""
        tables = {
            "displacement": ("displacement/visits", "displacement/lines"),
            "energy": ("visits", "books"),
        }.get(self.measure, ("visits",))
        method = MEASURE_WORDS.get(self.measure, "not booked at this recording level")
        return Basis("1", method, "to rounding", (*tables, "decisions"), query)


def counted(unit: str, query: str, *places: str, method: str = "counted") -> Basis:
    """Return the basis of a count."""
    return Basis(unit, method, "exact", places, query)


def declared(query: str, *places: str, unit: str = "text") -> Basis:
    """Return the basis of what was said by whoever recorded the run."""
    return Basis(unit, "as given by the caller", "declared", places or ("run.json",), query)


def read_run(records: Records, as_of: str | None) -> Reading:
    """Read a run for a report.

    Args:
        records: The run.
        as_of: Date or moment, ISO 8601; by default the close of the run, or its begin where it
            was not closed, so that the same records give the same report.

    Raises:
        QueryError: Q110 the date cannot be read; Q111 the run has no steps.
    """
    matched, span = match_groups(records, None), match_steps(records, None, None)
    given = as_of or (records.end.closed_at if records.end else records.begin.created_at)
    try:
        moment = datetime.datetime.fromisoformat(given)
    except ValueError as error:
        raise QueryError(
            "Q110",
            observed=f"as_of={given!r}"[:120],
            expected="a date or a moment in ISO 8601",
            where="report",
            hint="for example 2026-12-31",
        ) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    moment = moment.astimezone(datetime.UTC)
    return Reading(records, matched, span, widest(records, matched, span), moment)
