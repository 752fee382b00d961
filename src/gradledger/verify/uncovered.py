"""Leaves that no checkpoint covers: whoever can write the run's folder can write them.

In a signed log nobody answers for them. A crash leaves them behind, so they are no finding while a
run is open; but they excuse nothing that is missing, and add nothing to a run that has ended. What
they would excuse is removed only once a checkpoint covers them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gradledger.log import LOG_FOLDER, WAITING_NAME
from gradledger.schema import ErasureLeaf, Leaf, ResumeLeaf, RunEndLeaf
from gradledger.verify.finding import Finding

#: Kinds that explain why a file is not where a leaf before them says.
_EXCUSES: Final = (ErasureLeaf, ResumeLeaf)


def check_uncovered(
    leaves: Sequence[Leaf | None], num_covered: int
) -> tuple[list[Leaf | None], list[Finding]]:
    """Take away what leaves may not excuse that a signed log's last checkpoint does not cover.

    Args:
        leaves: All leaves, None where one is malformed.
        num_covered: How many the last checkpoint covers.

    Returns:
        The leaves, None for those that count for nothing; and what was found.
    """
    rest = leaves[num_covered:]
    kept = [None if isinstance(leaf, _EXCUSES) else leaf for leaf in rest]
    findings = []
    if rest and any(isinstance(leaf, RunEndLeaf) for leaf in leaves[:num_covered]):
        observed = f"{len(rest)} behind the end of the run"
        place = f"{LOG_FOLDER}/{WAITING_NAME}"
        findings.append(Finding("V113", place, observed, "a checkpoint that covers them"))
    return [*leaves[:num_covered], *kept], findings
