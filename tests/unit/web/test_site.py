"""Pages, their data, and what is refused."""

from __future__ import annotations

import csv
import io
import time

import pytest

import gradledger as gl
from gradledger.ledger import find_runs
from gradledger.log import SigningKey
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


def test_a_policy_is_pasted_kept_and_asked_about(client, site) -> None:
    text = (
        'format: gradledger.policy/1\npolicy: other\nversion: "2"\n'
        "attributes: {license: {type: string}}\n"
        "rules:\n  - {id: mit, effect: admit, when: \"license = 'MIT'\"}\n"
    )
    answer = client.post("/run/first/whatif", data={"policy_text": text}, follow_redirects=False)
    assert answer.status_code == 303
    shown = client.get(answer.headers["location"])
    assert shown.status_code == 200
    assert "other@2" in shown.text
    assert "policy: other" in shown.text
    assert 'name="policy"' in shown.text
    digest = answer.headers["location"].rpartition("=")[2]
    assert (site.work.folder / "policies" / f"{digest}.yaml").read_text().startswith("format:")


@pytest.mark.parametrize(
    "query",
    [
        {"do": "policy", "policy": "../../../etc/passwd"},
        {"do": "policy", "policy": "0" * 64},
        {"do": "several", "several": "- {substitute: 1, content: /etc/passwd}"},
        {"do": "several", "several": "- {policy: /etc/passwd}"},
        {"do": "several", "several": "remove"},
        {"do": "several", "several": "- {"},
    ],
)
def test_nothing_that_is_asked_is_a_path(query: dict[str, str], client) -> None:
    answer = client.get("/run/first/whatif", params=query)
    assert answer.status_code in {400, 404}
    assert "W107" in answer.text or "W108" in answer.text


def test_one_line_is_no_policy_and_no_file(client) -> None:
    answer = client.post("/run/first/whatif", data={"policy_text": "/etc/passwd"})
    assert answer.status_code == 400
    assert "W107" in answer.text


@pytest.mark.parametrize(
    "query",
    [
        {"do": "remove", "where": "example=3", "first": "2", "last": "3"},
        {"do": "renormalise", "where": "license=MIT"},
        {"do": "reweight", "where": "example=3", "factor": "0.5"},
        {"do": "substitute", "where": "example=3", "other": "4"},
        {"do": "several", "several": "- {remove: {example: 3}}\n- {reweight: 4, factor: 2}"},
        {"do": "nothing"},
    ],
)
def test_every_intervention_has_a_plan_and_a_command(query: dict[str, str], client) -> None:
    answer = client.get("/run/first/whatif.json", params=query).json()
    assert answer["answers"]["plan"]["facts"]["steps to execute"] > 0
    assert answer["commands"][0].startswith("gradledger whatif ")
    assert client.get("/run/first/whatif", params=query).status_code == 200


def test_keys_stay_in_the_address_and_bad_ones_are_refused(client) -> None:
    assert client.get("/run/first/verify?key=nothing").status_code == 400
    assert client.get("/run/first/verify", params={"quorum": "odd words"}).status_code == 400
    key = str(SigningKey.generate("log.example").verifier)
    shown = client.get("/run/first/verify", params={"key": key})
    assert shown.status_code == 200
    assert key in shown.text


def test_a_text_is_not_read_by_a_run_without_a_training_loop(client, site) -> None:
    answer = client.post(
        "/run/first/behaviour", data={"text": "one two three four five"}, follow_redirects=False
    )
    address = answer.headers["location"]
    end = time.monotonic() + 120
    while "data-seconds" in (shown := client.get(address).text) and time.monotonic() < end:
        time.sleep(0.2)
    assert "R134" in shown
    assert client.get(f"{address}&span=a-b").status_code == 400
    assert client.get("/run/first/behaviour?name=nothing").status_code == 200


def test_readers_of_a_live_page_share_one(client, site, monkeypatch) -> None:
    calls = []
    asked = site.desk.ask
    monkeypatch.setattr(site.desk, "ask", lambda *a, **k: calls.append(a[1]) or asked(*a, **k))
    client.get("/run/team~second/overview")
    counts = []
    for _ in range(20):
        before = len(calls)
        assert client.get("/run/team~second/overview").status_code == 200
        counts.append(len(calls) - before)
    assert sum(count > 0 for count in counts) < 10
