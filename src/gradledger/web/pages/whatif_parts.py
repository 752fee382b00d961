"""Parts of the page of a counterfactual: answers side by side, what they take, how far they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradledger.query import ESTIMATORS, Answer, Column, Table
from gradledger.web.context import Context
from gradledger.web.page import Chart, Control, Form, Section
from gradledger.web.pages.asked import policy_file
from gradledger.web.pages.progress import going
from gradledger.web.show import facts, section
from gradledger.web.work import Piece


def beside(context: Context, answers: Mapping[str, Answer]) -> list[Section]:
    """Return what every estimate says of each behaviour, and that nothing was executed yet."""
    nats: dict[str, dict[str, float | None]] = {}
    for name, answer in answers.items():
        for table in answer.tables:
            if table.name == "observations":
                for row in table.records():
                    nats.setdefault(str(row["name"]), {})[name] = row[name]
    rows = tuple(
        (probe, *(found.get(name) for name in ESTIMATORS), None) for probe, found in nats.items()
    )
    if not rows:
        return []
    columns = (
        Column("name", "behaviour"),
        *(Column(name, f"{name} [nats]", "share") for name in ESTIMATORS),
        Column("executed", "executed [nats]", "share"),
    )
    table = Table("beside", "Behaviour: the answers side by side", columns, rows)
    answer = Answer("whatif", table.title, "prediction", tables=(table,))
    missing = [name for name in ESTIMATORS if all(name not in found for found in nats.values())]
    lead = "Nothing is executed yet: below are estimates alone."
    if "adjoint" in missing and "adjoint" in answers:
        lead += " No derivative of a behaviour is stored: compute one on its page."
    return [
        section(
            answer,
            title=table.title,
            lead=lead,
            look=context.look(
                bars=tuple(ESTIMATORS),
                link=lambda column, value, row: _lead(context, column, value, row),
            ),
        )
    ]


def planned(context: Context, plan: Answer) -> Section:
    """Return what executing takes."""
    return section(
        plan,
        title="What executing it takes",
        name="plan",
        facts=facts(plan),
        notes=True,
        is_half=True,
        look=context.look("parts", "plan"),
    )


def running(context: Context, piece: Piece | None, *, is_done: bool) -> Section:
    """Return the section that starts a replay or shows how far it is."""
    start = Form(
        context.path("whatif"),
        tuple(Control(name, "", "hidden", text) for name, text in context.arguments.items),
        "Execute the run again",
        "post",
        note="in its recorded order; the result is stored beside the run",
    )
    if piece is not None and piece.is_under_way:
        return going("work", "Executing", piece)
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


def executed_parts(context: Context, executed: Answer) -> list[Section]:
    """Return every table of the executed answer; behaviours first, they are what people ask for."""
    order = {"observations": 0, "texts": 1, "units": 2}
    titles = {
        "observations": "Behaviour: the answers side by side",
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
                also=tuple(ESTIMATORS),
                link=lambda column, value, row: _lead(context, column, value, row),
            ),
            chart=_pairs(table) if table.name == "units" else None,
        )
        for place, table in enumerate(tables)
    ]


def estimated(context: Context, name: str, answer: Answer) -> list[Section]:
    """Return what one estimator says of the parts of the model; of behaviours it is told above."""
    if not any(value is not None for row in answer.table("units").rows for value in row[1:]):
        return []
    return [
        section(
            answer,
            "units",
            name=f"{name}-units",
            title=f"The model, as estimated: {name}",
            mark="estimated",
            is_half=True,
            notes=True,
            facts=facts(answer),
            look=context.look(
                "units",
                name,
                bars=[c.name for c in answer.table("units").columns if c.kind == "share"],
            ),
        )
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


def policy_text(context: Context) -> list[Section]:
    """Return the policy that is asked about, as it lies here."""
    digest = context.arguments.text("policy")
    if context.arguments.text("do") != "policy" or digest is None:
        return []
    text = policy_file(context, digest).read_text(encoding="utf-8", errors="replace")
    return [Section("policy", "The policy", lead=f"SHA-256 {digest}", text=text[:200_000])]
