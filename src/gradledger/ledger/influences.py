"""Questions on what is behind a behaviour: derivatives through the run, computed once and kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gradledger.errors import QueryError
from gradledger.ledger.entry import load_adjoint, load_loop, load_replay
from gradledger.query import Answer, Records, influence, needed_derivatives, stored_derivatives


class Influences:
    """The part of a ledger that asks which examples are behind a behaviour."""

    _records: Records

    def influence(
        self,
        behaviour: str | Mapping[str, Any],
        *,
        by: str = "example",
        top: int = 20,
        order: str = "size",
        build: Callable[[], Any] | None = None,
        train: Callable[[Any], None] | None = None,
        trust_entry: bool = False,
        entry_arguments: Mapping[str, Any] | None = None,
        removals: int = 4,
        since: int = 0,
        memory_bytes: int = 1 << 30,
        stored: bool = False,
        fresh: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> Answer:
        """Rank the examples behind a behaviour, by the exact derivative through the recorded run.

        The run is executed forwards and backwards, then a few times with other weights to see
        whether the derivative foretells what happens. All of it is kept beside the run, in
        ``RUN.replays``, and the same behaviour is answered from there.

        Args:
            behaviour: Name of a probe of the run's training loop; or one name with a function of
                the model that returns a tensor: a loss, a metric, or a difference of two outputs.
            by: ``example``, ``class``, ``rule``, ``profile``, ``policy``, any metadata column, or
                ``block`` or ``group`` for parts of the model.
            top: Rows at most.
            order: ``size``, ``signed``, ``positive`` or ``negative``.
            build: Builds model and optimizer as the run did; by default what the run names.
            train: The training loop that was recorded; it does not close the recorder.
            trust_entry: Import the entry that the run names although it is not this package's own.
            entry_arguments: Take the place of recorded arguments of the entry.
            removals: Removals that are executed to see whether the derivative can be believed.
            since: Ask only what came after this step, at which a model state must be stored. The
                derivative is the firmer, and the sooner there, the fewer steps it goes through.
            memory_bytes: What states of the run may take; others are computed again.
            stored: Only answer from what is stored.
            fresh: Compute again although derivatives are stored.
            progress: Called after every step with how many are done and how many there are.

        Raises:
            QueryError: Q105 column, Q109 package, Q110 argument, Q133 not closed, Q171 not
                computed, Q172 damaged.
            ReplayError: The run cannot be executed again (R101 to R105) or differentiated (R131,
                R132, R171 to R178), or the training loop cannot be had (R133 to R135).
        """
        name, given = _named(behaviour)
        if not stored and (fresh or stored_derivatives(self._records, name, since) is None):
            replay = load_replay()
            if build is not None and train is not None:
                loop = replay.TrainingLoop(build, train, given)
            else:
                loop = load_loop(self._records, trust=trust_entry, arguments=entry_arguments)
            figures = replay.named_observables(given) if given else loop.observables(())
            if name not in figures:
                raise QueryError(
                    "Q121",
                    observed=repr(name),
                    expected="one of " + ", ".join(map(repr, figures)),
                    where=str(self._records.path),
                    hint="pass a function of the model: influence({'name': lambda model: ...})",
                )
            load_adjoint().compute_influence(
                self._records,
                loop,
                {name: figures[name]},
                num_removals=removals,
                since=since,
                memory_bytes=memory_bytes,
                progress=progress,
            )
        found = needed_derivatives(self._records, name, since)
        return influence(self._records, found, by=by, top=top, order=order)


def _named(behaviour: str | Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    if isinstance(behaviour, str):
        return behaviour, {}
    if len(behaviour) != 1:
        raise QueryError(
            "Q110",
            observed=f"{len(behaviour)} behaviours",
            expected="a name, or one name with a function of the model",
            where="influence",
        )
    return next(iter(behaviour)), dict(behaviour)
