"""Questions on what did not happen: one intervention, executed or estimated."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gradledger.errors import QueryError
from gradledger.ledger.entry import load_loop, load_replay
from gradledger.query import (
    HOW,
    Answer,
    Records,
    allowed,
    in_words,
    predictions,
    selected_examples,
    stored_behaviours,
    stored_result,
    whatif,
    words,
)
from gradledger.schema import Intervention, Remove, Reprofile, Reweight

#: Filters by column, or the number, id or key of one example.
Selection = Mapping[str, Any] | int | str


class Counterfactuals:
    """The part of a ledger that asks what would have been."""

    _records: Records

    def whatif(
        self,
        remove: Selection | None = None,
        *,
        reweight: Selection | None = None,
        factor: float | None = None,
        reprofile: Selection | None = None,
        profile: str | Sequence[float] | None = None,
        how: str = "replay",
        by: str = "block",
        build: Callable[[], Any] | None = None,
        train: Callable[[Any], None] | None = None,
        observe: Any = None,
        trust_entry: bool = False,
        entry_arguments: Mapping[str, Any] | None = None,
        fresh: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> Answer:
        """Counterfactual: what the model would be with one thing done to chosen examples.

        The run is executed again in its recorded order, from its opening state, with the recorded
        learning rates and random numbers. A removal gives the examples weight 0 in every group;
        loss denominators and batch positions stay. Nothing in the run changes: the result is kept
        beside it, in ``RUN.replays``, and the same question is answered from there.

        Args:
            remove: Filters by column, such as ``{"package": "requests"}``, or one example. Empty
                filters change nothing: the run again, bit for bit.
            reweight: In place of ``remove``: selection whose weight is multiplied by ``factor``.
            factor: At least 0.
            reprofile: In place of ``remove``: selection held to another ``profile``.
            profile: Name of a profile of the run, or one weight per block from input to output.
            how: ``replay`` executes; ``ledger`` gives the estimate of the books alone, ``adjoint``
                the prediction of the derivatives that ``influence`` has stored.
            by: ``block`` or ``group``.
            build: Builds model and optimizer as the run did; by default what the run names.
            train: The training loop that was recorded; it does not close the recorder.
            observe: Figures of the final model: name -> function of the model; probes; or a
                function that returns such a mapping for the numbers of the chosen examples.
            trust_entry: Import the entry that the run names although it is not this package's own.
            entry_arguments: Take the place of recorded arguments of the entry.
            fresh: Execute again although a result is stored.
            progress: Called after every step with its number and the number of steps.

        Raises:
            QueryError: Q105 column, Q108 nothing matches, Q109 package, Q110 argument, Q133 not
                closed.
            ReplayError: The run cannot be executed again (R101 to R105), the intervention would
                not be exact (R131, R132), or the training loop cannot be had (R133 to R135).
        """
        allowed("how", how, HOW)
        given = {"remove": remove, "reweight": reweight, "reprofile": reprofile}
        chosen = {name: value for name, value in given.items() if value is not None}
        if len(chosen) != 1:
            raise _argument(", ".join(chosen) or "no intervention", "one of " + ", ".join(given))
        filters = _filters(next(iter(chosen.values())))
        examples = selected_examples(self._records, filters)
        intervention = self._intervention(next(iter(chosen)), examples, factor, profile)
        if how == "adjoint":
            names = stored_behaviours(self._records)
            label = in_words(intervention, words(filters))
            return predictions(self._records, intervention, label, names or ["any behaviour"])
        result = None
        if how == "replay":
            result = None if fresh else stored_result(self._records, intervention)
            if result is None or observe is not None:
                loop = self._loop(build, train, observe, entry_arguments, trust=trust_entry)
                result = load_replay().counterfactual(
                    self._records, intervention, loop, fresh=fresh, progress=progress
                )
        return whatif(self._records, intervention, words(filters), result, by=by)

    def _loop(
        self,
        build: Any,
        train: Any,
        observe: Any,
        arguments: Mapping[str, Any] | None,
        *,
        trust: bool,
    ) -> Any:
        replay = load_replay()
        by_selection = callable(observe) and not hasattr(observe, "loss")
        figures = observe if by_selection else replay.named_observables(observe)
        if build is not None and train is not None:
            return replay.TrainingLoop(build, train, figures)
        if build is not None or train is not None:
            raise _argument("build or train alone", "both, or neither")
        loop = load_loop(self._records, trust=trust, arguments=arguments)
        return replay.TrainingLoop(loop.build, loop.train, figures) if figures else loop

    def _intervention(
        self,
        operation: str,
        examples: tuple[int, ...],
        factor: float | None,
        profile: str | Sequence[float] | None,
    ) -> Intervention:
        if (factor is not None) != (operation == "reweight"):
            raise _argument(f"factor={factor} with {operation}", "a factor with reweight alone")
        if (profile is not None) != (operation == "reprofile"):
            raise _argument(f"profile={profile!r}", "a profile with reprofile alone")
        if factor is not None:
            _check_weights([factor])
            return Reweight(examples, float(factor))
        if profile is not None:
            return Reprofile(examples, self._weights(profile))
        return Remove(examples)

    def _weights(self, profile: str | Sequence[float]) -> tuple[float, ...]:
        blocks, known = self._records.begin.blocks, self._records.profiles
        if isinstance(profile, str):
            return tuple(known[allowed("profile", profile, sorted(known))])
        if len(profile) != len(blocks):
            raise _argument(f"{len(profile)} weights", f"{len(blocks)}: {', '.join(blocks)}")
        return _check_weights(profile)


def _check_weights(weights: Sequence[float]) -> tuple[float, ...]:
    for weight in weights:
        if not math.isfinite(weight) or weight < 0:
            raise _argument(f"weight {weight}", "finite numbers of at least 0")
    return tuple(float(weight) for weight in weights)


def _filters(selection: Selection) -> dict[str, Any]:
    return dict(selection) if isinstance(selection, Mapping) else {"example": selection}


def _argument(observed: str, expected: str) -> QueryError:
    return QueryError("Q110", observed=observed, expected=expected, where="whatif")
