"""Questions of somebody who looks around: how far, which visits, what effect, how two differ."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradledger.ledger.filters import named_filters
from gradledger.query import (
    DECISION_KEYS,
    Answer,
    Records,
    compare,
    describe,
    effects,
    examples,
    metadata_columns,
    progress,
    replay_plan,
    resolve,
    runs,
    stored_result,
    visits,
    whatif,
    write_sorted_copies,
)

if TYPE_CHECKING:
    from gradledger.ledger.ledger import Ledger

#: Folders below the one that is searched for runs, at most.
_DEPTH = 3


class Browsing:
    """The part of a ledger that lets somebody look around before they know what to ask."""

    _records: Records

    @property
    def keys(self) -> tuple[str, ...]:
        """What answers can be ranked ``by`` and filtered with, metadata columns last."""
        return ("example", "rule", *DECISION_KEYS, *metadata_columns(self._records))

    @property
    def span(self) -> tuple[int, int] | None:
        """First and last sealed step; ``None`` where there is none."""
        return self._records.span

    @property
    def profiles(self) -> dict[str, list[float]]:
        """Depth profiles: name -> one weight per block, input to output."""
        return dict(self._records.profiles)

    def progress(self, buckets: int = 240) -> Answer:
        """Return loss, balance and pace so far, steps that are not sealed yet included.

        Args:
            buckets: Pieces of time at most.

        Raises:
            QueryError: Q110 buckets below one.
        """
        return progress(self._records, buckets)

    def examples(
        self,
        where: Mapping[str, Any] | None = None,
        *,
        search: str = "",
        top: int = 50,
        skip: int = 0,
    ) -> Answer:
        """Return examples by number, admitted or not, with their verdicts.

        Args:
            where: Filters by name; none takes every example.
            search: Text that must stand in a metadata column or the id.
            top: Rows at most.
            skip: Rows to leave out before them.

        Raises:
            QueryError: Q105 column, Q110 argument.
        """
        return examples(self._records, where or {}, search=search, top=top, skip=skip)

    def describe(self, example: int | str) -> Answer:
        """Return everything recorded about one example: identity, decision, metadata.

        Args:
            example: Number, id, or value of a metadata column that names examples.

        Raises:
            QueryError: Q108 where none or several match.
        """
        return describe(self._records, example)

    def visits(
        self,
        example: int | str | None = None,
        *,
        content_class: str | None = None,
        where: Mapping[str, Any] | None = None,
        start: int | None = None,
        stop: int | None = None,
        **columns: Any,
    ) -> Answer:
        """Return the visits of examples, in order.

        Args:
            example: Number, id, or value of a metadata column that names examples.
            content_class: Content class that the policy gave.
            where: Further filters by name.
            start: First step, included.
            stop: Last step, included.
            **columns: As in ``follow``.

        Raises:
            QueryError: Q105 column, Q106 steps, Q108 nothing matches, Q111 no steps.
        """
        filters = named_filters(example, content_class, where, columns)
        return visits(self._records, filters, start, stop)

    def effects(
        self,
        example: int | str | None = None,
        *,
        content_class: str | None = None,
        where: Mapping[str, Any] | None = None,
        **columns: Any,
    ) -> Answer:
        """Forward, in nats: what examples did to each behaviour.

        Args:
            example: Number, id, or value of a metadata column that names examples.
            content_class: Content class that the policy gave.
            where: Further filters by name.
            **columns: As in ``follow``.

        Raises:
            QueryError: Q105 column, Q108 nothing matches, Q111 no steps.
        """
        return effects(self._records, named_filters(example, content_class, where, columns))

    def executed(self, *asked: Mapping[str, Any], by: str = "block") -> Answer | None:
        """Return the stored answer of a ``whatif`` that was executed; ``None`` where it was not.

        Args:
            *asked: What ``whatif`` takes as ``interventions``, such as
                ``{"remove": {"source": "a"}}``.
            by: ``block`` or ``group``.

        Raises:
            QueryError: Q105 column, Q108 nothing matches, Q110 argument, Q133 not closed.
            ReplayError: R136 where the stored result is damaged.
        """
        resolved = resolve(self._records, asked)
        result = stored_result(self._records, resolved.intervention)
        return None if result is None else whatif(self._records, resolved, result, by=by)

    def plan(self, *asked: Mapping[str, Any]) -> Answer:
        """Counterfactual: tell what a ``whatif`` would take, without executing anything.

        Args:
            *asked: What ``whatif`` takes as ``interventions``.

        Returns:
            Visits that it is about, the stored state that the replay begins with, steps to execute.

        Raises:
            QueryError: Q105 column, Q106 steps, Q108 nothing matches, Q110 argument, Q111 no steps.
            PolicyError: A policy cannot be read, or reads what was not recorded.
        """
        return replay_plan(self._records, resolve(self._records, asked))

    def sort_copies(self) -> Path:
        """Write copies of the tables of visits, sorted by example, and return their file.

        They are derived and can be removed at any time. Open the run with the same ``copies`` to
        use them.

        Raises:
            QueryError: Q110 where the run was opened without a folder for copies.
        """
        return write_sorted_copies(self._records)

    def compare(self, other: Ledger) -> Answer:
        """Return this run and another side by side: settings, behaviours, classes, losses.

        Args:
            other: The other run, opened.

        Raises:
            QueryError: Q111 a run without steps.
        """
        names = (self._records.path.name, other.path.name)
        return compare(self._records, open_part(other), names)


def open_part(other: Browsing) -> Records:
    """Return the records of another ledger."""
    return other._records  # noqa: SLF001 - of its own kind


def find_runs(folder: str | Path) -> dict[str, Path]:
    """Return the runs in a folder and in folders below it, by their path within it.

    Links that lead out of the folder are not followed. A folder that is a run itself is its only
    one.

    Args:
        folder: Where to look.
    """
    root = Path(folder).resolve()
    if (root / "run.json").is_file():
        return {root.name: root}
    return dict(sorted(_below(root, root, _DEPTH)))


def _below(root: Path, folder: Path, depth: int) -> list[tuple[str, Path]]:
    found: list[tuple[str, Path]] = []
    for place in sorted(folder.iterdir()):
        if place.name.startswith(".") or not place.is_dir():
            continue
        if root not in place.resolve().parents:
            continue
        if (place / "run.json").is_file():
            found.append((place.relative_to(root).as_posix(), place))
        elif depth > 1:
            found += _below(root, place, depth - 1)
    return found


def list_runs(folder: str | Path) -> Answer:
    """Return one row per run of a folder, from their documents alone.

    Args:
        folder: Where to look; see ``find_runs``.
    """
    return runs(find_runs(folder))
