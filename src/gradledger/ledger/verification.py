"""Verification as a question to the ledger, and to runs that are too damaged to be opened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from gradledger.errors import LogError, QueryError
from gradledger.evidence import check_erasures
from gradledger.log import LogReader, QuorumPolicy, VerifierKey, has_log
from gradledger.report import SignedLog
from gradledger.verify import Report, Scope, check_answer, check_run


def verify_run(
    run_dir: str | Path,
    keys: Sequence[str | Path | VerifierKey] = (),
    *,
    quorum: str | Path | None = None,
    witness: Sequence[str | Path] = (),
    step: int | None = None,
    example: int | None = None,
    answer: str | Path | None = None,
    on_progress: Callable[[str], None] = lambda _: None,
) -> Report:
    """Check everything that can be checked without executing anything; needs no torch.

    Args:
        run_dir: The run; nobody should be writing it.
        keys: Verifier keys that the log must be signed by, as text or in files, from elsewhere than
            the run.
        quorum: File that says which witnesses must have cosigned.
        witness: Folders of witnesses: what each saw last must be part of the log.
        step: Check only the log, and what concerns this step.
        example: Check only the log and the files, and what concerns this example.
        answer: File of an answer to a challenge, to be compared with the record too.
        on_progress: Told in a few words what is checked next.

    Returns:
        All findings; what is wrong is a finding, never an exception.

    Raises:
        LogError: A key (L101) or the quorum file (L151) cannot be read.
        QueryError: Both a step and an example are given, or a negative number. Code Q110.
        StorageError: A file cannot be read, so that nothing can be said. Code S113.
    """
    given = [number for number in (step, example) if number is not None]
    if len(given) > 1 or any(number < 0 for number in given):
        raise QueryError(
            "Q110",
            observed=f"step {step}, example {example}",
            expected="one of them, from 0",
            where="verify",
        )
    report = check_run(
        Path(run_dir),
        [_key(key) for key in keys],
        QuorumPolicy.read(Path(quorum)) if quorum is not None else None,
        witnessed=[Path(folder) for folder in witness],
        scope=Scope(step, example),
        on_progress=on_progress,
    )
    if not given:
        on_progress("certificates of erasure")
        found = check_erasures(Path(run_dir))
        report = replace(report, findings=(*report.findings, *found))
    if answer is not None:
        on_progress("answer")
        compared = check_answer(Path(run_dir), Path(answer))
        report = replace(report, findings=(*report.findings, *compared))
    return report


def signed_log_of(run_dir: Path) -> SignedLog | None:
    """Verify a run whose log is signed, for reports that rest on it; None where nobody signs.

    Raises:
        StorageError: A file cannot be read. Code S113.
    """
    try:
        if not has_log(run_dir) or not LogReader(run_dir).signed:
            return None
    except LogError as error:
        return SignedLog("", 0, "", (), (error.observed,))
    found = check_run(run_dir)
    wrong = tuple(str(finding) for finding in found.findings if not finding.is_notice)
    return SignedLog(found.origin, found.num_leaves, found.root, found.signers, wrong)


def _key(given: str | Path | VerifierKey) -> VerifierKey:
    if isinstance(given, VerifierKey):
        return given
    if Path(given).is_file():
        return VerifierKey.parse(Path(given).read_text(encoding="utf-8", errors="replace"))
    return VerifierKey.parse(str(given))
