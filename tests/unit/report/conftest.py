"""The synthetic run, written once per session, and what tests of reports read from evidence."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

# Test folders are no packages: the writers of the run are found through their folder, and the
# hostile texts through the folder of the benchmarks that count them.
sys.path.insert(0, str(Path(__file__).parents[1] / "query"))
sys.path.insert(0, str(Path(__file__).parents[3]))

from make_run import Truth, make_run

from gradledger.query import open_records
from gradledger.report import Report, make_report


@pytest.fixture(scope="session")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Truth:
    return make_run(tmp_path_factory.mktemp("synthetic") / "run")


@pytest.fixture(scope="session")
def rights(truth: Truth) -> Report:
    return report_on(truth.path)


@pytest.fixture(scope="session")
def safety(truth: Truth) -> Report:
    return report_on(truth.path, "safety")


def report_on(path: Path, kind: str = "rights", as_of: str | None = None) -> Report:
    """Gather a report on a run."""
    records = open_records(path)
    try:
        return make_report(records, path, kind, as_of=as_of)
    finally:
        records.close()


@pytest.fixture(scope="session")
def make() -> Any:
    return report_on


def table(report: Report, name: str) -> list[dict[str, Any]]:
    """Return the rows of a table of the JSON form, its total last."""
    for section in report.to_dict()["sections"]:
        for grid in section["tables"]:
            if grid["name"] == name:
                return [*grid["rows"], *([grid["total"]] if grid["total"] else [])]
    message = f"no table {name}"
    raise AssertionError(message)


@pytest.fixture(scope="session")
def rows() -> Any:
    return table


@pytest.fixture(scope="session")
def answers() -> Any:
    return lambda report: {item.name: item.answer for item in report.evidence.verdicts}
