"""Opening runs: what is there, what is damaged, what the engine may not do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from make_run import Truth, make_run

from gradledger.errors import QueryError
from gradledger.query import Records, books, info, open_records, steps, trace


@pytest.fixture
def copy(truth: Truth, tmp_path: Path) -> Path:
    return Path(shutil.copytree(truth.path, tmp_path / "copy"))


def test_documents_come_back_as_records(records: Records) -> None:
    assert records.begin.groups[3].name == "blocks.1.attn"
    assert records.begin.groups[3].tensors[0].shape == (5,)
    assert records.begin.coverage.percent == pytest.approx(100 * 30 / 35)
    assert records.end is not None
    assert records.span == (1, 20)
    assert records.profiles["shallow"] == [0.0, 0.0, 1.0, 1.0]


def test_profiles_of_their_own_document_come_first(copy: Path) -> None:
    (copy / "profiles.json").write_text(json.dumps({"half": [0.5, 0.5, 1, 1]}), encoding="utf-8")
    assert open_records(copy).profiles == {"half": [0.5, 0.5, 1.0, 1.0]}


def test_no_run(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(QueryError, match="Q101"):
            open_records(path)


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("run.json", "{", "Q102"),
        ("run.json", "[]", "Q102"),
        ("run.json", '{"format": "gradledger.run/99"}', "Q103"),
        ("run.json", '{"format": "gradledger.run/1"}', "Q102"),
        ("end.json", "", "Q102"),
        ("end.json", '{"closed_at": "x"}', "Q102"),
    ],
)
def test_damaged_documents(copy: Path, name: str, text: str, code: str) -> None:
    (copy / name).write_text(text, encoding="utf-8")
    with pytest.raises(QueryError, match=code):
        open_records(copy)


@pytest.mark.parametrize(
    ("name", "member", "value", "said"),
    [
        ("run.json", "blocks", ["a", {}], "blocks[1] {}"),
        ("run.json", "settings", [], "settings []"),
        ("run.json", "notes", None, "notes None"),
        ("run.json", "coverage", [], "TypeError"),
        ("end.json", "num_visits", "3", "num_visits '3'"),
        ("end.json", "num_steps", True, "num_steps True"),
        ("end.json", "balance", [None], "balance [None]"),
    ],
)
def test_members_of_another_type_are_named(
    copy: Path, name: str, member: str, value: object, said: str
) -> None:
    record = json.loads((copy / name).read_text(encoding="utf-8"))
    record[member] = value
    (copy / name).write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(QueryError, match="Q102") as caught:
        open_records(copy)
    assert said in caught.value.observed


@pytest.mark.parametrize("table", ["visits", "books", "steps", "decisions/examples"])
def test_damaged_tables(copy: Path, table: str) -> None:
    part = next((copy / table).iterdir())
    content = part.read_bytes()
    for bad in (b"", content[: len(content) // 2], b"PAR1" + bytes(100) + b"PAR1"):
        part.write_bytes(bad)
        with pytest.raises(QueryError, match="Q102"):
            trace(open_records(copy))


def test_a_table_without_its_columns_is_damaged(copy: Path) -> None:
    for part in (copy / "books").iterdir():
        pq.write_table(pq.read_table(part).drop_columns(["cash_factor"]), part)
    with pytest.raises(QueryError, match="no column 'cash_factor' in books"):
        books(open_records(copy))


def test_an_open_run_answers_and_says_so(tmp_path: Path) -> None:
    records = open_records(make_run(tmp_path / "run", closed=False).path)
    assert "no: the run is open" in info(records).facts["closed"]
    assert any("not closed" in note for note in trace(records).notes)


def test_a_run_without_steps_has_info_but_no_trace(copy: Path) -> None:
    for table in ("visits", "books", "steps", "displacement"):
        shutil.rmtree(copy / table)
    (copy / "end.json").unlink()
    records = open_records(copy)
    assert info(records).facts["steps"] == 0
    for question in (trace, books, steps):
        with pytest.raises(QueryError, match="Q111"):
            question(records)


def test_the_engine_reads_the_run_and_nothing_else(records: Records, tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n", encoding="utf-8")
    for sql in (
        f"FROM read_csv('{secret}')",
        f"COPY (SELECT 1) TO '{tmp_path / 'out.csv'}'",
        "SET enable_external_access=true",
        "SET threads=4",
        "INSTALL httpfs",
    ):
        with pytest.raises(duckdb.Error):
            records.connection.execute(sql)


def test_our_own_mistakes_are_not_called_damage(records: Records) -> None:
    with pytest.raises(duckdb.BinderException):
        records.ask("SELECT nothing FROM visits")


def test_info_tells_coverage_and_counts(records: Records) -> None:
    answer = info(records)
    assert answer.facts["coverage"].startswith("85.71 %")
    assert answer.facts["displacement"] == ["1 to 20", "1 to 10"]
    assert answer.table("unattributed").records()[0]["tensor"] == "head.scale"
    blocks = {row["block"]: row for row in answer.table("blocks").records()}
    assert blocks["head"]["captured"] == pytest.approx(50.0)
    assert blocks["head"]["buffer_groups"] == 1
    verdicts = {row["verdict"]: row["examples"] for row in answer.table("verdicts").records()}
    assert verdicts == {"admit": 10, "deny": 1, "quarantine": 1}


def test_steps_hold_the_size_of_the_change(truth: Truth, records: Records) -> None:
    rows = steps(records, 6, 8).rows
    assert [row["step"] for row in rows] == [6, 7, 8]
    for row in rows:
        step = row["step"]
        groups = [g for g in range(7) if truth.usable(step, g)]
        whole = sum(truth.whole(g, [step]) for g in groups)
        direct = sum(
            float(truth.lines[step, g, "contributions"] @ truth.delta[step, g]) for g in groups
        )
        assert row["delta_norm"] ** 2 == pytest.approx(whole)
        assert row["visits_share"] == pytest.approx(direct / whole)
    assert rows[1]["verdict"] == "not finite"
    assert rows[0]["record_percent"] == pytest.approx(20.0)
