"""Wall time of steps: from moments to the steps that were taken between them.

On record are the moments at which the run began and was resumed, and how long every step took. The
time of a step is the last such moment before it and the wall time of the steps since: what a script
did between steps (evaluation, data) makes later steps look earlier than they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from gradledger.errors import QueryError
from gradledger.query.records import Records

NOTE: Final = (
    "time of a step: the moment at which the run began or was resumed, and the wall time of the "
    "steps since; what was done between steps is not in it"
)


def steps_between(records: Records, span: Any) -> tuple[int, int]:
    """Return the first and last step that ended between two moments.

    Args:
        records: The run.
        span: Two moments, ISO 8601 or ``datetime``, both included; without an offset they are UTC.
            None stands for the beginning or the end.

    Raises:
        QueryError: They are not moments in order (Q110), or no step ended between them (Q106).
    """
    first, last = _moments(span)
    ends = step_ends(records)
    steps = [
        step
        for step, end in ends
        if (first is None or end >= first) and (last is None or end <= last)
    ]
    if not steps:
        raise QueryError(
            "Q106",
            observed=f"{first or 'the beginning'} to {last or 'the end'}",
            expected=f"within {ends[0][1].isoformat()} to {ends[-1][1].isoformat()}"
            if ends
            else "a run with steps",
            where=str(records.path),
        )
    return min(steps), max(steps)


def step_ends(records: Records) -> list[tuple[int, datetime]]:
    """Return when every step ended, in order."""
    known = {0: datetime.fromisoformat(records.begin.created_at)}
    known |= {item.step: datetime.fromisoformat(item.resumed_at) for item in records.resumes}
    found, now = [], known[0]
    for step, seconds in records.ask("SELECT step, wall_seconds FROM steps ORDER BY step"):
        now = known.get(int(step) - 1, now) + timedelta(seconds=float(seconds or 0.0))
        found.append((int(step), now))
    return found


def _moments(span: Any) -> tuple[datetime | None, datetime | None]:
    if not isinstance(span, Sequence) or isinstance(span, str) or len(span) != 2:  # noqa: PLR2004
        raise _misfit(span)
    first, last = (_moment(value, span) for value in span)
    if first is not None and last is not None and first > last:
        raise _misfit(span)
    return first, last


def _moment(value: Any, span: Any) -> datetime | None:
    if value is None or value == "":
        return None
    try:
        found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError as error:
        raise _misfit(span) from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _misfit(span: Any) -> QueryError:
    return QueryError(
        "Q110",
        observed=f"time={span!r:.80}",
        expected="two moments in ISO 8601, the earlier first",
        where="whatif",
        hint="for example time=('2026-03-01T12:00', '2026-03-01T12:30')",
    )
