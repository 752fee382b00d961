"""Everything that a run's records say, checked against itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa

from gradledger.errors import GradledgerError
from gradledger.log import MANIFEST_NAME, check_manifest
from gradledger.schema import FORMAT, Leaf
from gradledger.verify.authority import check_authority, check_commitments
from gradledger.verify.balance import check_balance
from gradledger.verify.files import erased_places
from gradledger.verify.finding import Finding
from gradledger.verify.fork import check_fork
from gradledger.verify.model_states import StateDigest, check_states
from gradledger.verify.order import check_order, check_records
from gradledger.verify.recorded import Recorded, Scope
from gradledger.verify.sequence import check_sequence

#: What a check meets in a record of another form; the finding names it.
_UNREADABLE: Final = (
    pa.ArrowException,
    AttributeError,
    IndexError,
    KeyError,
    OverflowError,
    TypeError,
    ValueError,
)

Check = Callable[[Recorded], Iterator[Finding]]


def is_recorded(run_dir: Path) -> bool:
    """Whether a directory is a run of this format: a log can be of something else, too."""
    try:
        return bool(Recorded(run_dir, Scope()).begin.get("format") == FORMAT)
    except (GradledgerError, TypeError, ValueError):
        return False  # the begin record is missing or altered, which its leaf says


def check_tables(run_dir: Path, leaves: Sequence[Leaf | None], scope: Scope) -> list[Finding]:
    """Run the checks of tables and small records; one that cannot go on leaves a finding."""
    return _run(
        Recorded(run_dir, scope),
        (
            ("order of the leaves", lambda item: check_order(item, leaves)),
            ("small records", lambda item: check_records(item, leaves)),
            ("steps and visits", check_sequence),
            ("books", check_balance),
            ("decisions", _check_admission),
            ("permitted weights", check_authority),
            ("commitments", lambda item: check_commitments(item, leaves)),
        ),
    )


def check_states_and_files(
    run_dir: Path,
    leaves: Sequence[Leaf | None],
    scope: Scope,
    states: Mapping[int, StateDigest],
    digests: Mapping[str, tuple[int, str]],
    parents: Sequence[Path],
) -> list[Finding]:
    """Run the checks that rest on digests which were taken before.

    Args:
        run_dir: The run.
        leaves: Its leaves.
        scope: What of it is checked.
        states: Step -> what was found of the model state there.
        digests: Length and SHA-256 of files by path.
        parents: Runs that may be the one that this was forked from.
    """
    erased = erased_places(leaves)
    return _run(
        Recorded(run_dir, scope),
        (
            ("model states", lambda item: check_states(item, states, erased)),
            ("fork", lambda item: check_fork(item, leaves, parents)),
            ("manifest", lambda item: _check_manifest(item, digests)),
        ),
    )


def _run(found: Recorded, checks: Sequence[tuple[str, Check]]) -> list[Finding]:
    findings: list[Finding] = []
    for name, check in checks:
        try:
            findings += check(found)
        except GradledgerError as error:
            observed = f"{error.code}: {error.observed}"
            findings.append(Finding("V405", name, f"{observed:.300}", "records that can be read"))
        except _UNREADABLE as error:
            observed = f"{type(error).__name__}: {error}"
            findings.append(Finding("V405", name, f"{observed:.300}", "records that can be read"))
    return findings


def _check_admission(found: Recorded) -> Iterator[Finding]:
    # Policies and what evaluates them are slow to load; a process that reads files needs none.
    from gradledger.verify.admission import check_admission

    yield from check_admission(found)


def _check_manifest(found: Recorded, digests: Mapping[str, tuple[int, str]]) -> Iterator[Finding]:
    if found.end is None or not found.scope.whole:
        return
    for item in check_manifest(found.run_dir, digests):
        place = item.place if item.place == MANIFEST_NAME else f"{MANIFEST_NAME}: {item.place}"
        yield Finding("V306", place, item.observed, item.expected)
