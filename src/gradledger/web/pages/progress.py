"""Work that a page waits for: how far it is, or the form that starts it."""

from __future__ import annotations

from dataclasses import dataclass

from gradledger.web.context import Context
from gradledger.web.page import Control, Form, Section
from gradledger.web.work import Piece


@dataclass(frozen=True)
class Offer:
    """Words about one kind of work.

    Attributes:
        kind: Its kind, which names the section and the form's answer too.
        going: Title while it is under way.
        title: Title before it was started.
        lead: What is not computed yet.
        failed: Title after it failed.
        button: What the form's button says.
        note: What it takes.
    """

    kind: str
    going: str
    title: str
    lead: str
    failed: str
    button: str
    note: str


def going(name: str, title: str, piece: Piece) -> Section:
    """Return how far a piece of work is that waits or runs."""
    words = f"step {piece.done} of {piece.whole}" if piece.whole else "loading"
    return Section(
        name,
        title,
        is_live=True,
        progress=(piece.done, piece.whole),
        lead=words if piece.state == "running" else "waiting for other work",
    )


def offered(context: Context, piece: Piece | None, offer: Offer) -> Section:
    """Return how far work on a behaviour is, or what starts it."""
    if piece is not None and piece.is_under_way:
        return going(offer.kind, offer.going, piece)
    kept = tuple(Control(name, "", "hidden", text) for name, text in context.arguments.items)
    start = Form(
        context.path("behaviour"),
        (*kept, Control("start", "", "hidden", offer.kind)),
        offer.button,
        "post",
        note=offer.note,
    )
    problem = piece.problem if piece is not None and piece.state == "failed" else None
    return Section(
        offer.kind,
        offer.title if problem is None else offer.failed,
        lead=offer.lead if problem is None else problem,
        tone="" if problem is None else "bad",
        forms=(start,) if context.ledger.end is not None else (),
        is_live=True,
    )
