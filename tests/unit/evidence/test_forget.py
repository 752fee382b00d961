"""Destroying a salt unlinks content and leaves every proof valid."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from pathlib import Path

import pytest
from make_logged import Logged, item_of, make_logged
from make_preamble import EXAMPLES

from gradledger.canon import keyed_commitment
from gradledger.cli.main import main
from gradledger.errors import GradledgerError, LogError, StorageError
from gradledger.evidence import (
    check_evidence,
    forget_source,
    hand_absence,
    hand_bundle,
    hand_receipt,
)
from gradledger.log import LogReader, SigningKey, save_key
from gradledger.query import exclude, find_content, item_digest, open_records
from gradledger.query.candidates import Sought
from gradledger.segment import RunLock
from gradledger.verify import check_log, check_run

RUN_ID = "0123456789abcdef" * 2


def salts(made: Logged) -> dict[str, str]:
    return json.loads((made.run_dir / "private/salts.json").read_text())


def test_content_is_unlinked_and_every_proof_stays_valid(copied: Logged, tmp_path: Path) -> None:
    records = open_records(copied.run_dir)
    digest = item_digest(item_of(3))
    assert find_content(records, [digest]).examples == (3,)
    salt = bytes.fromhex(salts(copied)["pkg:b"])
    before = tmp_path / "before.zip"
    hand_bundle(records, {"source": "pkg:b"}, out=before)

    done = forget_source(copied.run_dir, RUN_ID, "pkg:b", reason="withdrawn", key=copied.key)

    assert done.destroyed
    assert b"withdrawn" in LogReader(copied.run_dir).leaf(done.leaf)
    # Nothing below the run holds the salt any more, in either spelling.
    for path in copied.run_dir.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert salt not in content
            assert salt.hex().encode() not in content
    after = open_records(copied.run_dir)
    found = find_content(after, [digest])
    assert (found.examples, found.unsalted) == ((), ("pkg:b",))
    assert exclude(after, Sought({}, item_of(3), None, None, 0.5)).findings == 1
    # The commitment is still there, and cannot be told from any salt that is left.
    held = {row[0] for row in after.ask("SELECT content FROM examples")}
    assert keyed_commitment(salt, digest) in held
    for left in salts(copied).values():
        assert keyed_commitment(bytes.fromhex(left), digest) not in held
    # Proofs made before and after hold; so does the log.
    assert check_evidence(before, [copied.verifier]).is_sound
    hand_receipt(after, {"example": 3}, out=tmp_path / "after.json")
    assert check_evidence(tmp_path / "after.json", [copied.verifier]).is_sound
    assert check_log(copied.run_dir, [copied.verifier]) == []
    # Other sources are untouched.
    assert find_content(after, [item_digest(item_of(0))]).examples == (0,)


def test_a_forgotten_source_is_listed_as_not_provable(copied: Logged, tmp_path: Path) -> None:
    forget_source(copied.run_dir, RUN_ID, "pkg:b", key=copied.key)
    answer = hand_absence(
        open_records(copied.run_dir), content=item_of(900), out=tmp_path / "absence.json"
    )
    assert answer.facts["sources not provable"] == 1
    assert answer.rows == [{"source": "pkg:b", "why": "its salt is destroyed"}]
    found = check_evidence(tmp_path / "absence.json", [copied.verifier])
    assert found.is_sound
    assert [item.code for item in found.findings] == ["V908"]


def test_the_salts_stay_for_their_owner_alone(copied: Logged) -> None:
    forget_source(copied.run_dir, RUN_ID, "pkg:b", key=copied.key)
    for name in ("salts.json", "erasures.json"):
        mode = (copied.run_dir / "private" / name).stat().st_mode
        assert stat.S_IMODE(mode) == 0o600
    assert sorted(salts(copied)) == ["\0ids", *sorted({row[0] for row in EXAMPLES} - {"pkg:b"})]


def test_the_old_bytes_are_overwritten(copied: Logged) -> None:
    place = copied.run_dir / "private/salts.json"
    with place.open("rb") as old:
        forget_source(copied.run_dir, RUN_ID, "pkg:b", key=copied.key)
        assert set(old.read()) == {0}


def test_forgetting_twice_says_so_and_writes_one_leaf(copied: Logged) -> None:
    first = forget_source(copied.run_dir, RUN_ID, "pkg:b", key=copied.key)
    size = LogReader(copied.run_dir).size
    again = forget_source(copied.run_dir, RUN_ID, "pkg:b")
    assert (again.destroyed, again.leaf) == (False, first.leaf)
    assert LogReader(copied.run_dir).size == size


@pytest.mark.parametrize("source", ["pkg:none", "\0ids", ""])
def test_what_is_no_source_is_refused(copied: Logged, source: str) -> None:
    before = salts(copied)
    with pytest.raises(LogError) as caught:
        forget_source(copied.run_dir, RUN_ID, source, key=copied.key)
    assert caught.value.code == "L183"
    assert salts(copied) == before


def test_a_signed_log_needs_its_key_first(copied: Logged) -> None:
    before = salts(copied)
    with pytest.raises(LogError) as caught:
        forget_source(copied.run_dir, RUN_ID, "pkg:b")
    assert caught.value.code == "L183"
    assert salts(copied) == before


def test_a_run_that_is_being_recorded_is_refused(copied: Logged) -> None:
    with RunLock(copied.run_dir), pytest.raises(StorageError) as caught:
        forget_source(copied.run_dir, RUN_ID, "pkg:b", key=copied.key)
    assert caught.value.code == "S111"


def test_a_crash_between_record_and_destruction_is_mended_by_the_next_call(
    copied: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gradledger.evidence import forget

    def crash(*_: object) -> None:
        raise OSError("power is gone")

    with monkeypatch.context() as patch:
        patch.setattr(forget, "_destroy", crash)
        with pytest.raises(OSError, match="power"):
            forget_source(copied.run_dir, RUN_ID, "pkg:b", key=copied.key)
    size = LogReader(copied.run_dir).size
    assert "pkg:b" in salts(copied)
    done = forget_source(copied.run_dir, RUN_ID, "pkg:b", key=copied.key)
    assert done.destroyed
    assert "pkg:b" not in salts(copied)
    assert LogReader(copied.run_dir).size == size


def test_a_run_without_a_log_keeps_its_record_beside_the_salts(copied: Logged) -> None:
    import shutil

    shutil.rmtree(copied.run_dir / "log")
    done = forget_source(copied.run_dir, RUN_ID, "pkg:b", reason="withdrawn")
    assert done.leaf is None
    record = json.loads((copied.run_dir / "private/erasures.json").read_text())
    assert [(item["scope"], item["reason"]) for item in record] == [("pkg:b", "withdrawn")]


def test_the_command_asks_and_destroys_nothing_without_an_answer(
    copied: Logged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    save_key(copied.key, tmp_path / "key")
    words = ["forget", str(copied.run_dir), "--source", "pkg:b", "--key", str(tmp_path / "key")]
    monkeypatch.setattr("typer.confirm", lambda *_, **__: False)
    before = salts(copied)
    assert main(words) == 2
    assert salts(copied) == before
    assert "weights" in capsys.readouterr().err
    assert main([*words, "--yes", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["facts"]["salt"] == "destroyed"
    assert any("weights" in note for note in said["notes"])


def test_disk_failures_lose_no_other_salt(copied: Logged, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every replace and fsync fails in turn; all other salts are there afterwards."""
    others = {name: salt for name, salt in salts(copied).items() if name != "pkg:b"}
    for name in ("replace", "fsync"):
        real = getattr(os, name)
        for failing in range(12):
            calls = iter(range(1000))

            def shim(*args, real=real, calls=calls, failing=failing, **named):
                if next(calls) == failing:
                    raise OSError(28, "no space")
                return real(*args, **named)

            with monkeypatch.context() as patch:
                patch.setattr(os, name, shim)
                with contextlib.suppress(GradledgerError, OSError):
                    forget_source(copied.run_dir, RUN_ID, "pkg:b", key=copied.key)
            assert others.items() <= salts(copied).items()
    forget_source(copied.run_dir, RUN_ID, "pkg:b", key=copied.key)
    assert salts(copied) == others
    assert check_log(copied.run_dir, [copied.verifier]) == []


def test_a_recorded_run_stays_clean(recorded: tuple[Path, SigningKey], tmp_path: Path) -> None:
    """On a run that the recorder wrote: every check of it, and a receipt from before."""
    run_dir, key = recorded
    reader = LogReader(run_dir)
    verifier = reader.description.keys[-1]
    assert check_run(run_dir, [verifier]).is_clean
    records = open_records(run_dir)
    hand_bundle(records, {"source": "deep"}, out=tmp_path / "before.zip")
    done = forget_source(run_dir, records.begin.run_id, "deep", key=key)
    assert done.leaf == reader.size
    assert check_run(run_dir, [verifier]).is_clean
    assert check_evidence(tmp_path / "before.zip", [verifier]).findings == []
    hand_bundle(open_records(run_dir), {"source": "deep"}, out=tmp_path / "after.zip")
    assert check_evidence(tmp_path / "after.zip", [verifier]).findings == []


def test_unsigned_runs_forget_without_a_key(tmp_path: Path) -> None:
    made = make_logged(tmp_path / "run", signed=False)
    assert forget_source(made.run_dir, RUN_ID, "pkg:a").leaf is not None
