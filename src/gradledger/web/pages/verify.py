"""Verification: findings, the log's checkpoint, and who signs and witnesses it."""

from __future__ import annotations

from gradledger.query import Answer, Column, Table
from gradledger.web.context import Context
from gradledger.web.page import Fact, Form, Page, Section
from gradledger.web.show import section
from gradledger.web.work import Piece

_COLUMNS = (
    Column("code", "code"),
    Column("kind", "kind"),
    Column("title", "finding", wraps=True),
    Column("place", "place", wraps=True),
    Column("observed", "observed", wraps=True),
    Column("expected", "expected", wraps=True),
)


def verify(context: Context) -> Page:
    """Return the latest verification of the run, and the form that starts another."""
    place = context.site.desk.place(context.run)
    pieces = context.site.work.pieces(place, "verify")
    info = context.ask("info")
    latest = pieces[0] if pieces else None
    is_live = latest is not None and latest.state in {"waiting", "running"}
    start = Form(
        context.path("verify"),
        (),
        "Verify again" if pieces else "Verify now",
        "post",
        note="recomputes digests, root hashes, sums and decisions; executes nothing",
    )
    parts = [_state(latest, start), _log(context, str(info.facts["log"]))]
    answers: dict[str, Answer] = {"info": info}
    if latest is not None and latest.result is not None:
        found = _findings(latest)
        answers = {"verify": found, "info": info}
        parts.insert(
            1, section(found, look=context.look("findings", "verify"), is_live=True, notes=True)
        )
    orphans = context.ask("orphans")
    parts.append(
        section(
            orphans,
            orphans.tables[0].name,
            name="resumes",
            title="Resumes: where the run was cut off and went on",
            look=context.look(),
            is_half=True,
        )
    )
    return Page(
        name="verify",
        title="Verification",
        lead="is anything missing, altered, reordered or unexplained?",
        sections=tuple(parts),
        commands=(context.command("verify"),),
        answers=answers,
        extra={"report": dict(latest.result) if latest and latest.result else None},
        live_seconds=1.0 if is_live else 0.0,
    )


def start_verify(context: Context) -> str:
    """Start a verification and return the address of its page."""
    site = context.site
    site.work.start("verify", site.desk.place(context.run), {})
    return context.path("verify")


def _state(latest: Piece | None, start: Form) -> Section:
    if latest is None:
        return Section(
            "state",
            "Not verified here yet",
            lead="Nothing is said about this run's integrity until somebody looks.",
            tone="warn",
            forms=(start,),
            is_live=True,
        )
    if latest.state in {"waiting", "running"}:
        return Section(
            "state", "Verifying", lead="every file is read again", is_live=True, progress=(0, 0)
        )
    if latest.result is None:
        return Section(
            "state",
            "Could not be verified",
            lead=latest.problem,
            tone="bad",
            forms=(start,),
            is_live=True,
        )
    result = latest.result
    facts = (
        Fact("result", str(result["in_words"]), tone="good" if result["clean"] else "bad"),
        Fact("origin of the log", str(result["origin"]) or "-"),
        Fact("leaves under the checkpoint", str(result["leaves"])),
        Fact("root hash", str(result["root_hash"]) or "-"),
        Fact("signed by", ", ".join(result["signed_by"]) or "nobody"),
    )
    title = "Clean" if result["clean"] else "Something is not as recorded"
    return Section(
        "state",
        title,
        facts=facts,
        tone="good" if result["clean"] else "bad",
        forms=(start,),
        is_live=True,
    )


def _log(context: Context, words: str) -> Section:
    """Return checkpoint and cosignatures as they lie in the run."""
    place = context.site.desk.place(context.run) / "log" / "checkpoint"
    text = place.read_text(encoding="utf-8", errors="replace")[:20_000] if place.is_file() else None
    return Section(
        "log",
        "Checkpoint and witnesses",
        lead=words,
        text=text,
        is_half=True,
        notes=(
            "each line after the empty one is a signature: of the log's own key, or of a witness",
            "keys from elsewhere, and folders of witnesses, are given on the command line",
        )
        if text
        else (),
    )


def _findings(piece: Piece) -> Answer:
    result = piece.result or {}
    rows = tuple(
        (
            item["code"],
            "notice" if item["notice"] else "finding",
            item["title"],
            item["place"],
            item["observed"],
            item["expected"],
        )
        for item in result["findings"]
    )
    return Answer(
        question="verify",
        title=str(result["in_words"]),
        kind="accounting",
        tables=(Table("findings", f"Findings and notices: {len(rows)}", _COLUMNS, rows),),
        notes=("a finding says that something is wrong; a notice, what a reader must know",),
    )
