"""Runs that lack something or hold a fault: the report says so, and the gate sees it."""

from __future__ import annotations

import datetime
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from make_run import make_run

from gradledger.errors import QueryError
from gradledger.log import write_manifest

GROUPS = range(6)


def test_without_a_policy_no_visit_has_an_authority(tmp_path, make, answers) -> None:
    truth = make_run(tmp_path / "run")
    _edit(truth.path / "run.json", policy={})
    report = make(truth.path)
    assert answers(report)["authority"] == "no"
    assert report.gauges["ungoverned-visits"].value == 80
    assert "had no policy" in report.to_html()
    assert [str(item.condition) for item in report.check("ungoverned-visits>0")]


def test_an_unclosed_run_is_reported_as_such(tmp_path, make, answers) -> None:
    truth = make_run(tmp_path / "run", closed=False)
    report = make(truth.path)
    assert answers(report)["files"] == "not known"
    assert report.gauges["unclosed"].value == 1
    assert report.gauges["manifest-differences"].value is None
    assert len(report.check("manifest-differences>0,unclosed>0")) == 2, "not known fails a gate"
    assert "was not closed" in report.to_html()
    assert report.evidence.subject.as_of.startswith("2026-01-02T03:04:05")


def test_without_settling_shares_are_of_energy_and_named_so(tmp_path, make, rows) -> None:
    truth = make_run(tmp_path / "run", displacement=False)
    report = make(truth.path)
    groups = range(7)
    whole = sum(truth.whole(g) for g in groups)
    expected = sum(truth.energy(g, [0, 1, 2]) for g in GROUPS) / whole
    row = next(row for row in rows(report, "by_source") if row["key"] == "pkg:a")
    assert row["share"] == pytest.approx(expected, rel=1e-5)
    column = next(
        column
        for section in report.to_dict()["sections"]
        for grid in section["tables"]
        if grid["name"] == "by_source"
        for column in grid["columns"]
        if column["name"] == "share"
    )
    assert column["method"].startswith("share of energy (cash basis)")
    assert "Displacement was not settled" in report.to_html()
    assert "share of energy" in report.gauges["unknown-share"].label


def test_at_level_decisions_visits_are_counted_and_nothing_is_weighed(
    tmp_path, make, rows, answers
) -> None:
    truth = make_run(tmp_path / "run", level="decisions", displacement=False)
    report = make(truth.path)
    assert "share" not in rows(report, "by_class")[0]
    assert rows(report, "by_class")[-1]["visits"] == 80
    assert "unknown-share" not in report.gauges
    assert answers(report)["depth"] == "not known"
    assert "visits are counted" in report.to_html()


def test_unbalanced_books_are_a_no(tmp_path, make, answers) -> None:
    truth = make_run(tmp_path / "run")
    path = truth.path / "books" / "part-000000.parquet"
    held = pq.read_table(path)
    verdicts = held.column("verdict").to_pylist()
    verdicts[3] = "unbalanced"
    place = held.schema.get_field_index("verdict")
    pq.write_table(held.set_column(place, "verdict", pa.array(verdicts)), path)
    report = make(truth.path)
    assert answers(report)["books"] == "no"
    assert report.gauges["unbalanced"].value == 1
    assert "unbalanced>0: books that do not balance is 1" in map(str, report.check("unbalanced>0"))


def test_the_synthetic_run_has_books_that_are_not_finite(rights, answers) -> None:
    assert rights.gauges["not-finite"].value == 2
    assert answers(rights)["books"] == "no"


def test_a_visit_on_a_refused_decision_is_found(tmp_path, make, answers, rights) -> None:
    assert answers(rights)["authority"] == "yes"
    truth = make_run(tmp_path / "run")
    path = truth.path / "visits" / "part-000000.parquet"
    held = pq.read_table(path)
    decisions = held.column("decision").to_pylist()
    decisions[0], decisions[1] = 2, 77
    place = held.schema.get_field_index("decision")
    pq.write_table(held.set_column(place, "decision", pa.array(decisions, pa.int32())), path)
    report = make(truth.path)
    assert answers(report)["authority"] == "no"
    assert report.gauges["denied-visits"].value == 1
    assert report.gauges["undecided-visits"].value == 1


