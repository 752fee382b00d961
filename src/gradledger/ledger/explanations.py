"""Questions on what a model wrote: the examples behind every span of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gradledger.errors import QueryError
from gradledger.ledger.entry import load_adjoint, load_loop, load_replay
from gradledger.query import Answer, Records, Texts, explain, stored_explanation


class Explanations:
    """The part of a ledger that asks what is behind a generation."""

    _records: Records

    def explain(
        self,
        prompt: str | Mapping[str, Any],
        *,
        span: int = 8,
        by: str = "example",
        top: int = 5,
        texts: Texts | None = None,
        build: Callable[[], Any] | None = None,
        train: Callable[[Any], None] | None = None,
        trust_entry: bool = False,
        entry_arguments: Mapping[str, Any] | None = None,
        removals: int = 0,
        memory_bytes: int = 1 << 30,
        stored: bool = False,
        fresh: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> Answer:
        """Say which examples are behind a text that the final model writes, span by span.

        The loss of every span is differentiated through the recorded run, all of them in one
        sweep. How much of a span stands in an example letter for letter is a column of its own.
        Everything is kept beside the run, in ``RUN.replays``.

        Args:
            prompt: What the run's training loop lets the model continue; or one prompt with a
                function of the model that returns the pieces it writes and a function that gives
                the loss of each piece under a model, in nats.
            span: Pieces of a span.
            by: ``example`` or any metadata column.
            top: Rows per span and table at most.
            texts: Texts of examples: a metadata column, or a function of the example's number; by
                default what the training loop brings along.
            build: Builds model and optimizer as the run did; by default what the run names.
            train: The training loop that was recorded; it does not close the recorder.
            trust_entry: Import the entry that the run names although it is not this package's own.
            entry_arguments: Take the place of recorded arguments of the entry.
            removals: Removals that are executed to see whether derivatives can be believed.
            memory_bytes: What states of the run may take; others are computed again.
            stored: Only answer from what is stored.
            fresh: Compute again although an explanation is stored.
            progress: Called after every step with how many are done and how many there are.

        Raises:
            QueryError: Q105 column, Q109 package, Q110 argument, Q121 prompt, Q133 not closed,
                Q171 not computed, Q172 damaged.
            ReplayError: The run cannot be executed again (R101 to R105) or differentiated (R131,
                R132, R171 to R178), or the training loop cannot be had (R133 to R135).
        """
        if span < 1:
            raise _argument(f"span={span}", "at least one piece")
        given: dict[str, Any] = {} if isinstance(prompt, str) else dict(prompt)
        if not isinstance(prompt, str) and len(given) != 1:
            raise _argument(f"{len(given)} prompts", "one prompt with a function of the model")
        asked = prompt if isinstance(prompt, str) else next(iter(given))
        spans = None if fresh else stored_explanation(self._records, asked, span)
        if spans is None and stored:
            raise QueryError(
                "Q171",
                observed=f"no explanation of {asked!r:.60} in spans of {span}",
                expected="an explanation, computed",
                where=str(self._records.path),
                hint="compute it: gradledger explain RUN PROMPT, without --stored",
            )
        loop: Any = None
        if build is not None and train is not None:
            loop = load_replay().TrainingLoop(build, train, written=given)
        elif spans is None or (texts is None and not stored):
            loop = load_loop(self._records, trust=trust_entry, arguments=entry_arguments)
        if spans is None:
            spans = load_adjoint().compute_explanation(
                self._records,
                loop,
                asked,
                written_by(self._records, loop, given, asked),
                length=span,
                num_removals=removals,
                memory_bytes=memory_bytes,
                progress=progress,
            )
        texts = texts if texts is not None else getattr(loop, "texts", None)
        return explain(self._records, asked, spans, by=by, top=top, texts=texts)


def written_by(records: Records, loop: Any, given: Mapping[str, Any], prompt: str) -> Any:
    """Return what writes after a prompt: what is given, or what the training loop brings along.

    Raises:
        QueryError: The loop does not know the prompt. Code Q121.
    """
    known = given or loop.written
    if callable(known):
        return known(prompt)
    if prompt not in known:
        raise QueryError(
            "Q121",
            observed=repr(prompt)[:100],
            expected="one of " + ", ".join(map(repr, known)) if known else "a loop that can write",
            where=str(records.path),
            hint="pass what writes: explain({'prompt': lambda model: (pieces, losses)})",
        )
    return known[prompt]


def _argument(observed: str, expected: str) -> QueryError:
    return QueryError("Q110", observed=observed, expected=expected, where="explain")
