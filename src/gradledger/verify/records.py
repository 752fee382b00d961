"""Everything that a run's records say, checked against itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa

from gradledger.errors import GradledgerError
from gradledger.log import MANIFEST_NAME, check_manifest
from gradledger.schema import FORMAT, Leaf
from gradledger.verify.admission import check_admission
from gradledger.verify.authority import check_authority, check_commitments
from gradledger.verify.balance import check_balance
from gradledger.verify.files import erased_places
from gradledger.verify.finding import Finding
from gradledger.verify.model_states import check_states
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


def check_all_records(
    run_dir: Path,
    leaves: Sequence[Leaf | None],
    scope: Scope,
    on_progress: Callable[[str], None],
) -> list[Finding]:
    """Run every check of the records; one that cannot go on leaves a finding of its own.

    Args:
        run_dir: The run.
        leaves: Its leaves.
        scope: What of it is checked.
        on_progress: Told the name of every check before it starts.
    """
    found = Recorded(run_dir, scope)
    try:
        if found.begin.get("format") != FORMAT:
            return []  # a log of something else; its files are checked all the same
    except (GradledgerError, TypeError, ValueError):
        return []  # the begin record is missing or altered, which its leaf says
    checks: tuple[tuple[str, Check], ...] = (
        ("order of the leaves", lambda item: check_order(item, leaves)),
        ("small records", lambda item: check_records(item, leaves)),
        ("steps and visits", check_sequence),
        ("books", check_balance),
        ("decisions", check_admission),
        ("permitted weights", check_authority),
        ("commitments", lambda item: check_commitments(item, leaves)),
        ("model states", lambda item: check_states(item, erased_places(leaves))),
        ("manifest", _check_manifest),
    )
    findings: list[Finding] = []
    for name, check in checks:
        on_progress(name)
        try:
            findings += check(found)
        except GradledgerError as error:
            observed = f"{error.code}: {error.observed}"
            findings.append(Finding("V405", name, f"{observed:.300}", "records that can be read"))
        except _UNREADABLE as error:
            observed = f"{type(error).__name__}: {error}"
            findings.append(Finding("V405", name, f"{observed:.300}", "records that can be read"))
    return findings


def _check_manifest(found: Recorded) -> Iterator[Finding]:
    if found.end is None or not found.scope.whole:
        return
    for item in check_manifest(found.run_dir):
        place = item.place if item.place == MANIFEST_NAME else f"{MANIFEST_NAME}: {item.place}"
        yield Finding("V306", place, item.observed, item.expected)
