"""The figures of a rights report against queries that share no code with it."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

import duckdb
import pytest
from make_run import make_run

BREAKDOWNS = ("by_license", "by_source", "by_class", "by_rule", "by_profile", "unknown")
GROUPS = range(6)


def _ask(path: Path, sql: str) -> list[tuple[Any, ...]]:
    for folder in ("visits", "books", "displacement/visits", "displacement/lines",
                   "decisions/examples", "decisions/distinct"):  # fmt: skip
        sql = sql.replace(f"@{folder} ", f"'{path}/{folder}/*.parquet' ")
    return duckdb.sql(sql).fetchall()


def _displaced(path: Path, column: str) -> dict[str | None, float]:
    """Share of the displacement of all parameters, by a metadata column; interval 0."""
    total = " + ".join(f"share_{g}" for g in GROUPS)
    whole = _ask(
        path,
        'SELECT sum(sq) FROM (SELECT "group", any_value(displacement_sq) AS sq '
        "FROM @displacement/lines WHERE interval = 0 GROUP BY 1)",
    )[0][0]
    sums = _ask(
        path,
        "SELECT e.COLUMN, sum(TOTAL) FROM @displacement/visits v "
        "JOIN @decisions/examples e USING (example) WHERE interval = 0 GROUP BY 1".replace(
            "COLUMN", column
        ).replace("TOTAL", total),
    )
    return {key: value / whole for key, value in sums}


@pytest.mark.parametrize(("name", "column"), [("by_license", "license"), ("by_source", "source")])
def test_shares_are_those_of_an_independent_query(rights, truth, rows, name, column) -> None:
    expected = _displaced(truth.path, column)
    found = {row["key"]: row["share"] for row in rows(rights, name)[:-1]}
    assert set(found) == {key or "(not recorded)" for key in expected}
    for key, share in expected.items():
        assert found[key or "(not recorded)"] == pytest.approx(share, rel=1e-9, abs=1e-12)


def test_shares_by_block_are_those_of_the_vectors(rights, truth, rows) -> None:
    """Block 1 holds groups 1 and 2: entries and displacement are known as vectors."""
    end = [truth.displacement(g) for g in (1, 2)]
    whole = sum(float(vector @ vector) for vector in end)
    mine = [n for n, row in enumerate("aaabbcccdd") if row == "a"]
    expected = sum(truth.displaced(g, mine) for g in (1, 2)) / whole
    row = next(row for row in rows(rights, "by_source") if row["key"] == "pkg:a")
    assert row["block_1"] == pytest.approx(expected, rel=1e-9)


def test_every_breakdown_adds_up_to_the_same(rights, rows) -> None:
    totals = [rows(rights, name)[-1] for name in BREAKDOWNS]
    columns = ["share", *(f"block_{n}" for n in range(4))]
    for column in columns:
        values = [total[column] for total in totals]
        assert values == pytest.approx([values[0]] * len(values), rel=1e-9, abs=1e-12)
        for name in BREAKDOWNS:
            *parts, total = rows(rights, name)
            assert math.fsum(row[column] for row in parts) == pytest.approx(total[column])
    assert [total["visits"] for total in totals] == pytest.approx([80] * len(totals))
    over_time = rows(rights, "over_time")[-1]
    parts = [value for key, value in over_time.items() if key != "steps"]
    assert math.fsum(parts) == pytest.approx(totals[0]["share"], rel=1e-9)


def test_all_lines_add_up_to_the_whole_change(rights, rows) -> None:
    *lines, total = rows(rights, "lines")
    # Groups without capture have no column of visits, but their lines are booked.
    for column in ["share", *(f"block_{n}" for n in range(4))]:
        assert math.fsum(row[column] for row in lines) == pytest.approx(1.0, abs=1e-9)
        assert total[column] == pytest.approx(1.0, abs=1e-9)
    visits = next(row for row in lines if row["line"] == "all visits")
    assert visits["share"] == pytest.approx(rows(rights, "by_class")[-1]["share"], rel=1e-9)


def test_unknown_licences_are_counted_by_visits_and_by_share(rights, truth) -> None:
    visits = _ask(
        truth.path,
        "SELECT count(*) FILTER (e.license IS NULL) / count(*) FROM @visits v "
        "JOIN @decisions/examples e USING (example)",
    )[0][0]
    gauges = rights.gauges
    assert gauges["unknown-visits"].value == pytest.approx(visits)
    assert gauges["unknown-share"].value == pytest.approx(_displaced(truth.path, "license")[None])
    sizes = [visits, abs(gauges["unknown-share"].value)]
    assert gauges["unknown"].value == pytest.approx(max(sizes))


@pytest.mark.parametrize(
    ("held", "is_unknown"),
    [("MIT", False), ("NOASSERTION", True), (" none ", True), ("MIT OR NOASSERTION", True),
     ("(mit and Unknown)", True), ("", True), ("LicenseRef-NONE-at-all", False),
     ("Unlicense", False)],
)  # fmt: skip
def test_words_that_stand_for_no_licence(tmp_path, make, held, is_unknown) -> None:
    truth = make_run(tmp_path / "run", metadata={"license": [held] * 12})
    assert make(truth.path).gauges["unknown-visits"].value == float(is_unknown)


def test_without_a_licence_column_nothing_is_known(tmp_path, make, answers) -> None:
    truth = make_run(tmp_path / "run", metadata={"colour": ["red"] * 12})
    report = make(truth.path)
    assert report.gauges["unknown"].value >= 1.0
    assert answers(report)["licences"] == "no"


def test_decisions_reconcile(rights) -> None:
    figures = {
        figure["name"]: figure["value"]
        for section in rights.to_dict()["sections"]
        for figure in section["figures"]
    }
    kinds = ("admit", "deny", "quarantine", "defer")
    assert [figures[f"examples_{kind}"] for kind in kinds] == [10, 1, 1, 0]
    assert sum(figures[f"examples_{kind}"] for kind in kinds) == figures["presented"] == 12


def test_every_figure_says_where_it_comes_from(rights, safety) -> None:
    counted = 0
    for report in (rights, safety):
        held = report.to_dict()
        figures = [*held["headline"], *held["gauges"].values()]
        for section in held["sections"]:
            figures += section["figures"]
            figures += [
                column
                for grid in section["tables"]
                for column in grid["columns"]
                if column["kind"] != "text"
            ]
        for figure in figures:
            assert figure["unit"]
            assert figure["method"]
            assert figure["exactness"] in {"exact", "to rounding", "estimated", "declared"}
            assert figure["from"]["places"]
            assert figure["from"]["query"]
        counted += len(figures)
    assert counted > 100


def test_files_behind_the_figures_are_named_with_their_digests(rights, truth) -> None:
    files = {item.path: item for item in rights.evidence.files}
    assert {"run.json", "end.json", "visits/part-000000.parquet"} <= set(files)
    for name, item in files.items():
        content = (truth.path / name).read_bytes()
        assert (item.num_bytes, item.sha256) == (len(content), hashlib.sha256(content).hexdigest())


def test_the_same_records_give_the_same_report(rights, truth, make) -> None:
    again = make(truth.path)
    assert again.to_html() == rights.to_html()
    assert again.to_json() == rights.to_json()
