"""What verification found, and which log it looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradledger.errors import GradledgerError
from gradledger.log import LogReader
from gradledger.verify.finding import Finding


@dataclass(frozen=True)
class Report:
    """What verification found.

    Attributes:
        findings: All findings and notices, in the order of the checks.
        origin: Name of the log; empty where it cannot be told.
        num_leaves: Leaves that the last checkpoint covers.
        root: Its root hash, hexadecimal.
        signers: Keys of the log whose signature under it holds.
    """

    findings: tuple[Finding, ...]
    origin: str = ""
    num_leaves: int = 0
    root: str = ""
    signers: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong; notices do not count."""
        return all(finding.is_notice for finding in self.findings)

    @property
    def exit_code(self) -> int:
        """0 where the run is clean, 1 where something is wrong."""
        return 0 if self.is_clean else 1

    @property
    def in_words(self) -> str:
        """The result in one line."""
        wrong = sum(not finding.is_notice for finding in self.findings)
        result = f"{wrong} finding{'s' * (wrong > 1)}" if wrong else "clean"
        signed = f"signed by {', '.join(self.signers)}" if self.signers else "signed by nobody"
        return f"verify: {result}, {self.num_leaves} leaves, {signed}"

    def __str__(self) -> str:
        """Return the result, and one line per finding."""
        return "\n".join([self.in_words, *map(str, self.findings)])

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "clean": self.is_clean,
            "findings": [
                {
                    "code": item.code,
                    "title": item.title,
                    "notice": item.is_notice,
                    "place": item.place,
                    "observed": item.observed,
                    "expected": item.expected,
                }
                for item in self.findings
            ],
            "origin": self.origin,
            "leaves": self.num_leaves,
            "root_hash": self.root,
            "signed_by": list(self.signers),
        }


def make_report(run_dir: Path, findings: Sequence[Finding]) -> Report:
    """Return the report, with what the log says of itself as far as it can be read."""
    try:
        reader = LogReader(run_dir)
    except GradledgerError:
        return Report(tuple(findings))
    head, signers = reader.checkpoint, []
    for key in reader.description.keys:
        try:
            if head.note is not None and head.note.verify([key]):
                signers.append(str(key))
        except GradledgerError:
            continue  # a signature that does not hold is a finding of its own
    return Report(tuple(findings), reader.origin, head.size, head.root.hex(), tuple(signers))
