"""The ledger of one run: each question is a method, each method a command of the same name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gradledger.errors import QueryError
from gradledger.ledger.pieces import Pieces
from gradledger.query import (
    Answer,
    Records,
    books,
    decide,
    decisions,
    follow,
    info,
    open_records,
    steps,
    trace,
)
from gradledger.schema import RunBegin, RunEnd


class Ledger(Pieces):
    """Read-only view of a recorded run; what was sealed after it was opened is not seen.

    Args:
        records: The opened records, see ``open_ledger``.
    """

    def __init__(self, records: Records) -> None:
        self._records = records

    @property
    def path(self) -> Path:
        """Directory of the run."""
        return self._records.path

    @property
    def begin(self) -> RunBegin:
        """What was known before the first step."""
        return self._records.begin

    @property
    def end(self) -> RunEnd | None:
        """Totals at the close; ``None`` where the run was not closed."""
        return self._records.end

    def info(self) -> Answer:
        """Return what the run is: model, coverage, policy, optimizer, counts, balance, versions."""
        return info(self._records)

    def steps(self, start: int | None = None, stop: int | None = None) -> Answer:
        """Return one row per step from ``start`` to ``stop``, both included.

        Raises:
            QueryError: Q106 steps outside the run, Q111 no steps.
        """
        return steps(self._records, start, stop)

    def books(
        self,
        group: str | Sequence[str] | None = None,
        *,
        start: int | None = None,
        stop: int | None = None,
        step: int | None = None,
        by: str = "block",
    ) -> Answer:
        """Return every line of the books, the balance, and who owns the displacement.

        Args:
            group: Names, dotted prefixes or globs of groups or blocks; all parameters by default.
            start: First step, included.
            stop: Last step, included.
            step: Only this step.
            by: ``block`` or ``group``.

        Raises:
            QueryError: Q104 group, Q106 steps, Q110 argument.
        """
        return books(self._records, group, start=start, stop=stop, step=step, by=by)

    def trace(
        self,
        group: str | Sequence[str] | None = None,
        *,
        start: int | None = None,
        stop: int | None = None,
        measure: str | None = None,
        by: str = "example",
        top: int = 20,
        order: str = "size",
    ) -> Answer:
        """Backward: rank what moved these parameter groups.

        Args:
            group: Names, dotted prefixes or globs of groups or blocks; all parameters by default.
            start: First step, included.
            stop: Last step, included.
            measure: ``displacement``, ``energy`` or ``norm``; by default displacement where it was
                settled for exactly these steps, else energy. The answer names it.
            by: ``example``, ``class``, ``rule``, ``profile``, ``policy``, ``verdict`` or any
                metadata column, such as ``source`` or ``license``.
            top: Rows at most.
            order: ``size``, ``signed``, ``positive`` or ``negative``.

        Raises:
            QueryError: Q104 group, Q105 column, Q106 steps, Q107 measure, Q110 argument.
        """
        return trace(
            self._records,
            group,
            start=start,
            stop=stop,
            measure=measure,
            by=by,
            top=top,
            order=order,
        )

    def follow(
        self,
        example: int | str | None = None,
        *,
        content_class: str | None = None,
        where: Mapping[str, Any] | None = None,
        group: str | Sequence[str] | None = None,
        start: int | None = None,
        stop: int | None = None,
        by: str = "block",
        **columns: Any,
    ) -> Answer:
        """Forward: what an example, or all examples of a kind, changed: where, when, how much.

        Args:
            example: Number, id, or value of a metadata column that names examples (key, path).
            content_class: Content class that the policy gave.
            where: Further filters by name; needed for names that are no Python identifiers.
            group: Only these parameter groups.
            start: First step, included.
            stop: Last step, included.
            by: ``block`` or ``group``.
            **columns: ``rule``, ``profile``, ``policy``, ``verdict`` or any metadata column with
                its value (``source="pypi:requests"``); ``None`` matches where none is recorded.

        Raises:
            QueryError: Q104 group, Q105 column, Q106 steps, Q108 nothing matches, Q110 argument.
        """
        filters = _filters(example, content_class, where, columns)
        return follow(self._records, filters, group=group, start=start, stop=stop, by=by)

    def decide(
        self,
        example: int | str | None = None,
        *,
        content_class: str | None = None,
        where: Mapping[str, Any] | None = None,
        **columns: Any,
    ) -> Answer:
        """Why examples were admitted or not: verdict, policy and the truth of every rule.

        Args:
            example: Number, id, or value of a metadata column that names examples (key, path).
            content_class: Content class that the policy gave.
            where: Further filters by name.
            **columns: As in ``follow``. Without any filter the summary of ``decisions`` is given.

        Raises:
            QueryError: Q105 column, Q108 nothing matches.
        """
        filters = _filters(example, content_class, where, columns)
        return decide(self._records, filters) if filters else self.decisions()

    def decisions(self) -> Answer:
        """Return how many examples got each verdict, class and reason; refused ones first."""
        return decisions(self._records)

    def close(self) -> None:
        """Let go of the files; nothing on disk changes."""
        self._records.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        place: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self.end else "not closed"
        return f"Ledger({str(self.path)!r}, run {self.begin.run_id[:8]}, {state})"


def open_ledger(path: str | Path, *, threads: int = 1) -> Ledger:
    """Open a recorded run for questions; nothing on disk is changed.

    Args:
        path: Directory that ``gl.record`` wrote.
        threads: Threads of the query engine. With one, the same question gives the same bits every
            time; with more, the last bit of a sum may differ between two calls.

    Raises:
        QueryError: Q101 no run there, Q102 damaged, Q103 format not known.
    """
    return Ledger(open_records(path, threads=threads))


def _filters(
    example: int | str | None,
    content_class: str | None,
    where: Mapping[str, Any] | None,
    columns: Mapping[str, Any],
) -> dict[str, Any]:
    named: dict[str, Any] = {}
    if example is not None:
        named["example"] = example
    if content_class is not None:
        named["class"] = content_class
    for name, value in (*(where or {}).items(), *columns.items()):
        if name in named and named[name] != value:
            raise QueryError(
                "Q110",
                observed=f"{name} given twice, with different values",
                expected="each filter once",
            )
        named[name] = value
    return named
