"""Pages, their data, and what is refused."""

from __future__ import annotations

import csv
import io

import pytest

import gradledger as gl
from gradledger.ledger import find_runs
from gradledger.web.pages import RUN_PAGES

NAMED = [name for name, (label, _) in RUN_PAGES.items() if label]


@pytest.mark.parametrize("name", NAMED)
def test_every_page_of_the_navigation_is_there(name: str, client) -> None:
    for run in ("first", "team~second"):
        answer = client.get(f"/run/{run}/{name}")
        assert answer.status_code == 200, answer.text[:2000]
        assert client.get(f"/run/{run}/{name}.json").json()["page"]


def test_figures_of_a_page_are_those_of_the_ledger(client, runs) -> None:
    shown = client.get("/run/first/trace.json", params={"group": "head", "order": "signed"}).json()
    with gl.open(runs / "first") as ledger:
        asked = ledger.trace("head", order="signed", top=50).to_dict()
    answer = shown["answers"]["trace"]
    assert answer.pop("mark") == "exact"
    assert answer == asked
    assert f"gradledger trace {runs / 'first'} --group head" in shown["commands"][0]


def test_csv_is_the_whole_table(client, runs) -> None:
    query = {"answer": "trace", "table": "lines"}
    rows = list(csv.reader(io.StringIO(client.get("/run/first/trace.csv", params=query).text)))
    with gl.open(runs / "first") as ledger:
        table = ledger.trace(top=50).table("lines")
    assert rows[0] == [column.name for column in table.columns]
    assert len(rows) == 1 + len(table.rows)
    assert [float(row[1]) for row in rows[1:]] == [row[1] for row in table.rows]


def test_texts_that_spreadsheets_would_calculate_are_held() -> None:
    from gradledger.query import Answer, Column, Table
    from gradledger.web.page import Page
    from gradledger.web.tables import as_csv

    columns = (Column("text", "text"), Column("value", "value", "number"))
    rows = (("=1+1", -1.5), ("@x", 2.0), ("plain", None))
    answer = Answer("trace", "", "accounting", tables=(Table("t", "", columns, rows),))
    text = as_csv(Page("trace", "", answers={"a": answer}), None, None).decode()
    assert text.splitlines() == ["text,value", "'=1+1,-1.5", "'@x,2.0", "plain,"]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/run/third/overview", 404, "W104"),
        ("/run/first/nothing", 404, "W109"),
        ("/nothing", 404, "W109"),
        ("/run/first/trace.xml", 404, "W109"),
        ("/run/first/trace.csv?table=nothing", 404, "W110"),
        ("/run/first/trace?start=soon", 400, "W107"),
        ("/run/first/trace?order=odd", 400, "W107"),
        ("/run/first/follow?where=nothing", 400, "W107"),
        ("/run/first/trace?group=nothing", 400, "Q104"),
        ("/run/first/example?example=999", 404, "Q108"),
        ("/run/first/follow?where=source=nothing", 404, "Q108"),
        ("/run/first/report-file?id=../../etc", 404, "W108"),
        ("/run/first/trace?group=" + "x" * 5000, 400, "W107"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_words(path, status, code, client) -> None:
    answer = client.get(path)
    assert answer.status_code == status
    assert code in answer.text


def test_errors_of_data_are_data(client) -> None:
    answer = client.get("/run/first/trace.json?start=soon")
    assert answer.json()["error"]["code"] == "W107"


def test_a_page_that_did_not_change_is_not_sent_again(client) -> None:
    first = client.get("/run/first/matrix")
    again = client.get("/run/first/matrix", headers={"if-none-match": first.headers["etag"]})
    assert again.status_code == 304
    assert again.content == b""


def test_runs_are_found_below_and_links_out_are_not_followed(tmp_path, runs) -> None:
    assert list(find_runs(runs)) == ["first", "team/second"]
    assert list(find_runs(runs / "first")) == ["first"]
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "link").symlink_to(runs / "first")
    assert find_runs(tmp_path / "inside") == {}


def test_the_list_says_what_each_run_is(client) -> None:
    rows = client.get("/runs.json").json()["answers"]["runs"]["tables"]["runs"]["rows"]
    assert {row["run"]: row["state"] for row in rows} == {
        "first": "closed",
        "team/second": "open or cut off",
    }
