"""Reports: start one, and read those that were made."""

from __future__ import annotations

from starlette.responses import Response

from gradledger.errors import WebError
from gradledger.web.context import Context, choice
from gradledger.web.page import Control, Form, Page, Section
from gradledger.web.work import Piece

_KINDS = ("rights", "safety")
_FORMS = {"html": "text/html; charset=utf-8", "json": "application/json"}


def report(context: Context) -> Page:
    """Return the reports on the run that were made here, and the form that makes another."""
    pieces = context.site.work.pieces(context.site.desk.place(context.run), "report")
    kind = context.arguments.choice("kind", _KINDS, "rights")
    start = Form(
        context.path("report"),
        (
            choice("kind", "report", _KINDS, kind),
            Control("as_of", "rights as of", "text", hint="date; default: close of the run"),
        ),
        "Make the report",
        "post",
        note="one file that loads nothing and prints well, kept in the work folder",
    )
    parts = [
        Section(
            "make",
            "Make a report",
            forms=(start,),
            lead="rights: what shaped the model, on whose authority. "
            "safety: what stands out, who dominates, what got no signal.",
        )
    ]
    parts += [_made(context, piece) for piece in pieces[:20]]
    is_live = any(piece.is_under_way for piece in pieces)
    return Page(
        name="report",
        title="Reports",
        lead="audit reports on this run",
        sections=tuple(parts),
        commands=(f"{context.command('report ' + kind)}",),
        extra={
            "reports": [
                {
                    "id": piece.number,
                    "state": piece.state,
                    "arguments": dict(piece.request["arguments"]),
                }
                for piece in pieces
            ]
        },
        live_seconds=1.0 if is_live else 0.0,
    )


def start_report(context: Context) -> str:
    """Start a report and return the address of the reports' page."""
    site = context.site
    kind = context.arguments.choice("kind", _KINDS, "rights")
    as_of = context.arguments.text("as_of")
    site.work.start("report", site.desk.place(context.run), {"kind": kind, "as_of": as_of})
    return context.path("report")


def report_file(context: Context) -> Response:
    """Return a report that was made here."""
    piece = context.site.work.piece(context.arguments.text("id", "") or "")
    form = context.arguments.choice("form", tuple(_FORMS), "html")
    is_own = piece.request["run"] == str(context.site.desk.place(context.run))
    if piece.request["kind"] != "report" or not is_own or piece.result is None:
        raise WebError(
            "W108", observed=piece.state, expected="a report on this run", where=piece.number
        )
    content = (context.site.work.folder / piece.number / f"report.{form}").read_bytes()
    name = f"{context.run}.{piece.request['arguments']['kind']}.{form}"
    # A report brings its own style sheet, so it is handed over as a file and not shown as a page.
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type=_FORMS[form], headers=headers)


def _made(context: Context, piece: Piece) -> Section:
    kind = str(piece.request["arguments"]["kind"])
    title = f"{kind.capitalize()} report"
    if piece.is_under_way:
        return Section(
            f"report-{piece.number}", title, lead="being made", is_live=True, progress=(0, 0)
        )
    if piece.result is None:
        return Section(
            f"report-{piece.number}", title, lead=piece.problem, tone="bad", is_live=True
        )
    links = tuple(
        (f"{form.upper()} file", context.link("report-file", id=piece.number, form=form))
        for form in _FORMS
    )
    return Section(
        f"report-{piece.number}",
        title,
        text=str(piece.result["verdicts"]),
        links=links,
        is_live=True,
    )
