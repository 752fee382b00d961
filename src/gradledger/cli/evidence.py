"""``gradledger receipt``, ``bundle``, ``absence``, ``check`` and ``forget``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gradledger.cli.options import (
    AsJson,
    ContentClass,
    Example,
    License,
    Rule,
    RunDir,
    Source,
    Where,
    filters,
)
from gradledger.cli.output import EXIT_CLEAN, EXIT_ERROR, EXIT_FINDINGS, say, show
from gradledger.errors import LogError
from gradledger.evidence import LIMITS, Checked, check_evidence, forget_source
from gradledger.ledger import open_ledger
from gradledger.log import (
    KEY_VARIABLE,
    QuorumPolicy,
    SigningKey,
    VerifierKey,
    key_from_environment,
    load_key,
)
from gradledger.query import Answer, Column, Table, inert
from gradledger.segment import cannot_read

Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", metavar="FILE", help="File to write; never overwritten."),
]
Hide = Annotated[
    list[str] | None,
    typer.Option(
        "--hide",
        metavar="COLUMN",
        help="Leave the texts of this column out; their digests stay in the rows. May be repeated.",
    ),
]
Keys = Annotated[
    list[str] | None,
    typer.Option(
        "--key",
        metavar="KEY",
        help="Verifier key of the log that you have from its owner, or a file that holds it. May "
        "be repeated.",
    ),
]
SigningFile = Annotated[
    Path | None,
    typer.Option(
        "--key", metavar="FILE", help=f"File with the signing key. Default: ${KEY_VARIABLE}."
    ),
]


def receipt(
    run: RunDir,
    *,
    visit: Annotated[
        str | None, typer.Option("--visit", metavar="STEP:MICRO:POSITION", help="One visit.")
    ] = None,
    example: Example = None,
    decision: Annotated[
        int | None, typer.Option("--decision", metavar="N", help="A decision and its rules.")
    ] = None,
    step: Annotated[
        int | None, typer.Option("--step", metavar="N", help="A step, its books and its visits.")
    ] = None,
    state: Annotated[
        int | None, typer.Option("--state", metavar="N", help="The model state after step N.")
    ] = None,
    hide: Hide = None,
    out: Out = None,
    as_json: AsJson = False,
) -> int:
    """Write a receipt: rows of the record with proofs that hold without the run.

    An example comes with all its visits and the decisions on it.
    """
    with open_ledger(run) as ledger:
        answer = ledger.receipt(
            example,
            visit=visit,
            decision=decision,
            step=step,
            state=state,
            hide=hide or (),
            out=out,
        )
        return show(answer, as_json=as_json)


def bundle(
    run: RunDir,
    *,
    example: Example = None,
    source: Source = None,
    license: License = None,  # noqa: A002 - the name of the option
    content_class: ContentClass = None,
    rule: Rule = None,
    where: Where = None,
    hide: Hide = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR|ZIP", help="Folder, or archive ending in .zip."),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Write what an auditor or rights holder is handed: rows, proofs, policies, and a text."""
    wanted = filters(where, source=source, license=license, content_class=content_class, rule=rule)
    with open_ledger(run) as ledger:
        answer = ledger.bundle(example, where=wanted, hide=hide or (), out=out)
        return show(answer, as_json=as_json)


def absence(
    run: RunDir,
    *,
    content: Annotated[
        Path | None,
        typer.Option(
            "--content",
            metavar="FILE",
            help="A .safetensors, .npz or .npy file with one item as the data set yields it.",
        ),
    ] = None,
    commitment: Annotated[
        str | None, typer.Option("--commitment", metavar="HEX", help="A commitment, in its place.")
    ] = None,
    out: Out = None,
    as_json: AsJson = False,
) -> int:
    """Write proofs that content is not among the commitments that the run sealed.

    Exits with 1, and writes nothing, where it is there.
    """
    with open_ledger(run) as ledger:
        answer = ledger.absence(content, commitment=commitment, out=out)
        return show(answer, as_json=as_json)


def check(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Receipts, bundles, statements.")
    ],
    *,
    key: Keys = None,
    quorum: Annotated[
        Path | None,
        typer.Option(
            "--quorum", metavar="FILE", help="Which witnesses must have cosigned (tlog-policy)."
        ),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option("--model", metavar="DIR", help="The model that a statement is about."),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Check evidence that you were handed, without the run and without a network.

    Exits with 1 where anything is wrong with any of the files.
    """
    trusted = [_verifier(text) for text in key or ()]
    policy = QuorumPolicy.read(quorum) if quorum else None
    checked = {str(path): check_evidence(path, trusted, policy, model) for path in files}
    return show(_checked_answer(checked), as_json=as_json)


def forget(
    run: RunDir,
    *,
    source: Annotated[str, typer.Option("--source", metavar="NAME", help="The source to forget.")],
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Why; stands in the log for good.")
    ] = "",
    key: SigningFile = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> int:
    """Destroy the salt of a source, so that nobody can link its contents to the record any more.

    Proofs stay valid. This cannot be undone, and asks first.
    """
    with open_ledger(run) as ledger:
        run_id = ledger.begin.run_id
    for limit in LIMITS:
        say(f"note: {limit}")
    if not yes and not typer.confirm(
        f"Destroy the salt of {inert(source)} for good?", default=False, err=True
    ):
        say("nothing was destroyed")
        return EXIT_ERROR
    done = forget_source(run, run_id, source, reason=reason, key=signing_key(key))
    answer = Answer(
        question="forget",
        title=f"Forgotten: {source}",
        kind="accounting",
        facts={
            "salt": "destroyed" if done.destroyed else "was gone already",
            "recorded in the log as leaf": "no log" if done.leaf is None else done.leaf,
        },
        notes=LIMITS,
    )
    show(answer, as_json=as_json)
    return EXIT_CLEAN


def signing_key(path: Path | None, *, needed: bool = False) -> SigningKey | None:
    """Return the signing key of a file, or of the environment; None where there is none."""
    if path is not None:
        return load_key(path)
    try:
        return key_from_environment()
    except LogError as error:
        if needed or error.code != "L103":
            raise
        return None


def _verifier(text: str) -> VerifierKey:
    path = Path(text)
    try:
        if "+" not in text or path.is_file():
            text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError):
            raise cannot_read(path, error) from error
        text = ""
    return VerifierKey.parse(text)


def _checked_answer(checked: dict[str, Checked]) -> Answer:
    columns = (
        Column("file", "file"),
        Column("code", "code"),
        Column("title", "finding", wraps=True),
        Column("place", "place", wraps=True),
        Column("observed", "observed", wraps=True),
        Column("expected", "expected", wraps=True),
    )
    rows: list[tuple[Any, ...]] = [
        (name, item.code, item.title, item.place, item.observed, item.expected)
        for name, found in checked.items()
        for item in found.findings
    ]
    wrong = sum(1 for found in checked.values() if not found.is_sound)
    notes = []
    for name, found in checked.items():
        if found.is_sound:
            notes += [f"{name}: proved: {sentence}" for sentence in found.proved]
            notes += [f"{name}: not proved: {sentence}" for sentence in found.not_proved]
    return Answer(
        question="check",
        title="Check of evidence",
        kind="accounting",
        facts={
            **{
                name: f"{found.kind}, {found.about}: {'holds' if found.is_sound else 'REFUSED'}"
                for name, found in checked.items()
            },
            "files with findings": wrong,
        },
        tables=(Table("findings", "Findings and notices (from V900 on)", columns, tuple(rows)),),
        notes=tuple(dict.fromkeys(notes)),
        findings=EXIT_FINDINGS if wrong else EXIT_CLEAN,
    )
