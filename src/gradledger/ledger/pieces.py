"""Questions whose answers come in pieces: by window of steps, by part of the model."""

from __future__ import annotations

from collections.abc import Sequence

from gradledger.query import Answer, Records, matrix, timeline


class Pieces:
    """The part of a ledger that shows contributions piece by piece."""

    _records: Records

    def timeline(
        self,
        group: str | Sequence[str] | None = None,
        *,
        by: str = "class",
        start: int | None = None,
        stop: int | None = None,
        measure: str | None = None,
        windows: int = 20,
        top: int = 7,
    ) -> Answer:
        """Return whose visits moved these parameter groups, window of steps by window.

        Args:
            group: Names, dotted prefixes or globs of groups or blocks; all parameters by default.
            by: As in ``trace``.
            start: First step, included.
            stop: Last step, included.
            measure: As in ``trace``.
            windows: Windows at most.
            top: Keys that stand alone; the rest is joined as ``others``.

        Raises:
            QueryError: Q104 group, Q105 column, Q106 steps, Q107 measure, Q110 argument.
        """
        return timeline(
            self._records,
            group,
            by=by,
            start=start,
            stop=stop,
            measure=measure,
            windows=windows,
            top=top,
        )

    def matrix(
        self,
        group: str | Sequence[str] | None = None,
        *,
        rows: str = "block",
        columns: str = "class",
        start: int | None = None,
        stop: int | None = None,
        measure: str | None = None,
        top: int = 12,
    ) -> Answer:
        """Return the share of every block or group that is booked to every kind of example.

        Args:
            group: Names, dotted prefixes or globs of groups or blocks; all parameters by default.
            rows: ``block`` or ``group``.
            columns: As ``by`` in ``trace``.
            start: First step, included.
            stop: Last step, included.
            measure: As in ``trace``.
            top: Keys that stand alone; the rest is joined as ``others``.

        Raises:
            QueryError: Q104 group, Q105 column, Q106 steps, Q107 measure, Q110 argument.
        """
        return matrix(
            self._records,
            group,
            rows=rows,
            columns=columns,
            start=start,
            stop=stop,
            measure=measure,
            top=top,
        )
