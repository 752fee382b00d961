"""A report: evidence with the forms in which it can be written, and the gate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gradledger.errors import QueryError
from gradledger.query import inert
from gradledger.query.names import allowed
from gradledger.query.records import Records
from gradledger.report.evidence import Evidence, Figure, LogCheck, unsigned
from gradledger.report.gate import Violation, parse_gate, violations
from gradledger.report.render_json import document
from gradledger.report.renderers import RENDERERS
from gradledger.report.rights import rights
from gradledger.report.safety import safety
from gradledger.segment import write_bytes_atomic

#: Kind of report -> how its evidence is gathered.
KINDS: Final[dict[str, Callable[..., Evidence]]] = {"rights": rights, "safety": safety}

#: Characters of one line of the summary before it is cut.
_LONGEST: Final = 1000


@dataclass(frozen=True)
class Report:
    """What ``ledger.report`` returns.

    Attributes:
        evidence: Everything that the report says.
        run_dir: The run that it is about.
    """

    evidence: Evidence
    run_dir: Path

    @property
    def gauges(self) -> dict[str, Figure]:
        """Figures by the names that a gate knows."""
        return dict(self.evidence.gauges)

    def check(self, expression: str) -> tuple[Violation, ...]:
        """Return what violates a gate, such as ``unknown>0.05,denied-visits>0``.

        Args:
            expression: Conditions with commas between; each describes a failure.

        Raises:
            QueryError: Q141 expression, Q142 a figure that the report does not have.
        """
        return violations(self.evidence.gauges, parse_gate(expression))

    def render(self, form: str = "html") -> str:
        """Return the whole report as ``html`` or ``json``.

        Raises:
            QueryError: Q110 where there is no such form.
        """
        return RENDERERS[allowed("format", form, tuple(RENDERERS))].render(self.evidence)

    def to_html(self) -> str:
        """Return the report as one HTML page that loads and runs nothing."""
        return self.render("html")

    def to_json(self) -> str:
        """Return the report as JSON in ASCII."""
        return self.render("json")

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        return document(self.evidence)

    def default_path(self, form: str = "html") -> Path:
        """Return where the report is written unless something else is asked for: beside the run."""
        suffix = RENDERERS[allowed("format", form, tuple(RENDERERS))].suffix
        return self.run_dir.with_name(f"{self.run_dir.name}.{self.evidence.kind}{suffix}")

    def write(self, path: str | Path | None = None, form: str = "html") -> Path:
        """Write the report to a file, whole or not at all, and return its place.

        Args:
            path: The file; by default ``RUN.KIND.html`` beside the run.
            form: ``html`` or ``json``.

        Raises:
            QueryError: Q110 form, or a place inside the run, whose files are sealed.
            StorageError: S112 the disk refuses.
        """
        place = Path(path) if path is not None else self.default_path(form)
        if self.run_dir.resolve() in place.resolve().parents:
            raise QueryError(
                "Q110",
                observed=f"{place}, inside the run",
                expected="a place outside the run, whose files are sealed",
                where="report",
                hint=f"write it to {self.default_path(form)}",
            )
        write_bytes_atomic(place, self.render(form).encode())
        return place

    def __str__(self) -> str:
        """Return the verdicts in a few lines."""
        rows = [f"{self.evidence.title}: {self.evidence.subject.run_name}"]
        rows += [
            f"  {item.answer:<9} {item.question}. {item.because}" for item in self.evidence.verdicts
        ]
        return "\n".join(inert(row, _LONGEST) for row in rows)


def make_report(
    records: Records,
    run_dir: Path,
    kind: str = "rights",
    *,
    as_of: str | None = None,
    signed_log: LogCheck = unsigned,
) -> Report:
    """Gather a report on a run.

    Args:
        records: The run.
        run_dir: Its directory, as the caller named it.
        kind: ``rights`` or ``safety``.
        as_of: Date or moment for which rights are judged; by default the close of the run.
        signed_log: Gives the signed log, where the run has one and it was checked; called once the
            rest is gathered.

    Raises:
        QueryError: Q110 kind or date, Q111 no steps.
        StorageError: S113 a file of the run cannot be read.
    """
    gather = KINDS[allowed("report", kind, tuple(KINDS))]
    return Report(gather(records, as_of=as_of, signed_log=signed_log), run_dir)
