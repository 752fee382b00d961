"""Verification as a question to the ledger, and to runs that are too damaged to be opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gradledger.errors import LogError, QueryError
from gradledger.evidence import check_erasures
from gradledger.ledger.signatures import signatures
from gradledger.log import (
    HttpWitness,
    KeyKind,
    LogReader,
    QuorumPolicy,
    VerifierKey,
    has_log,
    is_url,
    witnesses_at,
)
from gradledger.query import Answer
from gradledger.report import SignedLog
from gradledger.verify import (
    OnProgress,
    Progress,
    Report,
    Scope,
    check_answer,
    check_run,
    untold,
)


def verify_run(
    run_dir: str | Path,
    keys: Sequence[str | Path | VerifierKey] = (),
    *,
    quorum: str | Path | None = None,
    witness: Sequence[str | Path] = (),
    parent: Sequence[str | Path] = (),
    step: int | None = None,
    example: int | None = None,
    answer: str | Path | None = None,
    processes: int | None = None,
    on_progress: OnProgress = untold,
) -> Report:
    """Check everything that can be checked without executing anything; needs no torch.

    Args:
        run_dir: The run; nobody should be writing it.
        keys: Verifier keys that the log must be signed by, as text or in files, from elsewhere than
            the run.
        quorum: File that says which witnesses must have cosigned.
        witness: Folders of witnesses, URLs of witnesses, or files of quorum policies that name
            both URLs and keys: what each saw last must be part of the log. The key of a witness at
            a URL stands among ``keys`` or in the quorum file.
        parent: Runs that may be the one that this was forked from; those beside it are tried too.
        step: Check only the log, and what concerns this step.
        example: Check only the log and the files, and what concerns this example.
        answer: File of an answer to a challenge, to be compared with the record too.
        processes: How many read files; None takes one per core where there is enough to read.
        on_progress: Told what is checked, and how many bytes of files lie behind.

    Returns:
        All findings; what is wrong is a finding, never an exception.

    Raises:
        LogError: A key (L101) or the quorum file (L151) cannot be read, or a witness cannot be
            asked (L141, L190).
            A process died (L193).
        QueryError: Both a step and an example are given, or a number that is too small. Code Q110.
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
    if processes is not None and processes < 1:
        raise QueryError(
            "Q110", observed=f"{processes} processes", expected="1 or more", where="verify"
        )
    given_keys = [_key(key) for key in keys]
    policy = QuorumPolicy.read(Path(quorum)) if quorum is not None else None
    report = check_run(
        Path(run_dir),
        [key for key in given_keys if key.kind is KeyKind.LOG],
        policy,
        witnessed=[found for place in witness for found in _witnesses(place, given_keys, policy)],
        parents=[Path(place) for place in parent],
        scope=Scope(step, example),
        processes=processes,
        on_progress=on_progress,
    )
    if not given:
        on_progress(Progress("certificates of erasure"))
        found = check_erasures(Path(run_dir))
        report = replace(report, findings=(*report.findings, *found))
    if answer is not None:
        on_progress(Progress("answer"))
        compared = check_answer(Path(run_dir), Path(answer))
        report = replace(report, findings=(*report.findings, *compared))
    return report


def signatures_of(
    run_dir: Path,
    keys: Sequence[str | Path | VerifierKey] = (),
    quorum: str | Path | QuorumPolicy | None = None,
) -> Answer:
    """Return who signed and witnessed the log of a run, with keys and quorum as they are given.

    Raises:
        LogError: L101 a key, L151 the quorum file, or the log is malformed (L111, L113, L132).
        StorageError: A file cannot be read. Code S113.
    """
    policy = QuorumPolicy.read(Path(quorum)) if isinstance(quorum, str | Path) else quorum
    return signatures(run_dir, [_key(key) for key in keys], policy)


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


def _witnesses(
    place: str | Path, keys: Sequence[VerifierKey], policy: QuorumPolicy | None
) -> Sequence[Path | HttpWitness]:
    """Return what a place stands for: a folder, a witness at a URL, or those of a policy."""
    if not is_url(str(place)):
        return [Path(place)] if not Path(place).is_file() else witnesses_at(place, ())
    listed = policy.urls if policy else {}
    known = (
        [policy.witnesses[name] for name, url in listed.items() if url == place] if policy else []
    )
    return witnesses_at(place, known or keys)


def _key(given: str | Path | VerifierKey) -> VerifierKey:
    if isinstance(given, VerifierKey):
        return given
    if Path(given).is_file():
        return VerifierKey.parse(Path(given).read_text(encoding="utf-8", errors="replace"))
    return VerifierKey.parse(str(given))
