"""Questions on one text: how the final model reads or continues it, and what is behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gradledger.errors import QueryError
from gradledger.ledger.entry import load_adjoint, load_loop, load_replay
from gradledger.ledger.explanations import written_by
from gradledger.query import (
    MODEL_FILE,
    Answer,
    Records,
    checked_span,
    influence,
    needed_derivatives,
    read_text,
    stored_derivatives,
    text_name,
)


class Behaviours:
    """The part of a ledger that asks about texts: pasted ones, or what the model writes."""

    _records: Records

    def behaviour(
        self,
        text: str | None = None,
        *,
        prompt: str | None = None,
        loop: Any = None,
        trust_entry: bool = False,
        entry_arguments: Mapping[str, Any] | None = None,
    ) -> Answer:
        """Behaviour: read a text with the final model, or let it continue a prompt; loss by line.

        Args:
            text: A text.
            prompt: In place of ``text``: what the model goes on from; both together are read.
            loop: A ``TrainingLoop`` that reads texts; by default what the run names.
            trust_entry: Import the entry that the run names although it is not this package's own.
            entry_arguments: Take the place of recorded arguments of the entry.

        Returns:
            Tables ``lines`` and ``pieces``. ``behind`` says which examples are behind them.

        Raises:
            QueryError: Q109 package, Q110 argument or a loop that reads no texts, Q133 not closed.
            ReplayError: The training loop cannot be had (R133 to R135), or the final state is not
                stored (R102).
            InputError: The text is too short. Code I104.
        """
        if (text is None) == (prompt is None):
            raise _argument("both a text and a prompt" if text else "neither", "text or prompt")
        found = self._reading_loop(loop, trust=trust_entry, arguments=entry_arguments)
        replay = load_replay()
        run = replay.RecordedRun(self._records.path)
        model = run.state_dir(run.num_steps) / MODEL_FILE
        if prompt is not None:
            own, _ = replay.ask_model(
                found.build, model, written_by(self._records, found, {}, prompt)
            )
            text = prompt + "".join(own)
        pieces, losses_of = found.read(text)
        losses = replay.ask_model(found.build, model, losses_of)
        nats = [float(value) for value in losses.tolist()]
        return read_text(self._records, pieces, nats, prompt=prompt)

    def behind(
        self,
        text: str,
        *,
        span: tuple[int, int] | None = None,
        by: str = "example",
        top: int = 20,
        order: str = "negative",
        loop: Any = None,
        trust_entry: bool = False,
        entry_arguments: Mapping[str, Any] | None = None,
        removals: int = 0,
        since: int = 0,
        memory_bytes: int = 1 << 30,
        stored: bool = False,
        fresh: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> Answer:
        """Behaviour: rank the examples behind a text, or behind some of its pieces.

        The behaviour is the mean loss of the final model on these pieces; it is differentiated
        through the recorded run as ``influence`` does, and what executed runs say of that stands
        beside it. Negative influence lowered the loss: it taught the text.

        Args:
            text: The text.
            span: First and last piece, from 0, as ``behaviour`` counts them; all by default.
            by: As in ``influence``.
            top: Rows at most.
            order: As in ``influence``.
            loop: A ``TrainingLoop`` that reads texts; by default what the run names.
            trust_entry: Import the entry that the run names although it is not this package's own.
            entry_arguments: Take the place of recorded arguments of the entry.
            removals: Removals that are executed to see whether the derivative can be believed.
            since: Ask only what came after this step, as in ``influence``.
            memory_bytes: What states of the run may take; others are computed again.
            stored: Only answer from what is stored.
            fresh: Compute again although derivatives are stored.
            progress: Called after every step with how many are done and how many there are.

        Raises:
            QueryError: Q105 column, Q109 package, Q110 argument or a loop that reads no texts, Q133
                not closed, Q171 not computed, Q172 damaged.
            ReplayError: As for ``influence``.
            InputError: The text is too short. Code I104.
        """
        name = text_name(text, span)
        if not stored and (fresh or stored_derivatives(self._records, name, since) is None):
            found = self._reading_loop(loop, trust=trust_entry, arguments=entry_arguments)
            pieces, losses = found.read(text)
            first, last = checked_span(span, len(pieces))
            load_adjoint().compute_influence(
                self._records,
                found,
                {name: lambda model: losses(model)[first : last + 1].mean()},
                num_removals=removals,
                since=since,
                memory_bytes=memory_bytes,
                progress=progress,
            )
        derived = needed_derivatives(self._records, name, since)
        return influence(self._records, derived, by=by, top=top, order=order)

    def _reading_loop(self, given: Any, *, trust: bool, arguments: Mapping[str, Any] | None) -> Any:
        """Return a training loop that says how its model reads texts."""
        loop = given or load_loop(self._records, trust=trust, arguments=arguments)
        if loop.read is None:
            raise _argument("a training loop that reads no texts", "TrainingLoop(..., read=...)")
        return loop


def _argument(observed: str, expected: str) -> QueryError:
    return QueryError("Q110", observed=observed, expected=expected, where="behaviour")
