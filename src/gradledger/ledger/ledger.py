"""The ledger of one run: each question is a method, each method a command of the same name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gradledger.ledger.behaviours import Behaviours
from gradledger.ledger.browsing import Browsing
from gradledger.ledger.capabilities import Capabilities
from gradledger.ledger.erasure import Erasures
from gradledger.ledger.explanations import Explanations
from gradledger.ledger.filters import named_filters
from gradledger.ledger.handover import Handover
from gradledger.ledger.influences import Influences
from gradledger.ledger.past import Past
from gradledger.ledger.pieces import Pieces
from gradledger.ledger.spot_checks import SpotChecks
from gradledger.ledger.verification import signed_log_of
from gradledger.query import (
    Answer,
    Records,
    books,
    decide,
    decisions,
    follow,
    info,
    open_records,
    orphans,
    steps,
    trace,
)
from gradledger.report import Report, make_report
from gradledger.schema import RunBegin, RunEnd


class Ledger(
    Behaviours,
    Browsing,
    Capabilities,
    Erasures,
    Explanations,
    Handover,
    Influences,
    Past,
    Pieces,
    SpotChecks,
):
    """View of a recorded run; what was sealed after it was opened is not seen.

    Only ``erase`` writes into the run; everything else leaves it as it is.

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

    def orphans(self) -> Answer:
        """Return how the run was cut off and went on, and every step that was set aside."""
        return orphans(self._records)

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
        filters = named_filters(example, content_class, where, columns)
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
        filters = named_filters(example, content_class, where, columns)
        return decide(self._records, filters) if filters else self.decisions()

    def decisions(self) -> Answer:
        """Return how many examples got each verdict, class and reason; refused ones first."""
        return decisions(self._records)

    def report(self, kind: str = "rights", *, as_of: str | None = None) -> Report:
        """Return an audit report: ``print`` shows its verdicts, ``write`` makes a page of it.

        Args:
            kind: ``rights`` (what shaped the model, on whose authority) or ``safety`` (what stands
                out, who dominates, what was seen often, what got no signal).
            as_of: Date or moment, ISO 8601, for which rights are judged; by default the close of
                the run, so that the same records give the same report.

        Raises:
            QueryError: Q110 kind or date, Q111 no steps.
            StorageError: S113 a file of the run cannot be read.
        """
        with ThreadPoolExecutor(1) as beside:
            checked = beside.submit(signed_log_of, self.path)
            return make_report(
                self._records, self.path, kind, as_of=as_of, signed_log=checked.result
            )

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


def open_ledger(path: str | Path, *, threads: int = 1, copies: str | Path | None = None) -> Ledger:
    """Open a recorded run for questions; nothing on disk is changed.

    Args:
        path: Directory that ``gl.record`` wrote.
        threads: Threads of the query engine. With one, the same question gives the same bits every
            time; with more, the last bit of a sum may differ between two calls.
        copies: Folder where ``Ledger.sort_copies`` wrote copies sorted by example; they make some
            questions faster and change no bit of an answer.

    Raises:
        QueryError: Q101 no run there, Q102 damaged, Q103 format not known.
    """
    return Ledger(open_records(path, threads=threads, copies=copies))
