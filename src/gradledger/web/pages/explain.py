"""A text that the model writes, span by span, with the examples behind each of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gradledger.errors import QueryError
from gradledger.query import Answer, answer_from_json
from gradledger.web.context import Context
from gradledger.web.page import Control, Form, Section
from gradledger.web.pages.behind import UNDER_WAY, means
from gradledger.web.show import facts, section
from gradledger.web.work import Piece

#: Error that says that no explanation is stored.
_NOT_COMPUTED: Final = "Q171"


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
        is_live = piece is not None and piece.state in UNDER_WAY
        return [_missing(context, piece)], None, is_live

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
    wanted = {"prompt": prompt, **means(context)}
    for piece in context.site.work.pieces(context.site.desk.place(context.run), "explain"):
        if piece.request["arguments"] == wanted:
            return piece
    return None


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


def _missing(context: Context, piece: Piece | None) -> Section:
    """Return how far the explanation is, or what starts it."""
    if piece is not None and piece.state in UNDER_WAY:
        words = f"step {piece.done} of {piece.whole}" if piece.whole else "loading"
        return Section(
            "explain",
            "Going through the run for every span at once",
            is_live=True,
            progress=(piece.done, piece.whole),
            lead=words if piece.state == "running" else "waiting for other work",
        )
    kept = tuple(Control(name, "", "hidden", text) for name, text in context.arguments.items)
    start = Form(
        context.path("behaviour"),
        (*kept, Control("start", "", "hidden", "explain")),
        "Explain every span",
        "post",
        note="one sweep through the run, forwards and backwards, for all spans together",
    )
    has_failed = piece is not None and piece.state == "failed"
    return Section(
        "explain",
        "No explanation" if has_failed else "Span by span",
        lead=piece.problem
        if piece is not None and has_failed
        else "Not computed yet: which examples are behind each part of what the model wrote.",
        tone="bad" if has_failed else "",
        forms=(start,) if context.ledger.end is not None else (),
        is_live=True,
    )