def test_a_gradient_at_weight_0_is_found(tmp_path, make, answers, rights) -> None:
    assert answers(rights)["depth"] == "yes"
    truth = make_run(tmp_path / "run")
    path = truth.path / "visits" / "part-000000.parquet"
    held = pq.read_table(path)
    shallow = held.column("decision").to_pylist().index(1)
    norms = held.column("gnorm_0").to_pylist()
    assert norms[shallow] == 0.0
    norms[shallow] = 1e-6
    place = held.schema.get_field_index("gnorm_0")
    pq.write_table(held.set_column(place, "gnorm_0", pa.array(norms, pa.float32())), path)
    report = make(truth.path)
    assert answers(report)["depth"] == "no"
    assert report.gauges["leaked-gradients"].value == 1


def test_files_are_held_to_the_manifest(tmp_path, make, answers) -> None:
    truth = make_run(tmp_path / "run")
    write_manifest(truth.path)
    assert answers(make(truth.path))["files"] == "yes"
    place = truth.path / "steps" / "part-000000.parquet"
    before = make(truth.path).evidence.files
    shutil.copy(truth.path / "steps" / "part-000001.parquet", place)
    report = make(truth.path)
    assert answers(report)["files"] == "no"
    assert report.gauges["manifest-differences"].value == 1
    changed = set(report.evidence.files) - set(before)
    assert [item.path for item in changed] == ["steps/part-000000.parquet"]


@pytest.mark.parametrize("as_text", [True, False])
def test_rights_that_end(tmp_path, make, answers, rows, as_text) -> None:
    ends: list[Any] = ["2026-01-01", "2026-06-30T12:00:00Z", "2027-06-01", *[None] * 9]
    if not as_text:
        ends = pa.array(
            [end and datetime.datetime.fromisoformat(end).replace(tzinfo=datetime.UTC)
             for end in ends],
            pa.timestamp("us", tz="UTC"),
        )  # fmt: skip
    metadata = {"license": ["MIT"] * 12, "expires_at": ends}
    truth = make_run(tmp_path / "run", metadata=metadata)
    visits = {n: sum(1 for e in truth.example.values() if e == n) for n in range(3)}
    at_close = make(truth.path)
    assert at_close.gauges["lapsed-visits"].value == visits[0]
    assert answers(at_close)["ends"] == "no"
    later = make(truth.path, as_of="2026-07-01")
    assert later.gauges["lapsed-visits"].value == visits[0] + visits[1]
    held = {row["key"]: row["visits"] for row in rows(later, "ends")}
    assert held["ends within 365 days"] == visits[2]
    assert make(truth.path, as_of="2025-12-31").gauges["lapsed-visits"].value == 0


def test_an_end_that_cannot_be_read_counts_as_ended(tmp_path, make) -> None:
    metadata = {"license": ["MIT"] * 12, "valid_until": ["some day"] * 12}
    truth = make_run(tmp_path / "run", metadata=metadata)
    assert make(truth.path).gauges["lapsed-visits"].value == 80


def test_without_ends_the_report_says_so(rights) -> None:
    assert "lapsed-visits" not in rights.gauges
    assert "records no end of any right" in rights.to_html()


def test_dates_that_are_none_are_refused(truth, make) -> None:
    with pytest.raises(QueryError, match="Q110"):
        make(truth.path, as_of="tomorrow")


def test_kinds_that_are_none_are_refused(truth, make) -> None:
    with pytest.raises(QueryError, match="Q110"):
        make(truth.path, "wrongs")


def _edit(path: Path, **fields: Any) -> None:
    held = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**held, **fields}), encoding="utf-8")
