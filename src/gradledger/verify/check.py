"""Run all checks, or those of the log, and gather what they find."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from gradledger.canon import parse_json, read_leaf
from gradledger.errors import InputError, StorageError
from gradledger.log import LOG_FOLDER, HttpWitness, QuorumPolicy, VerifierKey
from gradledger.schema import FORMAT, Leaf
from gradledger.verify.files import check_names, erased_places, logged_files
from gradledger.verify.finding import Finding
from gradledger.verify.model_states import stored_weights
from gradledger.verify.parts import checked_files, files_part, state_digest, state_part
from gradledger.verify.progress import OnProgress, Progress, untold
from gradledger.verify.recorded import Scope
from gradledger.verify.records import check_states_and_files, check_tables, is_recorded
from gradledger.verify.report import Report, make_report
from gradledger.verify.share import share
from gradledger.verify.signatures import check_signatures
from gradledger.verify.statements import read_bytes, read_statements
from gradledger.verify.tree import check_tree
from gradledger.verify.uncovered import check_uncovered
from gradledger.verify.witnessed import check_witnessed

_BEGIN_NAME: Final = "run.json"
_ALL: Final = Scope()
#: Members by which a begin record is known as a run's; a log can be of something else, too.
_OF_A_RUN: Final = frozenset({"format", "groups", "optimizer", "settings"})


def check_log(
    run_dir: Path,
    trusted: Sequence[VerifierKey] = (),
    quorum: QuorumPolicy | None = None,
) -> list[Finding]:
    """Check the log of a run: every leaf, tile, root hash, checkpoint and signature.

    Args:
        run_dir: The run; nobody should be writing it.
        trusted: Keys of the log, from elsewhere than the run. Without one, a log that was made anew
            from the first leaf to the last signature cannot be told from the true one, and a notice
            says so.
        quorum: Which witnesses must have cosigned.

    Returns:
        All findings and notices.

    Raises:
        StorageError: A file cannot be read, so that nothing can be said. Code S113.
    """
    return _check_log(_existing(run_dir), trusted, quorum)[0]


def check_run(
    run_dir: Path,
    trusted: Sequence[VerifierKey] = (),
    quorum: QuorumPolicy | None = None,
    *,
    witnessed: Sequence[Path | HttpWitness] = (),
    parents: Sequence[Path] = (),
    scope: Scope = _ALL,
    processes: int | None = None,
    on_progress: OnProgress = untold,
) -> Report:
    """Check the log of a run, every file that its leaves commit to, and what the records say.

    Args:
        run_dir: The run; nobody should be writing it.
        trusted: As for ``check_log``.
        quorum: As for ``check_log``.
        witnessed: Folders of witnesses, or where they are asked: what each saw last must be part of
            this log.
        parents: Runs that may be the one that this was forked from; those beside it are tried too.
        scope: Only what concerns a step or an example; the log itself is checked whole.
        processes: How many read files; None takes one per core where there is enough to read. The
            report is the same with any number.
        on_progress: Told what is checked, and how many bytes of files lie behind.

    Raises:
        LogError: The memory of a witness cannot be read (L132), or it cannot be asked (L141,
            L190).
        StorageError: A file cannot be read, so that nothing can be said. Code S113.
    """
    run_dir = _existing(run_dir)
    on_progress(Progress("log"))
    findings, leaves = _check_log(run_dir, trusted, quorum)
    findings += check_witnessed(run_dir, witnessed)
    if leaves is not None:
        findings += _check_rest(run_dir, leaves, scope, parents, processes, on_progress)
    return make_report(run_dir, findings)


def _check_rest(
    run_dir: Path,
    leaves: Sequence[Leaf | None],
    scope: Scope,
    parents: Sequence[Path],
    processes: int | None,
    on_progress: OnProgress,
) -> list[Finding]:
    """Check files and records: by several processes where asked, in one order always."""
    recorded = is_recorded(run_dir)
    states = stored_weights(run_dir) if recorded and scope.whole else {}
    erased = erased_places(leaves)
    files = [
        files_part(run_dir, leaf, index, places, erased)
        for index, leaf, places in logged_files(leaves, scope)
    ]
    parts = [*files, *(state_part(path, step) for step, path in states.items())]
    about_tables: list[Finding] = []

    def check_tables_here() -> None:
        """Only one process reads the tables as a whole; nothing can be taken from it."""
        if recorded:
            about_tables.extend(check_tables(run_dir, leaves, scope))

    answers = iter(share(parts, check_tables_here, processes, on_progress))
    checked = [checked_files(next(answers)) for _ in files]
    state_digests = {step: state_digest(next(answers)) for step in states}
    digests = {place: said for item in checked for place, said in item.digests.items()}
    findings = [finding for item in checked for finding in item.findings]
    findings += check_names(run_dir, leaves)
    findings += about_tables
    if recorded:
        on_progress(Progress("manifest"))
        findings += check_states_and_files(run_dir, leaves, scope, state_digests, digests, parents)
    elif _claims_a_run(run_dir):
        observed = "a begin record of another form"
        findings.append(Finding("V405", _BEGIN_NAME, observed, f"the format {FORMAT}"))
    return findings


def _claims_a_run(run_dir: Path) -> bool:
    """Whether a begin record is a run's, so that there are records which nothing has checked."""
    try:
        record = parse_json(read_bytes(run_dir / _BEGIN_NAME) or b"", _BEGIN_NAME)
    except InputError:
        return False  # missing or altered, which its leaf says
    return isinstance(record, dict) and not record.keys().isdisjoint(_OF_A_RUN)


