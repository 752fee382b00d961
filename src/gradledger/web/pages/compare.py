"""Two runs side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradledger.query import Answer
from gradledger.web.context import Context, choice
from gradledger.web.page import Chart, Control, Form, Page
from gradledger.web.show import facts, section


def run_controls(context: Context) -> tuple[Control, Control]:
    """Return the choices of two runs."""
    names = list(context.site.desk.names())
    first = context.arguments.text("a") or (names[0] if names else "")
    second = context.arguments.text("b") or (names[1] if len(names) > 1 else first)
    return choice("a", "run A", names, first), choice("b", "run B", names, second)


def compare(context: Context) -> Page:
    """Return the page that compares run ``a`` with run ``b``."""
    desk = context.site.desk
    controls = run_controls(context)
    first, second = (control.value for control in controls)
    pair = (desk.ledger(first), desk.ledger(second))
    key = ("compare", *(desk.signature(name) for name in (first, second)))
    answer: Answer = desk.once((first, second, key), lambda: pair[0].compare(pair[1]))

    def lead(column: str, value: Any, _: Mapping[str, Any]) -> str | None:
        run = Context(context.site, first, "compare", context.arguments)
        return run.lead(column, value, {}) if column in {"capability", "class"} else None

    parts = []
    for name, chart in (
        (
            "losses",
            Chart(
                "lines",
                "Loss of both runs",
                {"x": "step", "y": "a,b", "unit": "nats", "names": f"{first},{second}"},
            ),
        ),
        ("capabilities", None),
        ("classes", None),
        ("settings", None),
    ):
        look = context.look(
            name, link=lead, bars=("a", "b", "difference") if name != "losses" else ()
        )
        parts.append(
            section(
                answer,
                name,
                look=look,
                chart=chart,
                is_folded=name == "losses",
                facts=facts(answer) if name == "losses" else (),
                is_half=name in {"capabilities", "classes"},
                notes=name == "settings",
            )
        )
    places = [str(desk.place(name)) for name in (first, second)]
    return Page(
        name="compare",
        title="Compare two runs",
        lead=f"A is {first}, B is {second}",
        sections=tuple(parts),
        form=Form("/compare", controls, "Compare"),
        commands=(f"gradledger compare {places[0]} {places[1]}",),
        answers={"compare": answer},
    )
