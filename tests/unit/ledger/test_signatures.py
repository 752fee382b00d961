"""Who signed a log: its own key, keys from elsewhere, witnesses, what does not hold."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3]))

from benchmarks.small_signed_run import make_small_run
from make_run import make_run

import gradledger as gl
from gradledger.errors import LogError
from gradledger.log import DirectoryWitness, KeyKind, LogReader, SigningKey, cosign_log


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SigningKey, SigningKey]:
    """A signed run that a witness cosigned."""
    folder = tmp_path_factory.mktemp("signed")
    run_dir, key = make_small_run(folder)
    witness = SigningKey.generate("witness.example/one", KeyKind.WITNESS)
    known = LogReader(run_dir).description.keys
    cosign_log(run_dir, DirectoryWitness(folder / "witness", witness, known))
    return run_dir, key, witness


def test_a_key_of_the_log_itself_anchors_nothing(signed) -> None:
    run_dir, _, witness = signed
    with gl.open(run_dir) as ledger:
        answer = ledger.signatures()
    by = {row["name"]: row for row in answer.rows}
    own = by[LogReader(run_dir).origin]
    assert (own["holds"], own["kind"]) == ("holds", "log")
    assert "no anchor" in own["known"]
    assert by[witness.name]["holds"].startswith("not checked")
    assert answer.findings == 0


def test_keys_from_elsewhere_and_a_quorum_are_tried(signed, tmp_path: Path) -> None:
    run_dir, key, witness = signed
    quorum = tmp_path / "quorum"
    quorum.write_text(f"witness one {witness.verifier}\nquorum one\n")
    with gl.open(run_dir) as ledger:
        answer = ledger.signatures([str(key.verifier)], quorum=quorum)
    by = {row["name"]: row for row in answer.rows}
    assert by[LogReader(run_dir).origin]["known"] == "given from elsewhere"
    assert by[witness.name]["holds"] == "holds"
    assert by[witness.name]["moment"].endswith("+00:00")
    assert answer.facts["quorum"] == "reached: one"
    stranger = SigningKey.generate("witness.example/two", KeyKind.WITNESS)
    quorum.write_text(f"witness two {stranger.verifier}\nquorum two\n")
    with gl.open(run_dir) as ledger:
        short = ledger.signatures(quorum=quorum)
    assert "short of" in short.facts["quorum"]
    assert short.findings == 1


def test_every_checkpoint_is_listed(signed) -> None:
    run_dir, _, _ = signed
    sizes = sorted(int(path.name) for path in (run_dir / "log" / "checkpoints").iterdir())
    with gl.open(run_dir) as ledger:
        answer = ledger.signatures()
    rows = answer.table("checkpoints").records()
    assert [row["leaves"] for row in rows] == sizes[::-1]
    assert rows[0]["root"] == answer.facts["root hash"]


def test_a_signature_that_does_not_hold_is_a_finding(signed, tmp_path: Path) -> None:
    run_dir, _, _ = signed
    copy = tmp_path / "run"
    shutil.copytree(run_dir, copy)
    place = copy / "log" / "checkpoint"
    lines = place.read_text().split("\n")
    lines[1] = str(int(lines[1]) - 1)  # another size under the same signatures
    place.write_text("\n".join(lines))
    with gl.open(copy) as ledger:
        answer = ledger.signatures()
    assert answer.rows[0]["holds"] == "does not hold"
    assert answer.findings == 1


def test_a_run_without_a_log_and_keys_that_are_none(signed, tmp_path: Path) -> None:
    make_run(tmp_path / "plain")
    with gl.open(tmp_path / "plain") as ledger:
        assert not ledger.signatures().rows
    with gl.open(signed[0]) as ledger, pytest.raises(LogError, match="L101"):
        ledger.signatures(["no key"])
