"""Receipts prove the rows they name, offline, and nothing else."""

from __future__ import annotations

import pytest
from make_logged import Logged, make_logged

from gradledger.canon import text_digest
from gradledger.errors import LogError, QueryError
from gradledger.evidence.check_receipt import check_receipt
from gradledger.evidence.make_receipt import (
    decision_receipt,
    examples_receipt,
    state_receipt,
    step_receipt,
    visit_receipt,
)
from gradledger.evidence.receipt import EvidenceReceipt
from gradledger.query import Records, open_records


def every_kind(records: Records) -> dict[str, EvidenceReceipt]:
    return {
        "visit": visit_receipt(records, 3, 0, 2),
        "examples": examples_receipt(records, [3]),
        "decision": decision_receipt(records, 1),
        "step": step_receipt(records, 5),
        "state": state_receipt(records, 10),
    }


def test_every_kind_is_proved(logged: Logged, logged_records: Records) -> None:
    for kind, receipt in every_kind(logged_records).items():
        again = EvidenceReceipt.parse(bytes(receipt))
        assert again == receipt, kind
        assert check_receipt(again, [logged.verifier]) == [], kind
        assert [f.code for f in check_receipt(again)] == ["V902"], kind


def test_an_example_comes_with_all_its_visits_and_its_decision(
    logged: Logged, logged_records: Records
) -> None:
    receipt = examples_receipt(logged_records, [3])
    values = [(receipt.leaves[row.leaf].leaf, receipt.values(row)) for row in receipt.rows]
    visits = [row for leaf, row in values if b'"table":"visits"' in leaf]
    count = logged_records.ask("SELECT count(*) FROM visits WHERE example = 3")[0][0]
    assert len(visits) == count > 0
    assert all(row["example"] == 3 for row in visits)
    texts = [row.texts for row in receipt.rows]
    assert any(found.get("source") == "pkg:b" for found in texts)
    assert any(found.get("reason") == "permissive license" for found in texts)


def test_hidden_texts_stay_out_and_their_digests_in(logged_records: Records) -> None:
    receipt = examples_receipt(logged_records, [3], hide=["source", "path"])
    assert b"pkg:b" not in bytes(receipt)
    row = next(row for row in receipt.rows if "license" in row.texts)
    assert receipt.values(row)["source"] == text_digest("pkg:b")


def test_unsigned_logs_give_receipts_with_a_notice(tmp_path) -> None:
    made = make_logged(tmp_path / "run", signed=False)
    with_records = open_records(made.run_dir)
    receipt = examples_receipt(with_records, [0])
    assert [f.code for f in check_receipt(receipt)] == ["V901"]
    assert [f.code for f in check_receipt(receipt, [made.verifier])] == ["V853", "V901"]


def test_what_is_not_there_is_refused(logged_records: Records) -> None:
    for ask in (
        lambda: visit_receipt(logged_records, 3, 9, 9),
        lambda: examples_receipt(logged_records, [999]),
        lambda: examples_receipt(logged_records, []),
        lambda: decision_receipt(logged_records, 99),
        lambda: step_receipt(logged_records, 99),
        lambda: state_receipt(logged_records, 99),
    ):
        with pytest.raises(QueryError) as caught:
            ask()
        assert caught.value.code == "Q108"


def test_a_segment_that_was_altered_gives_no_receipt(copied: Logged) -> None:
    import pyarrow.parquet as pq

    path = copied.run_dir / "visits/part-000000.parquet"
    table = pq.read_table(path)
    pq.write_table(table.slice(1), path)
    with pytest.raises(LogError) as caught:
        step_receipt(open_records(copied.run_dir), 2)
    assert caught.value.code == "L181"
