"""What is behind a behaviour: the derivative through the run, computed on demand, ranked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from gradledger.errors import QueryError
from gradledger.query import ORDERS, Answer, Column, Table
from gradledger.web.context import Context, choice
from gradledger.web.page import Control, Option, Section
from gradledger.web.pages.progress import Offer, offered
from gradledger.web.show import PAGE_ROWS, facts, section

#: Columns of a ranking that tell which example a row is.
EXAMPLE_NAMES: Final = ("path", "key", "url", "license", "licence", "class", "source")

#: Parts of the model by which an influence can be ranked too.
_UNIT_KEYS: Final = ("block", "group")

_WORDS: Final = (
    "words in common: part of the runs of words of the shorter of both; likeness is no cause, and "
    "is no part of the derivative"
)

#: Error that says that no derivative of a behaviour is stored.
_NOT_COMPUTED: Final = "Q171"

_OFFER: Final = Offer(
    kind="behind",
    going="Going through the run, forwards and backwards",
    title="What is behind it",
    lead="Not computed yet: the derivative of the loss by the weight of every visit.",
    failed="No derivative of this run",
    button="Differentiate the run",
    note="the run is executed forwards and backwards, and twice with other weights; fewer steps "
    "after a stored state take less, and their derivative is the firmer",
)


def behind(
    context: Context,
    name: str,
    asked: Mapping[str, Any],
    words: Mapping[int, float] | None = None,
) -> tuple[list[Section], Answer | None, bool]:
    """Return what is behind a behaviour, or how to have it computed.

    Args:
        context: Where it is shown.
        name: The behaviour.
        asked: Arguments of the work that computes it.
        words: Example -> part of the text's words that it shares, where texts were compared.

    Returns:
        Sections, the answer where there is one, and whether work is under way.
    """
    given = context.arguments
    by = given.text("by", "example") or "example"
    order = given.choice("order", tuple(ORDERS), "negative")
    number = given.number("page", 1, low=1, high=2000) or 1
    try:
        answer = context.ledger.influence(
            name,
            by=by,
            order=order,
            top=number * PAGE_ROWS,
            since=since_of(context),
            stored=True,
        )
    except QueryError as error:
        if error.code != _NOT_COMPUTED:
            raise
        piece = context.site.work.find(context.site.desk.place(context.run), "behind", asked)
        return [offered(context, piece, _OFFER)], None, piece is not None and piece.is_under_way
    if words is not None and by == "example":
        answer = _beside_words(answer, words)
    return _ranked(context, answer, number), answer, False


def start_behind(context: Context, asked: Mapping[str, Any]) -> None:
    """Start the work that differentiates a behaviour."""
    context.site.work.start("behind", context.site.desk.place(context.run), asked)


def means(context: Context) -> dict[str, Any]:
    """Return what work on a run's training loop needs besides the question."""
    site = context.site
    return {"trust_entry": site.trust_entry, "entry_arguments": site.entry_arguments or None}


def ranking_controls(context: Context) -> tuple[Control, ...]:
    """Return the choices of what is ranked, in which order, and of which steps."""
    order = context.arguments.choice("order", tuple(ORDERS), "negative")
    chosen = since_of(context)
    last = context.ledger.span[1] if context.ledger.span else 0
    steps = [row["step"] for row in context.ask("states", check=False).rows if row["step"] < last]
    options = tuple(
        Option(str(step), f"step {step}" if step else "the opening", step == chosen)
        for step in steps
    )
    return (
        context.by_control("example", _UNIT_KEYS),
        choice("order", "order", tuple(ORDERS), order),
        Control("since", "what came after", "choice", str(chosen), options),
    )


def since_of(context: Context) -> int:
    """Return the stored step after which examples are asked about; 0 for the whole run."""
    return context.arguments.number("since", 0) or 0


def _beside_words(answer: Answer, words: Mapping[int, float]) -> Answer:
    """Put the words that each example shares with the text beside its influence."""
    table = answer.tables[0]
    place = [column.name for column in table.columns].index("removed") + 1
    rows = tuple((*row[:place], words.get(int(row[1]), 0.0), *row[place:]) for row in table.rows)
    column = Column("words", "words in common", "number")
    columns = (*table.columns[:place], column, *table.columns[place:])
    return replace(
        answer,
        tables=(Table(table.name, table.title, columns, rows), *answer.tables[1:]),
        notes=(
            *answer.notes,
            _WORDS,
        ),
    )


def _ranked(context: Context, answer: Answer, number: int) -> list[Section]:
    def lead(column: str, value: Any, row: Mapping[str, Any]) -> str | None:
        if column == "removed" and "example" in row:
            return context.link("whatif", where=f"example={row['example']}")
        return context.lead(column, value, row)

    names = [column.name for column in answer.tables[0].columns]
    is_reliable = bool(answer.facts.get("reliable"))
    ranking = section(
        answer,
        answer.tables[0].name,
        name="behind",
        title="What is behind it: the derivative through the run",
        notes=True,
        is_live=True,
        facts=facts(answer),
        tone="" if is_reliable else "warn",
        lead="negative influence lowered the loss, that is, taught it"
        if is_reliable
        else "Candidates only: training was not smooth enough here for a derivative to foretell "
        "removals. Execute those that matter: choose a figure under 'if removed'.",
        look=context.look(
            answer.tables[0].name,
            "behind",
            link=lead,
            bars=("influence", "words"),
            hide=("verdict", "policy", *(("examples",) if "example" in names else ())),
            also=EXAMPLE_NAMES,
            page=number,
            open_ended=True,
            paged=lambda turned: context.here(page=turned),
        ),
    )
    return [
        ranking,
        *(
            section(
                answer,
                table.name,
                name=f"behind-{table.name}",
                is_half=True,
                look=context.look(table.name, "behind", bars=("influence",)),
            )
            for table in answer.tables[1:]
        ),
    ]
