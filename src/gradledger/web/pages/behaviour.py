"""Behaviour: paste a text or let the model write one; its lines, and the examples behind them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gradledger.errors import WebError
from gradledger.query import Answer, answer_from_json, text_name
from gradledger.web.context import Context
from gradledger.web.page import Control, Form, Page, Section
from gradledger.web.pages.behind import (
    behind,
    means,
    ranking_controls,
    since_of,
    start_behind,
)
from gradledger.web.pages.explain import explained, start_explain
from gradledger.web.show import facts, section
from gradledger.web.work import Piece

_LIVE_SECONDS: Final = 1.0


def behaviour(context: Context) -> Page:
    """Return a text as the final model reads it, what is behind it, and measured behaviours."""
    probes = context.ask("capabilities")
    answers: dict[str, Answer] = {}
    asked, piece = _asked(context), _reading(context)
    parts, is_live = _of_text(context, piece, answers) if asked else ([], False)
    derivative = _derivative(context, piece)
    if derivative is not None:
        name, work = derivative
        found, answer, follows = behind(context, name, work, _words(answers.get("alike")))
        parts, is_live = [*parts[:1], *found, *parts[1:]], is_live or follows
        answers |= {"behind": answer} if answer is not None else {}
    if "prompt" in asked and answers.get("behaviour") is not None:
        found, answer, follows = explained(context, asked["prompt"])
        parts, is_live = [*parts[:1], *found, *parts[1:]], is_live or follows
        answers |= {"explain": answer} if answer is not None else {}
    parts += _starts(context)
    if probes.rows:
        answers["capabilities"] = probes
        parts.append(_measured(context, probes))
    return Page(
        name="behaviour",
        title="Behaviour",
        lead="which examples are behind an output: of a text that is pasted, of one that the model "
        "writes, or of a behaviour that the run measured",
        form=_form(context) if derivative is not None else None,
        sections=tuple(parts),
        commands=_commands(context),
        answers=answers,
        live_seconds=_LIVE_SECONDS if is_live else 0.0,
    )


def start_behaviour(context: Context) -> str:
    """Start reading a text, writing one, or going through the run; return where to go."""
    if context.arguments.text("start") == "behind":
        derivative = _derivative(context, _reading(context))
        if derivative is not None:
            start_behind(context, derivative[1])
        return context.here(start=None)
    asked = _asked(context)
    if context.arguments.text("start") == "explain" and "prompt" in asked:
        start_explain(context, asked["prompt"])
        return context.here(start=None)
    if asked:
        work = {**asked, **_means(context)}
        context.site.work.start("behaviour", context.site.desk.place(context.run), work)
    return context.link("behaviour", **asked)


def _asked(context: Context) -> dict[str, str]:
    """Return the text or the prompt of the address, with the line ends that it had."""
    for name in ("text", "prompt"):
        if text := context.arguments.text(name):
            return {name: text.replace("\r\n", "\n")}
    return {}


def _means(context: Context) -> dict[str, Any]:
    folders = [str(folder) for folder in context.site.contents.folders]
    return {"content": folders, **means(context)}


def _reading(context: Context) -> Piece | None:
    """Return the latest reading of the text that is asked about."""
    wanted = {**_asked(context), **_means(context)}
    for piece in context.site.work.pieces(context.site.desk.place(context.run), "behaviour"):
        if piece.request["arguments"] == wanted:
            return piece
    return None


def _derivative(context: Context, piece: Piece | None) -> tuple[str, dict[str, Any]] | None:
    """Return the behaviour that can be differentiated, and what the work is asked."""
    named = context.arguments.text("name")
    if named is not None:
        return named, {"name": named, "since": since_of(context), **means(context)}
    if piece is None or not piece.result or piece.result["reading"] is None:
        return None
    text, span = str(piece.result["text"]), _span(context)
    listed = list(span) if span else None
    return text_name(text, span), {
        "text": text,
        "span": listed,
        "since": since_of(context),
        **means(context),
    }


def _span(context: Context) -> tuple[int, int] | None:
    """Return first and last piece of the address.

    Raises:
        WebError: W107 where they are no two numbers.
    """
    given = context.arguments.text("span")
    if given is None:
        return None
    first, dash, last = given.partition("-")
    if not (dash and all(part.isascii() and part.isdigit() for part in (first, last))):
        raise WebError("W107", observed=f"span: {given[:40]!r}", expected="FIRST-LAST piece")
    return int(first), int(last)


def _words(alike: Answer | None) -> dict[int, float] | None:
    if alike is None:
        return None
    return {
        int(row["example"]): float(row["containment"])
        for row in alike.table("candidates").records()
    }


def _of_text(
    context: Context, piece: Piece | None, answers: dict[str, Answer]
) -> tuple[list[Section], bool]:
    """Return how far the reading is, or what came of it; and whether it is under way."""
    if piece is None:
        lead = "Nothing is known of this text here: choose Read it below."
        return [Section("reading", "Not read yet", lead=lead)], False
    if piece.is_under_way:
        lead = "the final model is loaded, and contents of examples are compared"
        part = Section("reading", "Reading", lead=lead, is_live=True, progress=(0, 0))
        return [part], True
    if piece.result is None:
        part = Section("reading", "Not read", lead=piece.problem, tone="bad", is_live=True)
        return [part], False
    result, parts = piece.result, []
    if result["reading"] is None:
        lead = str(result["problem"])
        title = "The model could not read it"
        parts.append(Section("reading", title, lead=lead, tone="warn", is_live=True))
    else:
        answers["behaviour"] = answer_from_json(result["reading"])
        parts.append(_lines(context, answers["behaviour"]))
    if result.get("alike"):
        answers["alike"] = answer_from_json(result["alike"])
        parts.append(_alike(context, answers["alike"]))
    elif result.get("not_alike"):
        lead = f"Not compared: {result['not_alike']}."
        parts.append(Section("alike", "Examples that share words with it", lead=lead, is_half=True))
    return parts, False


def _lines(context: Context, reading: Answer) -> Section:
    """Return the text line by line; each leads to what is behind it alone."""

    def lead(column: str, value: Any, row: Mapping[str, Any]) -> str | None:
        if column not in {"text", "line"} or value in {None, ""}:
            return None
        return context.here(span=f"{row['first']}-{row['last']}", page=None)

    span = _span(context)
    return section(
        reading,
        "lines",
        name="reading",
        title="As the final model reads it, line by line",
        notes=True,
        is_live=True,
        facts=facts(reading, ("written by", "pieces", "loss [nats]", "per piece [nats]")),
        look=context.look("lines", "behaviour", link=lead, bars=("mean",), hide=("first", "last")),
        lead=f"below: pieces {span[0]} to {span[1]}"
        if span
        else "choose a line to ask what is behind it alone",
        links=(("the whole text", context.here(span=None, page=None)),) if span else (),
    )


def _alike(context: Context, found: Answer) -> Section:
    return section(
        found,
        "candidates",
        name="alike",
        title="Examples that share words with it",
        lead="found by their contents: likeness is no cause, and a cause need not be alike",
        notes=True,
        is_half=True,
        mark="",
        look=context.look("candidates", "alike", bars=("containment",)),
    )


def _form(context: Context) -> Form:
    """Return the controls of the ranking; the text stays as it is."""
    kept = [
        item for item in context.arguments.items if item[0] in {"text", "prompt", "span", "name"}
    ]
    hidden = tuple(Control(name, "", "hidden", text) for name, text in kept)
    return Form(context.path("behaviour"), (*hidden, *ranking_controls(context)), "Show")


def _starts(context: Context) -> list[Section]:
    """Return the forms that read a text, and that let the model write one."""
    path, given = context.path("behaviour"), context.arguments
    read = Form(
        path,
        (Control("text", "text", "lines", given.text("text", "") or "", hint="an output"),),
        "Read it",
        "post",
        note="at most 4,000 characters",
    )
    write = Form(
        path,
        (Control("prompt", "prompt", "lines", given.text("prompt", "") or "", hint="a beginning"),),
        "Let the model go on",
        "post",
        note="its likeliest words, without randomness",
    )
    return [
        Section("paste", "Paste a text", forms=(read,), is_half=True),
        Section("write", "Or let the final model write one", forms=(write,), is_half=True),
    ]


def _commands(context: Context) -> tuple[str, ...]:
    named, asked, span = context.arguments.text("name"), _asked(context), _span(context)
    if named is not None:
        return (context.command("influence", named, since=since_of(context) or None),)
    if not asked:
        return (context.command("behaviour", text="FILE"), context.command("influence", "NAME"))
    if "prompt" in asked:
        prompt = asked["prompt"]
        return (context.command("behaviour", prompt=prompt), context.command("explain", prompt))
    given = {"text": "FILE"}
    shown = f"{span[0]}:{span[1]}" if span else None
    return (
        context.command("behaviour", **given),
        context.command(
            "behaviour", **given, behind=True, span=shown, since=since_of(context) or None
        ),
    )


def _measured(context: Context, probes: Answer) -> Section:
    return section(
        probes,
        title="Behaviours that this run measured",
        notes=True,
        look=context.look(
            "capabilities",
            "capabilities",
            bars=("measured",),
            rename={"name": "behaviour"},
            hide=("inputs_digest", "mode"),
            link=lambda column, value, _: (
                context.link("capability", name=value) if column == "name" else None
            ),
        ),
        lead="choose one to see the examples behind it, in nats that add up",
    )
