"""What if: an intervention on chosen examples, as estimated, as predicted and as executed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from gradledger.errors import QueryError
from gradledger.query import ESTIMATORS, UNITS, Answer
from gradledger.web.context import Context
from gradledger.web.page import Control, Form, Page, Section
from gradledger.web.pages.asked import asked, form, keep_policy
from gradledger.web.pages.whatif_parts import (
    beside,
    estimated,
    executed_parts,
    planned,
    policy_text,
    running,
)
from gradledger.web.work import Piece

_LIVE_SECONDS: Final = 1.0

#: Error that says that stored derivatives cannot be believed here.
_NOT_RELIABLE: Final = "Q173"


def whatif(context: Context) -> Page:
    """Return the answers to one intervention side by side."""
    interventions = asked(context)
    by = context.arguments.choice("by", UNITS, "block")
    if not interventions:
        return Page(
            name="whatif",
            title="What if",
            lead="remove, reweight, reprofile or exchange examples, or decide by another policy, "
            "and see what the model would be",
            form=form(context, by),
            sections=(*_choose(context), *_earlier(context)),
            commands=(context.command("whatif", where="COLUMN=VALUE"),),
        )
    answers, refusals = _estimates(context, interventions, by)
    executed = context.ledger.executed(*interventions, by=by)
    plan = context.ask("plan", *interventions)
    piece = _piece(context, interventions)
    parts = executed_parts(context, executed) if executed is not None else []
    parts += beside(context, answers) if executed is None else []
    parts.append(planned(context, plan))
    parts.append(running(context, piece, is_done=executed is not None))
    for name, answer in answers.items():
        parts += estimated(context, name, answer)
    parts += [
        Section(f"{name}-refused", f"No prediction: {name}", lead=words, tone="warn", is_half=True)
        for name, words in refusals.items()
    ]
    parts += policy_text(context)
    is_live = piece is not None and piece.is_under_way
    title = next(iter(answers.values())).title.partition(", as the books")[0]
    first = {"executed": executed} if executed is not None else {}
    return Page(
        name="whatif",
        title=title,
        lead="three kinds of answer, never mixed: estimated by the books, predicted, executed",
        form=form(context, by),
        sections=tuple(parts),
        commands=(_command(context, interventions, by),),
        answers={**first, **answers, "plan": plan},
        extra={"work": _state_of(piece)},
        live_seconds=_LIVE_SECONDS if is_live else 0.0,
    )


def _estimates(
    context: Context, interventions: Sequence[Mapping[str, Any]], by: str
) -> tuple[dict[str, Answer], dict[str, str]]:
    """Return the estimates, and why there is none where a derivative foretells nothing here."""
    found: dict[str, Answer] = {}
    refused: dict[str, str] = {}
    for name in ESTIMATORS:
        try:
            found[name] = context.ask("whatif", interventions=interventions, how=name, by=by)
        except QueryError as error:
            if error.code != _NOT_RELIABLE:
                raise
            refused[name] = f"Observed {error.observed}; expected {error.expected}."
    return found, refused


def start_whatif(context: Context) -> str:
    """Start an executed replay, or keep a policy that was pasted; return where to go."""
    site = context.site
    if text := context.arguments.text("policy_text"):
        return context.link("whatif", do="policy", policy=keep_policy(context, text))
    site.work.start(
        "whatif",
        site.desk.place(context.run),
        {
            "interventions": asked(context),
            "trust_entry": site.trust_entry,
            "entry_arguments": site.entry_arguments or None,
        },
    )
    return context.here()


def _state_of(piece: Piece | None) -> dict[str, Any] | None:
    if piece is None:
        return None
    return {"id": piece.number, "state": piece.state, "step": piece.done, "steps": piece.whole}


def _piece(context: Context, interventions: Sequence[Mapping[str, Any]]) -> Piece | None:
    """Return the latest work on these very interventions."""
    for piece in context.site.work.pieces(context.site.desk.place(context.run), "whatif"):
        if piece.request["arguments"]["interventions"] == interventions:
            return piece
    return None


def _command(context: Context, interventions: Sequence[Mapping[str, Any]], by: str) -> str:
    """Return the command that executes the same."""
    given, first = context.arguments, interventions[0]
    trust: dict[str, Any] = {"by": by, "trust_entry": context.site.trust_entry}
    if given.text("do") == "several":
        return context.command("whatif", plan="FILE", **trust)
    if "policy" in first:
        return context.command("whatif", policy=first["policy"], **trust)
    if given.text("do") == "nothing":
        return context.command("whatif", nothing=True, **trust)
    steps = first.get("steps")
    return context.command(
        "whatif",
        where=given.many("where"),
        factor=first.get("factor"),
        renormalise="renormalise" in first,
        profile=first.get("profile"),
        content_of=first.get("example") if "substitute" in first else None,
        steps=f"{steps[0]}:{steps[1]}" if steps else None,
        **trust,
    )


def _choose(context: Context) -> list[Section]:
    """Return ways to an intervention: by examples, or by a policy that is pasted."""
    kinds = [
        key for key in ("source", "package", "license", "class", "rule") if key in context.kinds
    ]
    text = ""
    if context.ledger.begin.policy:
        for place in sorted((context.site.desk.place(context.run) / "policies").glob("*.yaml")):
            text = place.read_text(encoding="utf-8", errors="replace")[:60_000]
    return [
        Section(
            "choose",
            "Choose examples",
            lead="Type COLUMN=VALUE above, or come from an example or a kind of examples.",
            links=(
                ("examples", context.link("examples")),
                *((f"by {kind}", context.link("follow", column=kind)) for kind in kinds),
            ),
        ),
        Section(
            "another-policy",
            "Or decide by another policy",
            lead="Change the text of the policy in force, or paste another: it decides on the "
            "recorded attributes, at the recorded moment.",
            forms=(
                Form(
                    context.path("whatif"),
                    (Control("policy_text", "policy", "document", text),),
                    "Ask what it would have changed",
                    "post",
                    note="it is kept in the work folder, named by its digest",
                ),
            ),
        ),
    ]


def _earlier(context: Context) -> list[Section]:
    """Return links to what was executed from here before."""
    links = []
    for piece in context.site.work.pieces(context.site.desk.place(context.run), "whatif")[:20]:
        given = piece.request["arguments"]["interventions"]
        if len(given) == 1 and (found := _address(context, given[0])):
            links.append((f"{found[0]}: {piece.state}", found[1]))
    return [Section("earlier", "Started here before", links=tuple(links))] if links else []


def _address(context: Context, given: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return words and address of an intervention that was started here."""
    operation = next(iter(given))
    if operation == "policy":
        digest = str(given["policy"]).rpartition("/")[2].removesuffix(".yaml")
        return f"policy {digest[:12]}", context.link("whatif", do="policy", policy=digest)
    if not given[operation]:
        return "nothing", context.link("whatif", do="nothing")
    where = [f"{column}={value or ''}" for column, value in given[operation].items()]
    named = {name: given[name] for name in ("factor", "profile") if name in given}
    if "example" in given:
        named["other"] = given["example"]
    if "steps" in given:
        named |= {"first": given["steps"][0], "last": given["steps"][1]}
    link = context.link("whatif", do=operation, where=where, **named)
    return f"{operation} {', '.join(where)}", link
