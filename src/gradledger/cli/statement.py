"""``gradledger statement``: statements about a run in signed envelopes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from gradledger import __version__
from gradledger.cli.evidence import Out, SigningFile, signing_key
from gradledger.cli.options import AsJson, RunDir
from gradledger.cli.output import show
from gradledger.errors import LogError
from gradledger.evidence import Envelope
from gradledger.evidence import policy_statement as made_policy
from gradledger.evidence import provenance as made_provenance
from gradledger.evidence import verification as made_verification
from gradledger.ledger import open_ledger
from gradledger.log import VerifierKey
from gradledger.query import Answer, open_records
from gradledger.segment import write_bytes_atomic
from gradledger.verify import check_run


def provenance(
    run: RunDir,
    *,
    key: SigningFile = None,
    model: Annotated[
        Path | None,
        typer.Option("--model", metavar="DIR", help="Default: the last stored state."),
    ] = None,
    out: Out = None,
    as_json: AsJson = False,
) -> int:
    """State how a model was trained: its files, policies, decisions, and the log's checkpoint."""
    records = open_records(run)
    try:
        record = made_provenance(records, model)
    finally:
        records.close()
    notes: tuple[str, ...] = ()
    if record["predicate"]["recorded_state"] is None:
        notes = ("no stored state in the log holds these files: nothing ties them to the run",)
    return show(_written("provenance", record, key, out, notes), as_json=as_json)


def policy(
    run: RunDir, *, key: SigningFile = None, out: Out = None, as_json: AsJson = False
) -> int:
    """State which policies were in force, and how many examples each verdict met."""
    records = open_records(run)
    try:
        record = made_policy(records)
    finally:
        records.close()
    return show(_written("policy", record, key, out), as_json=as_json)


def verification(
    run: RunDir,
    *,
    key: SigningFile = None,
    trusted: Annotated[
        str | None,
        typer.Option("--log-key", metavar="KEY", help="Verifier key of the log, from elsewhere."),
    ] = None,
    out: Out = None,
    as_json: AsJson = False,
) -> int:
    """Verify a run and state the result; properties that findings deny are left out.

    Exits with 1 where there are findings; the statement then names their codes.
    """
    with open_ledger(run):
        keys = [VerifierKey.parse(trusted)] if trusted else []
    report = check_run(run, keys)
    moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    record = made_verification(run, report, moment, __version__)
    notes = tuple(str(finding) for finding in report.findings)
    answer = _written("verification", record, key, out, notes, findings=report.exit_code)
    return show(answer, as_json=as_json)


#: The commands, in the order in which help lists them.
STATEMENT_COMMANDS = (provenance, policy, verification)


def _written(
    name: str,
    record: dict[str, Any],
    key: Path | None,
    out: Path | None,
    notes: tuple[str, ...] = (),
    findings: int = 0,
) -> Answer:
    signer = signing_key(key, needed=True)
    path = out or Path(f"{name}.intoto.jsonl")
    if path.exists() or path.is_symlink():
        raise LogError(
            "L182",
            observed="a file",
            expected="a free name",
            where=str(path),
            hint="choose another name with --out: evidence is never overwritten",
        )
    if signer is None:
        raise LogError("L103", observed="no key", expected="a key file", where="statement")
    write_bytes_atomic(path, bytes(Envelope.sign(record, signer)))
    return Answer(
        question=f"statement {name}",
        title=f"Statement: {name}",
        kind="accounting",
        facts={
            "written to": str(path),
            "signed by": str(signer.verifier),
            "subjects": len(record["subject"]),
            "predicate type": record["predicateType"],
        },
        notes=notes,
        findings=findings,
    )
