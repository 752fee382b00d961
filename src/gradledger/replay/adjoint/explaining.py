"""Computing what ``explain`` shows: what the final model writes, and derivatives of every span."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from torch import Tensor, nn

from gradledger.errors import ReplayError
from gradledger.query.explanations import (
    EXPLANATION_FILE,
    EXPLANATION_FORMAT,
    Span,
    cut_spans,
    explanation_folder,
)
from gradledger.query.records import Records
from gradledger.query.replays import identity
from gradledger.replay.adjoint.following import Progress
from gradledger.replay.adjoint.influence import compute_influence
from gradledger.replay.loop import TrainingLoop, Written, ask_model
from gradledger.replay.recorded import RecordedRun
from gradledger.segment import make_folder, write_json


def compute_explanation(
    records: Records,
    loop: TrainingLoop,
    prompt: str,
    written: Written,
    *,
    length: int = 8,
    num_removals: int = 0,
    memory_bytes: int = 1 << 30,
    progress: Progress | None = None,
) -> list[Span]:
    """Let the final model write, and differentiate the loss of every span through the run.

    Args:
        records: The closed run.
        loop: Builds and trains.
        prompt: What is continued.
        written: What a model writes after it, and the losses of those pieces.
        length: Pieces of a span.
        num_removals: Trial removals that are executed.
        memory_bytes: What states of the run may take.
        progress: Called after every step.

    Raises:
        ReplayError: R101 to R105, R131, R132, R171 to R178.
    """
    run = RecordedRun(records.path)
    pieces, losses = ask_model(loop.build, run.weights_path(run.num_steps), written)
    pieces = [str(piece) for piece in pieces]
    if not pieces:
        raise ReplayError(
            "R178",
            observed=f"no pieces after {prompt!r:.60}",
            expected="at least one piece of text, and a loss of each",
            where="written",
            hint="let the model write at least one token",
        )
    spans = cut_spans(prompt, pieces, length)
    behaviours: dict[str, Callable[[nn.Module], Any]] = {
        span.behaviour: _loss_of(losses, slice(place * length, (place + 1) * length), len(pieces))
        for place, span in enumerate(spans)
    }
    compute_influence(
        records,
        loop,
        behaviours,
        num_removals=num_removals,
        memory_bytes=memory_bytes,
        progress=progress,
    )
    folder = explanation_folder(records, prompt, length)
    make_folder(folder)
    record = {
        "format": EXPLANATION_FORMAT,
        **identity(records),
        "prompt": prompt,
        "pieces": pieces,
        "spans": [
            {"number": span.number, "text": span.text, "behaviour": span.behaviour}
            for span in spans
        ],
        "computed_at": datetime.now(UTC).isoformat(),
    }
    write_json(folder / EXPLANATION_FILE, record)
    return spans


def _loss_of(
    losses: Callable[[nn.Module], Tensor], part: slice, num: int
) -> Callable[[nn.Module], Any]:
    def loss(model: nn.Module) -> Tensor:
        found = losses(model)
        if found.shape != (num,):
            raise ReplayError(
                "R178",
                observed=f"losses of shape {tuple(found.shape)}",
                expected=f"one loss for each of {num} pieces",
                where="written",
                hint="return a tensor with one element per piece",
            )
        return found[part].sum()

    return loss
