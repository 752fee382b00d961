"""Verification: findings, who signs and witnesses the log, and every checkpoint of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gradledger.errors import GradledgerError
from gradledger.query import Answer, Column, Table
from gradledger.web.anchors import Anchors
from gradledger.web.context import Context
from gradledger.web.page import Control, Fact, Form, Page, Section
from gradledger.web.show import facts, section
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
    """Return the latest verification of the run, its signatures, and the form that starts one."""
    place = context.site.desk.place(context.run)
    pieces = context.site.work.pieces(place, "verify")
    anchors = _anchors(context)
    latest = pieces[0] if pieces else None
    is_live = latest is not None and latest.is_under_way
    parts = [_state(latest, _start(context, is_again=bool(pieces)))]
    answers: dict[str, Answer] = {}
    if latest is not None and latest.result is not None:
        answers["verify"] = found = _findings(latest)
        parts.append(
            section(found, look=context.look("findings", "verify"), is_live=True, notes=True)
        )
    parts.append(
        Section(
            "anchors",
            "What trust rests on",
            lead="Nothing that lies in a run can vouch for it: keys and quorum come from their "
            "owners. They stay in the address, and verification uses them too.",
            forms=(_form(context),),
        )
    )
    signed = _signed(context, anchors)
    if isinstance(signed, Section):
        parts.append(signed)
    else:
        answers["signatures"] = signed
        parts += _log(context, signed, anchors)
    answers["info"] = context.ask("info")
    orphans = context.ask("orphans")
    parts.append(
        section(
            orphans,
            orphans.tables[0].name,
            name="resumes",
            title="Resumes: where the run was cut off and went on",
            look=context.look(),
        )
    )
    options: dict[str, Any] = {
        "key": list(anchors.keys),
        "quorum": "FILE" if anchors.quorum else None,
        "witness": list(anchors.witnesses),
    }
    return Page(
        name="verify",
        title="Verification",
        lead="is anything missing, altered, reordered or unexplained?",
        sections=tuple(parts),
        commands=(context.command("verify", **options),),
        answers=answers,
        extra={"report": dict(latest.result) if latest and latest.result else None},
        live_seconds=1.0 if is_live else 0.0,
    )


def start_verify(context: Context) -> str:
    """Start a verification and return the address of its page."""
    site, anchors = context.site, _anchors(context)
    asked = {
        "keys": list(anchors.keys),
        "quorum": anchors.quorum,
        "witness": list(anchors.witnesses),
    }
    site.work.start("verify", site.desk.place(context.run), asked)
    return context.here()


def _anchors(context: Context) -> Anchors:
    """Return the keys and the quorum of the address beside those that the server was given."""
    keys = [line.strip() for text in context.arguments.many("key") for line in text.splitlines()]
    quorum = context.arguments.text("quorum", "") or ""
    # Browsers send line ends of their own.
    quorum = quorum.replace("\r\n", "\n")
    return context.site.anchors.with_these([key for key in keys if key], quorum)


def _form(context: Context) -> Form:
    given = context.arguments
    return Form(
        context.path("verify"),
        (
            Control(
                "key",
                "verifier keys from elsewhere, one per line",
                "lines",
                "\n".join(given.many("key")),
                hint="NAME+ID+KEY, as key show prints it",
            ),
            Control(
                "quorum",
                "quorum of witnesses",
                "lines",
                given.text("quorum", "") or "",
                hint="witness a VKEY / group g 1 a b / quorum g",
            ),
        ),
        "Check signatures",
    )


def _start(context: Context, *, is_again: bool) -> Form:
    kept = [item for item in context.arguments.items if item[0] in {"key", "quorum"}]
    return Form(
        context.path("verify"),
        tuple(Control(name, "", "hidden", text) for name, text in kept),
        "Verify again" if is_again else "Verify now",
        "post",
        note="recomputes digests, root hashes, sums and decisions; executes nothing",
    )


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
    if latest.is_under_way:
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
        Fact("at", latest.moment),
        Fact("with", _with(latest)),
        Fact("leaves under the checkpoint", str(result["leaves"])),
        Fact("signed by", ", ".join(result["signed_by"]) or "nobody"),
    )
    return Section(
        "state",
        "Clean" if result["clean"] else "Something is not as recorded",
        facts=facts,
        tone="good" if result["clean"] else "bad",
        forms=(start,),
        is_live=True,
    )


def _with(piece: Piece) -> str:
    """Return in words what a verification rested on besides the run."""
    asked = piece.request["arguments"]
    parts = [f"{len(asked['keys'])} keys"] if asked.get("keys") else []
    parts += ["a quorum"] if asked.get("quorum") else []
    parts += [f"{len(asked['witness'])} witnesses"] if asked.get("witness") else []
    return ", ".join(parts) or "nothing from elsewhere"


def _signed(context: Context, anchors: Anchors) -> Answer | Section:
    """Return the signatures of the log, or why they cannot be read: that is a finding too."""
    try:
        return context.ledger.signatures(anchors.keys, quorum=anchors.policy)
    except GradledgerError as error:
        return Section(
            "log",
            "The log cannot be read",
            lead=f"{error.code}: {error.observed}; expected {error.expected}.",
            tone="bad",
        )


def _log(context: Context, signed: Answer, anchors: Anchors) -> list[Section]:
    """Return checkpoint, signatures, known keys, witnesses that are asked, and the history."""
    head = Section(
        "log",
        "The log's last checkpoint",
        mark="exact",
        facts=facts(signed),
        tone="bad" if signed.findings else "",
        text=_as_stored(context),
        notes=signed.notes,
    )
    if anchors.is_empty:
        head = replace(
            head,
            lead="No key from elsewhere was given: signatures are tried with the log's own keys.",
        )
    odd = any(row["problem"] for row in signed.table("checkpoints").records())
    hidden = () if odd else ("problem",)
    parts = [
        section(
            signed,
            name,
            look=context.look(name, "signatures", link=None, hide=hidden),
        )
        for name in ("signatures", "keys", "checkpoints")
    ]
    if anchors.witnesses:
        parts[0] = replace(parts[0], lead="Verification also asks: " + ", ".join(anchors.witnesses))
    return [head, *parts]


def _as_stored(context: Context) -> str | None:
    place = context.site.desk.place(context.run) / "log" / "checkpoint"
    return place.read_text(encoding="utf-8", errors="replace")[:20_000] if place.is_file() else None


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
