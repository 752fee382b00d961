"""A text as the final model reads it: line by line, piece by piece, with its loss in nats."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Final

from gradledger.errors import QueryError
from gradledger.query.answer import Answer, Column, Table
from gradledger.query.inert import inert
from gradledger.query.records import Records

_LOSS: Final = (
    "loss: minus the log of the probability that the final model gives each piece after those "
    "before it; low is what it has learned, or copied"
)

#: Characters of a text that its name shows.
_SHOWN: Final = 24


def text_name(text: str, span: tuple[int, int] | None = None) -> str:
    """Return what a text, or some of its pieces, is called as a behaviour.

    Args:
        text: The text.
        span: First and last piece, from 0; None for all.
    """
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    part = "" if span is None else f" pieces {span[0]} to {span[1]}"
    return f"text {digest}{part}: {inert(text.strip(), _SHOWN)}"


def checked_span(span: tuple[int, int] | None, num_pieces: int) -> tuple[int, int]:
    """Return first and last piece; all that are predicted where none are named.

    Raises:
        QueryError: There are no such pieces, or none of them is predicted. Code Q110.
    """
    first, last = (0, num_pieces - 1) if span is None else span
    if not (0 <= first <= last < num_pieces and last > 0):
        raise QueryError(
            "Q110",
            observed=f"pieces {first} to {last}",
            expected=f"within 0 to {num_pieces - 1}, and not the first one alone",
            where="behaviour",
            hint="the first piece has nothing before it that could predict it",
        )
    return max(first, 1), last


def read_text(
    records: Records,
    pieces: Sequence[str],
    nats: Sequence[float],
    *,
    prompt: str | None = None,
) -> Answer:
    """Return the loss of the final model on a text.

    Args:
        records: The run.
        pieces: The text, in the pieces that are predicted one by one.
        nats: Loss on each; 0 for the first.
        prompt: What the model was given, where it wrote the rest itself.

    Returns:
        Tables ``lines`` and, not shown as text, ``pieces``.
    """
    total, count = math.fsum(nats), max(1, len(pieces) - 1)
    columns = (
        Column("line", "line", "integer"),
        Column("first", "first piece", "integer", in_text=False),
        Column("last", "last piece", "integer", in_text=False),
        Column("text", "text", wraps=True),
        Column("pieces", "pieces", "integer"),
        Column("nats", "loss [nats]", "number"),
        Column("mean", "per piece [nats]", "number"),
    )
    rows = _lines(pieces, nats)
    each = tuple((n, piece, nats[n]) for n, piece in enumerate(pieces))
    piece_columns = (
        Column("piece", "piece", "integer"),
        Column("text", "text"),
        Column("nats", "loss [nats]", "number"),
    )
    return Answer(
        question="behaviour",
        title="Behaviour: a text as the final model reads it",
        kind="accounting",
        measure="nats",
        facts={
            "name": text_name("".join(pieces)),
            "written by": "whoever asks" if prompt is None else "the model, after the prompt",
            "pieces": len(pieces),
            "loss [nats]": round(total, 4),
            "per piece [nats]": round(total / count, 4),
            "final model": records.end.final_digest if records.end else None,
        },
        tables=(
            Table("lines", f"{len(rows)} lines", columns, rows),
            Table("pieces", f"{len(each)} pieces", piece_columns, each, in_text=False),
        ),
        notes=(
            _LOSS,
            "the first piece of a text is not predicted",
        ),
    )


def _lines(pieces: Sequence[str], nats: Sequence[float]) -> tuple[tuple[object, ...], ...]:
    """Join pieces to lines; an empty line goes with the one before it."""
    spans: list[tuple[int, int]] = []
    first = 0
    for place, piece in enumerate(pieces):
        if "\n" not in piece and place + 1 < len(pieces):
            continue
        is_empty = not "".join(pieces[first : place + 1]).strip()
        if is_empty and spans:
            spans[-1] = (spans[-1][0], place)
        else:
            spans.append((first, place))
        first = place + 1
    return tuple(_line(pieces, nats, number, span) for number, span in enumerate(spans, 1))


def _line(
    pieces: Sequence[str], nats: Sequence[float], number: int, span: tuple[int, int]
) -> tuple[object, ...]:
    first, last = span
    loss = math.fsum(nats[first : last + 1])
    predicted = last + 1 - max(first, 1)
    mean = loss / predicted if predicted else None
    text = "".join(pieces[first : last + 1]).rstrip()
    return (number, first, last, text, last + 1 - first, loss, mean)
