"""Findings of an examination: what was seen, what it means for recording, one next step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from gradledger.errors import GradledgerError
from gradledger.query import Column, Table

#: What a finding means: recording would be refused, or would hold less than it could.
STOPS: Final = "stops"
LIMITS: Final = "limits"


@dataclass(frozen=True)
class Finding:
    """One finding.

    Attributes:
        effect: ``stops`` or ``limits``.
        where: Module, tensor, profile or call.
        observed: What was seen.
        next_step: What to do about it.
        code: Code of the error that recording would raise; empty where it would not.
    """

    effect: str
    where: str
    observed: str
    next_step: str
    code: str = ""

    @classmethod
    def of(cls, error: GradledgerError, where: str = "") -> Finding:
        """Turn an error that recording raised, or would raise, into a finding."""
        place = where or error.where or "recording"
        observed = f"{error.title}: {error.observed}, expected {error.expected}"
        if where and error.where:
            observed += f" ({error.where})"
        return cls(STOPS, place, observed, error.hint or f"see error {error.code}", error.code)


def findings_table(findings: Iterable[Finding]) -> Table:
    """Return the findings as a table, those that stop recording first."""
    ordered = sorted(findings, key=lambda finding: finding.effect != STOPS)
    columns = (
        Column("effect", "effect"),
        Column("code", "code"),
        Column("where", "where", wraps=True),
        Column("observed", "what was seen", wraps=True),
        Column("next_step", "next step", wraps=True),
    )
    rows = tuple((f.effect, f.code, f.where, f.observed, f.next_step) for f in ordered)
    title = "Findings: what stops recording, and what limits it" if rows else "Findings: none"
    return Table("findings", title, columns, rows)
