"""A text that the model writes, span by span, with the examples behind each of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gradledger.errors import QueryError
from gradledger.query import Answer, answer_from_json
from gradledger.web.context import Context
from gradledger.web.page import Section
from gradledger.web.pages.behind import means
from gradledger.web.pages.progress import Offer, offered
from gradledger.web.show import facts, section
from gradledger.web.work import Piece

#: Error that says that no explanation is stored.
_NOT_COMPUTED: Final = "Q171"

_OFFER: Final = Offer(
    kind="explain",
    going="Going through the run for every span at once",
    title="Span by span",
    lead="Not computed yet: which examples are behind each part of what the model wrote.",
    failed="No explanation",
    button="Explain every span",
    note="one sweep through the run, forwards and backwards, for all spans together",
)


def explained(context: Context, prompt: str) -> tuple[list[Section], Answer | None, bool]:
    """Return the spans of what the model writes and what is behind each, or how to have them.

    Args:
        context: Where it is shown.
        prompt: What the model goes on from.

    Returns:
        Sections, the answer where there is one, and whether work is under way.
    """
    piece = _piece(context, prompt)
    answer = _answer(context, prompt, piece)
    if answer is None:
        is_live = piece is not None and piece.is_under_way
        return [offered(context, piece, _OFFER)], None, is_live

    def lead(column: str, value: Any, row: Mapping[str, Any]) -> str | None:
        return context.lead(column, value, row)

    parts = [
        section(
            answer,
            table.name,
            name=f"explain-{table.name}",
            notes=place == 0,
            is_live=True,
            is_half=place > 0,
            facts=facts(answer) if place == 0 else (),
            look=context.look(table.name, "explain", link=lead, bars=("influence", "text_match")),
        )
        for place, table in enumerate(answer.tables)
    ]
    return parts, answer, False


def start_explain(context: Context, prompt: str) -> None:
    """Start the work that explains what the model writes after a prompt."""
    place = context.site.desk.place(context.run)
    context.site.work.start("explain", place, {"prompt": prompt, **means(context)})


def _piece(context: Context, prompt: str) -> Piece | None:
    place = context.site.desk.place(context.run)
    return context.site.work.find(place, "explain", {"prompt": prompt, **means(context)})


def _answer(context: Context, prompt: str, piece: Piece | None) -> Answer | None:
    """Return what the work found, else what is stored beside the run."""
    if piece is not None and piece.result:
        return answer_from_json(piece.result)
    try:
        return context.ledger.explain(prompt, stored=True)
    except QueryError as error:
        if error.code != _NOT_COMPUTED:
            raise
        return None
