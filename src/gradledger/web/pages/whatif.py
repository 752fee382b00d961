"""What if: an intervention on chosen examples, as estimated, as predicted and as executed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gradledger.query import ESTIMATORS, UNITS, Answer, Table
from gradledger.web.context import Context, choice
from gradledger.web.page import Chart, Control, Form, Page, Section
from gradledger.web.show import facts, section
from gradledger.web.work import Piece

_OPERATIONS: Final = ("remove", "renormalise", "reweight", "reprofile")
_UNDER_WAY: Final = frozenset({"waiting", "running"})
_LIVE_SECONDS: Final = 1.0


def asked(context: Context) -> dict[str, Any]:
    """Return the intervention of the URL as ``ledger.whatif`` takes it; empty without one."""
    where = context.arguments.filters()
    if not where:
        return {}
    operation = context.arguments.choice("do", _OPERATIONS, "remove")
    found: dict[str, Any] = {operation: where}
    if operation == "reweight":
        found["factor"] = context.arguments.fraction("factor", 0.0)
    if operation == "reprofile":
        names = sorted(context.ledger.profiles)
        found["profile"] = context.arguments.choice("profile", names, names[0] if names else "")
    return found


def whatif(context: Context) -> Page:
    """Return the answers to one intervention side by side."""
    intervention = asked(context)
    by = context.arguments.choice("by", UNITS, "block")
    form = _form(context, by)
    if not intervention:
        return Page(
            name="whatif",
            title="What if",
            lead="remove, reweight or reprofile examples, and see what the model would be",
            form=form,
            sections=(_choose(context), *_earlier(context)),
            commands=(context.command("whatif", where="COLUMN=VALUE"),),
        )
    answers: dict[str, Answer] = {
        name: context.ask("whatif", interventions=[intervention], how=name, by=by)
        for name in ESTIMATORS
    }
    executed = context.ledger.executed(intervention, by=by)
    piece = _piece(context, intervention)
    parts: list[Section] = []
    if executed is not None:
        answers = {"executed": executed, **answers}
        parts += _executed(context, executed)
    parts.append(_running(context, piece, is_done=executed is not None))
    for name in ESTIMATORS:
        parts += _estimated(context, name, answers[name])
    if all(item.kind != "prediction" for item in ESTIMATORS.values()):
        parts.append(
            Section(
                "prediction",
                "Prediction",
                is_half=True,
                lead="Not available: this version predicts no derivative through the training.",
            )
        )
    is_live = piece is not None and piece.state in _UNDER_WAY
    title = next(iter(answers.values())).title.removesuffix(", executed")
    return Page(
        name="whatif",
        title=title,
        lead="three kinds of answer, never mixed: estimated by the books, predicted, executed",
        form=form,
        sections=tuple(parts),
        commands=(_command(context, intervention, by),),
        answers=answers,
        extra={"work": _state_of(piece)},
        live_seconds=_LIVE_SECONDS if is_live else 0.0,
    )


def _state_of(piece: Piece | None) -> dict[str, Any] | None:
    if piece is None:
        return None
    return {"id": piece.number, "state": piece.state, "step": piece.done, "steps": piece.whole}


def _estimated(context: Context, name: str, answer: Answer) -> list[Section]:
    """Return what one estimator says: of the model, and of behaviours."""
    word = "predicted" if ESTIMATORS[name].kind == "prediction" else "estimated"
    titles = {
        "units": f"The model, as {word}: {name}",
        "observations": f"Behaviour, as {word}: {name}",
    }
    return [
        section(
            answer,
            table.name,
            name=f"{name}-{table.name}",
            title=titles.get(table.name, table.title),
            mark="estimated",
            is_half=True,
            notes=place == 0,
            facts=facts(answer) if place == 0 else (),
            look=context.look(
                table.name, name, bars=[c.name for c in table.columns if c.kind == "share"]
            ),
        )
        for place, table in enumerate(answer.tables)
    ]


def start_whatif(context: Context) -> str:
    """Start an executed replay and return the address of its page."""
    site = context.site
    site.work.start(
        "whatif",
        site.desk.place(context.run),
        {
            "interventions": [asked(context)],
            "trust_entry": site.trust_entry,
            "entry_arguments": site.entry_arguments or None,
        },
    )
    return context.here()


def _command(context: Context, intervention: dict[str, Any], by: str) -> str:
    return context.command(
        "whatif",
        where=context.arguments.many("where"),
        by=by,
        factor=intervention.get("factor"),
        renormalise="renormalise" in intervention,
        profile=intervention.get("profile"),
        trust_entry=context.site.trust_entry,
    )


def _piece(context: Context, intervention: dict[str, Any]) -> Piece | None:
    """Return the latest work on this very intervention."""
    for piece in context.site.work.pieces(context.site.desk.place(context.run), "whatif"):
        if piece.request["arguments"]["interventions"] == [intervention]:
            return piece
    return None


def _running(context: Context, piece: Piece | None, *, is_done: bool) -> Section:
    """Return the section that starts a replay or shows how far it is."""
    start = Form(
        context.path("whatif"),
        tuple(Control(name, "", "hidden", text) for name, text in context.arguments.items),
        "Execute the run again",
        "post",
        note="the whole run, in its recorded order; the result is stored beside it",
    )
    if piece is not None and piece.state in {"waiting", "running"}:
        words = f"step {piece.done} of {piece.whole}" if piece.whole else "loading"
        return Section(
            "work",
            "Executing",
            is_live=True,
            progress=(piece.done, piece.whole),
            lead=words if piece.state == "running" else "waiting for other work",
        )
    if is_done:
        return Section(
            "work",
            "Execution",
            mark="executed",
            is_half=True,
            is_live=True,
            lead="Executed: the result above is stored beside the run.",
        )
    if piece is not None and piece.state == "failed":
        return Section(
            "work",
            "Execution failed",
            lead=piece.problem,
            tone="bad",
            is_live=True,
            forms=(start,),
            is_half=True,
        )
    if context.ledger.end is None:
        return Section("work", "Execute", lead="Not yet: the run is not closed.", is_half=True)
    return Section(
        "work",
        "Execute",
        forms=(start,),
        is_half=True,
        is_live=True,
        lead="Not executed yet. Only an executed replay is the truth for this run.",
    )


def _executed(context: Context, executed: Answer) -> list[Section]:
    """Return every table of the executed answer; behaviours first, they are what people ask for."""
    order = {"observations": 0, "texts": 1, "units": 2}
    titles = {
        "observations": "Behaviour: executed change",
        "units": "The model: executed change beside the estimates",
    }
    tables = sorted(executed.tables, key=lambda table: order.get(table.name, 3))
    return [
        section(
            executed,
            table.name,
            name="executed" if table.name == "units" else table.name,
            title=titles.get(table.name, table.title),
            notes=table.name == "units",
            facts=facts(executed) if place == 0 else (),
            is_live=True,
            look=context.look(
                table.name,
                "executed",
                bars=[column.name for column in table.columns if column.kind == "share"],
                link=lambda column, value, row: _lead(context, column, value, row),
            ),
            chart=_pairs(table) if table.name == "units" else None,
        )
        for place, table in enumerate(tables)
    ]


def _lead(context: Context, column: str, value: Any, row: Mapping[str, Any]) -> str | None:
    if column == "name":
        return context.link("capability", name=value) if value in _probes(context) else None
    return context.lead(column, value, row)


def _pairs(table: Table) -> Chart | None:
    """Return the drawing of executed against estimated changes."""
    named = [column.name for column in table.columns if column.name in ESTIMATORS]
    if not named:
        return None
    options = {"x": "executed", "y": named[0], "label": table.columns[0].name}
    return Chart("pairs", "Executed change against the estimate, along D", options)


def _probes(context: Context) -> set[str]:
    return {str(row["name"]) for row in context.ask("capabilities").rows}


def _form(context: Context, by: str) -> Form:
    given = context.arguments
    operation = given.choice("do", _OPERATIONS, "remove")
    profiles = sorted(context.ledger.profiles)
    chosen = given.many("where") or [""]
    controls = [choice("do", "do", _OPERATIONS, operation)]
    controls += [
        Control(
            "where", "examples with", "text", item, hint="package=requests, example=5, class=NAME"
        )
        for item in chosen
    ]
    if operation == "reweight":
        controls.append(
            Control("factor", "weight times", "number-any", given.text("factor", "0") or "0")
        )
    if operation == "reprofile" and profiles:
        controls.append(
            choice(
                "profile", "profile", profiles, given.text("profile", profiles[0]) or profiles[0]
            )
        )
    controls.append(choice("by", "by", UNITS, by))
    return Form(context.path("whatif"), tuple(controls), "Ask")


def _choose(context: Context) -> Section:
    kinds = [
        key for key in ("source", "package", "license", "class", "rule") if key in context.kinds
    ]
    return Section(
        "choose",
        "Choose examples",
        lead="Type COLUMN=VALUE above, or come from an example or a kind of examples.",
        links=(
            ("examples", context.link("examples")),
            *((f"by {kind}", context.link("follow", column=kind)) for kind in kinds),
        ),
    )


def _earlier(context: Context) -> list[Section]:
    """Return links to what was executed from here before."""
    links = []
    for piece in context.site.work.pieces(context.site.desk.place(context.run), "whatif")[:20]:
        given = piece.request["arguments"]["interventions"][0]
        operation = next(name for name in _OPERATIONS if name in given)
        where = [f"{column}={value or ''}" for column, value in given[operation].items()]
        named = {name: given[name] for name in ("factor", "profile") if name in given}
        link = context.link("whatif", do=operation, where=where, **named)
        links.append((f"{operation} {', '.join(where)}: {piece.state}", link))
    return [Section("earlier", "Started here before", links=tuple(links))] if links else []
