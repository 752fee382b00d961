"""A bundle holds what was selected and nothing of anybody else."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from make_logged import SALTS, Logged, make_logged
from make_preamble import EXAMPLES

from gradledger.canon import text_digest
from gradledger.cli.main import main
from gradledger.errors import LogError, QueryError
from gradledger.evidence import check_evidence, hand_bundle, hand_receipt
from gradledger.ledger import open_ledger
from gradledger.log import (
    DirectoryWitness,
    KeyKind,
    QuorumPolicy,
    SigningKey,
    VerifierKey,
    cosign_log,
)
from gradledger.query import Records, open_records

SECRETS = [f"subject-{number}-name@example.org" for number in range(12)]


def contents(path: Path) -> bytes:
    return b"\0".join(item.read_bytes() for item in sorted(path.rglob("*")) if item.is_file())


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Logged:
    metadata = {"source": [row[0] for row in EXAMPLES], "path": SECRETS}
    return make_logged(tmp_path_factory.mktemp("private") / "run", metadata=metadata)


def test_no_private_attribute_of_another_example_is_in_it(private: Logged, tmp_path: Path) -> None:
    records = open_records(private.run_dir)
    hand_bundle(records, {"source": "pkg:b"}, out=tmp_path / "bundle")
    held = contents(tmp_path / "bundle")
    rows = records.ask("SELECT example, example_id, content, path, source FROM examples")
    num_others = 0
    for example, example_id, content, path, source in rows:
        for text in (path, example_id, content):
            mine = source == "pkg:b"
            num_others += not mine
            assert (text.encode() in held) == mine, (example, text)
            # Rows stand in hexadecimal and hold digests of texts.
            assert (text_digest(text).hex().encode() in held) == mine
    assert num_others == 30
    for name, salt in SALTS.items():
        assert salt.hex().encode() not in held, name
    numbers = {row["example"] for row in visits(tmp_path / "bundle")}
    assert numbers == {3, 4}


def visits(folder: Path) -> list[dict]:
    from gradledger.evidence.receipt import EvidenceReceipt

    receipt = EvidenceReceipt.parse((folder / "receipt.json").read_bytes())
    return [
        receipt.values(row)
        for row in receipt.rows
        if b'"table":"visits"' in receipt.leaves[row.leaf].leaf
    ]


def test_hidden_columns_stay_out(private: Logged, tmp_path: Path) -> None:
    records = open_records(private.run_dir)
    hand_bundle(records, {"source": "pkg:b"}, hide=["path"], out=tmp_path / "bundle")
    held = contents(tmp_path / "bundle")
    assert not any(secret.encode() in held for secret in SECRETS)
    assert check_evidence(tmp_path / "bundle", [private.verifier]).findings == []


def test_the_same_selection_gives_the_same_bytes(logged_records: Records, tmp_path: Path) -> None:
    for name in ("one.zip", "two.zip"):
        hand_bundle(logged_records, {"license": "MIT"}, out=tmp_path / name)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_it_says_what_it_is_in_plain_words(logged_records: Records, tmp_path: Path) -> None:
    hand_bundle(logged_records, {"source": "pkg:b"}, out=tmp_path / "bundle")
    text = (tmp_path / "bundle/README.md").read_text()
    for words in (
        "gradledger check",
        "## What it proves",
        "## What it does not prove",
        "rows that were left out cannot be told",
        "RFC 6962",
        "log/checkpoint",
    ):
        assert words in text


def test_the_policy_is_in_it(logged: Logged, logged_records: Records, tmp_path: Path) -> None:
    hand_bundle(logged_records, {"source": "pkg:b"}, out=tmp_path / "b.zip")
    with zipfile.ZipFile(tmp_path / "b.zip") as archive:
        names = [name for name in archive.namelist() if name.startswith("policies/")]
        assert [archive.read(name) for name in names] == [(logged.run_dir / names[0]).read_bytes()]


def test_cosignatures_travel_and_quorums_ask_for_them(copied: Logged, tmp_path: Path) -> None:
    witness = SigningKey.generate("witness.example", KeyKind.WITNESS)
    quorum = QuorumPolicy.parse(f"witness w {witness.verifier}\nquorum w\n".encode())
    records = open_records(copied.run_dir)
    hand_bundle(records, {"source": "pkg:b"}, out=tmp_path / "before.zip")
    found = check_evidence(tmp_path / "before.zip", [copied.verifier], quorum)
    assert [item.code for item in found.findings] == ["V111"]
    cosign_log(copied.run_dir, DirectoryWitness(tmp_path / "w", witness, [copied.verifier]))
    hand_bundle(records, {"source": "pkg:b"}, out=tmp_path / "after.zip")
    assert check_evidence(tmp_path / "after.zip", [copied.verifier], quorum).findings == []


def test_an_altered_policy_is_not_handed_over(copied: Logged, tmp_path: Path) -> None:
    next((copied.run_dir / "policies").iterdir()).write_text("policy: another\n")
    with pytest.raises(LogError) as caught:
        hand_bundle(open_records(copied.run_dir), {"source": "pkg:b"}, out=tmp_path / "b")
    assert caught.value.code == "L182"
    assert not (tmp_path / "b").exists()


def test_nothing_is_overwritten(logged_records: Records, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/x").write_text("mine")
    (tmp_path / "taken.zip").write_text("mine")
    (tmp_path / "taken.json").write_text("mine")
    for name in ("full", "taken.zip"):
        with pytest.raises(LogError) as caught:
            hand_bundle(logged_records, {"source": "pkg:b"}, out=tmp_path / name)
        assert caught.value.code == "L182"
    with pytest.raises(LogError) as caught:
        hand_receipt(logged_records, {"step": 3}, out=tmp_path / "taken.json")
    assert caught.value.code == "L182"
    assert (tmp_path / "full/x").read_text() == "mine"


def test_a_bundle_of_everything_or_nothing_is_refused(logged_records: Records) -> None:
    with pytest.raises(QueryError) as caught:
        hand_bundle(logged_records, {})
    assert caught.value.code == "Q110"
    with pytest.raises(QueryError) as caught:
        hand_bundle(logged_records, {"source": "pkg:none"})
    assert caught.value.code == "Q108"


@pytest.mark.parametrize(
    "asked",
    [{}, {"step": 1, "state": 0}, {"visit": "1:2"}, {"visit": "a:b:c"}, {"visit": "1:-1:0"}],
)
def test_a_receipt_is_about_exactly_one_thing(logged_records: Records, asked: dict) -> None:
    with pytest.raises(QueryError) as caught:
        hand_receipt(logged_records, asked)
    assert caught.value.code == "Q110"


def test_a_run_without_a_log_gives_no_evidence(copied: Logged, tmp_path: Path) -> None:
    import shutil

    shutil.rmtree(copied.run_dir / "log")
    with pytest.raises(LogError) as caught:
        hand_receipt(open_records(copied.run_dir), {"step": 3}, out=tmp_path / "r")
    assert caught.value.code == "L132"


def test_commands_and_methods_write_the_same(
    logged: Logged, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    run, key = str(logged.run_dir), str(logged.verifier)
    (tmp_path / "vkey").write_text(f"{key}\n")
    assert main(["receipt", run, "--example", "3"]) == 0
    assert main(["receipt", run, "--visit", "3:0:2"]) == 0
    assert main(["receipt", run, "--decision", "1"]) == 0
    assert main(["receipt", run, "--step", "5"]) == 0
    assert main(["receipt", run, "--state", "10"]) == 0
    assert main(["bundle", run, "--source", "pkg:b", "--out", "b.zip"]) == 0
    assert main(["absence", run, "--commitment", "5a" * 32]) == 0
    with open_ledger(logged.run_dir) as ledger:
        ledger.receipt(3, out="method.json")
        ledger.bundle(source="pkg:b", out="method.zip")
        ledger.absence(commitment="5a" * 32, out="method-absence.json")
    for command, method in (
        ("example-3.receipt.json", "method.json"),
        ("b.zip", "method.zip"),
        ("absence.json", "method-absence.json"),
    ):
        assert Path(command).read_bytes() == Path(method).read_bytes()
    files = [*sorted(str(path) for path in tmp_path.glob("*.json")), "b.zip"]
    assert len(files) == 9
    capsys.readouterr()
    for given in (key, "vkey"):
        assert main(["check", *files, "--key", given, "--json"]) == 0
        said = json.loads(capsys.readouterr().out)
        assert said["tables"]["findings"]["rows"] == []
        assert len(said["facts"]) == 10
    Path("b.zip").write_bytes(Path("b.zip").read_bytes()[:-30])
    assert main(["check", *files, "--key", key]) == 1
    assert "REFUSED" in capsys.readouterr().out
    assert main(["check", "none.json", "--key", key]) == 2
    assert main(["check", files[0], "--key", "no key"]) == 2
    assert main(["check", files[0], "--key", "example.org/x+00000000+AA=="]) == 2


def test_absence_of_what_is_there_writes_nothing(
    logged: Logged, tmp_path: Path, monkeypatch, capsys
) -> None:
    import numpy as np

    monkeypatch.chdir(tmp_path)
    np.savez("there.npz", **logged.item)
    assert main(["absence", str(logged.run_dir), "--content", "there.npz"]) == 1
    assert not Path("absence.json").exists()
    assert "present" in capsys.readouterr().out
    assert main(["absence", str(logged.run_dir)]) == 2
    assert main(["absence", str(logged.run_dir), "--commitment", "5a"]) == 2


def test_keys_of_other_logs_are_not_taken(logged_records: Records, logged: Logged, tmp_path: Path):
    """The same secret signs two logs under two names; only the right name counts."""
    hand_receipt(logged_records, {"step": 3}, out=tmp_path / "r")
    other = logged.key.named("example.org/runs/elsewhere").verifier
    assert isinstance(other, VerifierKey)
    assert [f.code for f in check_evidence(tmp_path / "r", [other]).findings] == ["V853"]