def _check_log(
    run_dir: Path, trusted: Sequence[VerifierKey], quorum: QuorumPolicy | None
) -> tuple[list[Finding], list[Leaf | None] | None]:
    """Return what was found, and the leaves; None where they cannot be told."""
    log_dir = run_dir / LOG_FOLDER
    found = read_statements(log_dir)
    if isinstance(found, Finding):
        return [found], None
    tree, findings = check_tree(log_dir, found)
    if tree is None:
        return [*found.findings, *findings], None
    leaves, malformed = _read_leaves(run_dir, tree.leaves)
    signatures = check_signatures(found, leaves, trusted, quorum)
    uncovered: list[Finding] = []
    if found.description.signed:
        leaves, uncovered = check_uncovered(leaves, tree.num_published)
    return [*found.findings, *findings, *malformed, *signatures, *uncovered], leaves


def _read_leaves(
    run_dir: Path, contents: Sequence[bytes]
) -> tuple[list[Leaf | None], list[Finding]]:
    run_id, leaves, findings = _run_id(run_dir), [], []
    for index, content in enumerate(contents):
        leaf: Leaf | None = None
        try:
            leaf = read_leaf(content)
        except InputError as error:
            findings.append(Finding("V201", f"leaf {index}", error.observed, error.expected))
        if leaf is not None and run_id is not None and leaf.run_id != run_id:
            findings.append(Finding("V202", f"leaf {index}", f"run {leaf.run_id}", run_id))
        leaves.append(leaf)
    return leaves, findings


def _run_id(run_dir: Path) -> str | None:
    """Return the identifier in the begin record; its file is checked where a leaf names it."""
    content = read_bytes(run_dir / _BEGIN_NAME)
    try:
        record: Any = parse_json(content or b"", _BEGIN_NAME)
        return str(record["run_id"])
    except (InputError, KeyError, TypeError):
        return None


def _existing(run_dir: Path) -> Path:
    run_dir = Path(run_dir)
    if not run_dir.is_dir():
        raise StorageError(
            "S113",
            observed="no such directory",
            expected="a run",
            where=str(run_dir),
            hint="check that the path is right and that you may read it",
        )
    return run_dir
