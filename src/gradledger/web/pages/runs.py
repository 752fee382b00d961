"""The list of runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from gradledger.ledger import list_runs
from gradledger.query import Answer
from gradledger.web.context import Context
from gradledger.web.page import Form, Page
from gradledger.web.pages.compare import run_controls
from gradledger.web.show import facts, section


def runs(context: Context) -> Page:
    """Return the page of all runs in the folder that is served."""
    desk = context.site.desk
    answer: Answer = list_runs(desk.folder)
    names = desk.names()
    number = context.arguments.number("page", 1, low=1) or 1

    def lead(column: str, value: Any, _: Mapping[str, Any]) -> str | None:
        if column != "run":
            return None
        return f"/run/{quote(str(value).replace('/', '~'), safe='~')}/overview"

    look = context.look(
        "runs",
        link=lead,
        page=number,
        paged=lambda turned: context.here(page=turned),
        only=(
            "run",
            "state",
            "created",
            "steps",
            "visits",
            "parameters",
            "coverage",
            "balance",
            "policy",
            "log",
            "seconds",
        ),
    )
    compared: tuple[Form, ...] = ()
    if len(names) > 1:
        compared = (Form("/compare", run_controls(context), "Compare", title="Compare two runs"),)
    return Page(
        name="runs",
        title="Runs",
        lead=f"in {desk.folder}",
        sections=(
            section(
                answer,
                title="All runs",
                look=look,
                notes=True,
                facts=facts(answer),
                forms=compared,
                lead="" if names else "No run is here yet. make demo trains one.",
            ),
        ),
        commands=(f"gradledger runs {quote(str(desk.folder))}",),
        answers={"runs": answer},
        live_seconds=5.0,
    )
