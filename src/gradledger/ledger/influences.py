"""Questions on what is behind a behaviour: derivatives through the run, computed once and kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from gradledger.errors import QueryError
from gradledger.ledger.entry import load_adjoint, load_loop, load_replay
from gradledger.query import (
    UNIT_KEYS,
    Answer,
    Records,
    cost_of_executing,
    influence,
    needed_derivatives,
    resolve,
    stored_derivatives,
    with_executed,
)


class Influences:
    """The part of a ledger that asks which examples are behind a behaviour."""

    _records: Records

    def influence(
        self,
        behaviour: str | Mapping[str, Any],
        *,
        minus: str | None = None,
        by: str = "example",
        top: int = 20,
        order: str = "size",
        within_seconds: float | None = None,
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
            minus: Another probe or figure of the loop: what is behind the difference of the two.
            by: ``example``, ``class``, ``rule``, ``profile``, ``policy``, any metadata column, or
                ``block`` or ``group`` for parts of the model.
            top: Rows at most.
            order: ``size``, ``signed``, ``positive`` or ``negative``.
            within_seconds: Where the derivative is not reliable, execute the removal of those
                ranked first, one after the other, as long as all of it fits into this time.
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
        started = time.perf_counter()
        name, given = _named(behaviour)
        if minus is not None:
            name = f"{name} minus {minus}"

        @cache
        def found_loop() -> tuple[Any, dict[str, Any]]:
            loop = self._named_loop(build, train, given, trust_entry, entry_arguments)
            return loop, {name: _figure(self._records, loop, behaviour, given, minus)}

        if not stored and (fresh or stored_derivatives(self._records, name, since) is None):
            loop, figures = found_loop()
            load_adjoint().compute_influence(
                self._records,
                loop,
                figures,
                num_removals=removals,
                since=since,
                memory_bytes=memory_bytes,
                progress=progress,
            )
        found = needed_derivatives(self._records, name, since)
        answer = influence(self._records, found, by=by, top=top, order=order)
        if within_seconds is None or found.belief["reliable"] or by in UNIT_KEYS:
            return answer

        def execute(key: Any) -> float | None:
            asked: dict[str, Any] = {"remove": {by: key}}
            if since and self._records.span is not None:
                asked["steps"] = (since + 1, self._records.span[1])
            intervention = resolve(self._records, [asked]).intervention
            cost = cost_of_executing(self._records, intervention).seconds or 0.0
            if time.perf_counter() - started + cost > within_seconds:
                return None
            loop, figures = found_loop()
            result = load_replay().counterfactual(
                self._records, intervention, replace(loop, observe=figures, generate={})
            )
            seen = result["observations"][name]
            return float(seen["executed"] - seen["recorded"])

        return with_executed(answer, by, execute)

    def _named_loop(
        self,
        build: Callable[[], Any] | None,
        train: Callable[[Any], None] | None,
        given: Mapping[str, Any],
        trust_entry: bool,  # noqa: FBT001 - passed on
        entry_arguments: Mapping[str, Any] | None,
    ) -> Any:
        if build is not None and train is not None:
            return load_replay().TrainingLoop(build, train, dict(given))
        return load_loop(self._records, trust=trust_entry, arguments=entry_arguments)


def _figure(
    records: Records, loop: Any, behaviour: Any, given: Mapping[str, Any], minus: str | None
) -> Callable[[Any], Any]:
    """Return the figure that is asked about, or the difference of two."""
    figures = load_replay().named_observables(given) if given else loop.observables(())
    if given and minus is not None:
        figures = {**loop.observables(()), **figures}
    wanted = [next(iter(given)) if given else behaviour, *([] if minus is None else [minus])]
    for name in wanted:
        if name not in figures:
            raise QueryError(
                "Q121",
                observed=repr(name),
                expected="one of " + ", ".join(map(repr, figures)),
                where=str(records.path),
                hint="pass a function of the model: influence({'name': lambda model: ...})",
            )
    first, *others = (figures[name] for name in wanted)
    if not others:
        found: Callable[[Any], Any] = first
        return found
    return lambda model: first(model) - others[0](model)


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
