"""Erasure: executed, certified, logged; what remains is listed, and what comes back is denied."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import gradledger as gl
from gradledger.errors import GradledgerError
from gradledger.evidence import Envelope, check_evidence
from gradledger.ledger import verify_run
from gradledger.log import KeyKind, SigningKey
from gradledger.query import Answer
from gradledger.segment import read_table

# Test folders are no packages: helpers are found through their folder.
sys.path.insert(0, str(Path(__file__).parent))
from whatif_oracle import REMOVED, Training, assert_close, make, oracle, stored

KEYS = {
    "path": [f"file-{number}" for number in range(12)],
    "source": ["abcd"[n % 4] for n in range(12)],
}


def signer() -> SigningKey:
    return SigningKey.generate("example.org/log")


def erased(folder: Path, run: Training, **more: Any) -> Answer:
    with gl.open(folder) as ledger:
        return ledger.erase({"source": "a"}, **{"build": run.build, "train": run.loop, **more})


@pytest.fixture
def signed(tmp_path: Path) -> tuple[Training, Path, SigningKey]:
    key = signer()
    run = make(record={"state_every": 3, "key": key}, metadata=KEYS)
    run.recorded(tmp_path / "run")
    return run, tmp_path / "run", key


def codes(folder: Path) -> list[str]:
    return [item.code for item in verify_run(folder).findings if not item.is_notice]


def test_the_certificate_holds_and_names_what_was_done(
    signed: tuple[Training, Path, SigningKey], tmp_path: Path
) -> None:
    run, folder, key = signed
    tokens = run.data().tensors[0]
    answer = erased(
        folder,
        run,
        key=key,
        reason="request 7",
        out=tmp_path / "copy.jsonl",
        observe={"loss": lambda model: run.loss(model, tokens).mean()},
    )
    model = Path(answer.facts["model"])
    assert_close(stored(model), oracle(run, folder, lambda _, n: float(n not in REMOVED)))
    assert answer.kind == "truth"
    assert answer.facts["examples erased"] == 3
    probe = answer.table("probes").records()[0]
    assert probe["change"] == pytest.approx(probe["executed"] - probe["recorded"])
    states = [row["place"] for row in answer.table("remains").records()]
    assert "states/step=9" in states
    assert "states/step=0" not in states
    checked = check_evidence(tmp_path / "copy.jsonl", [key.verifier], model=model)
    assert checked.is_sound, checked.findings
    record = Envelope.parse((tmp_path / "copy.jsonl").read_bytes()).statement()["predicate"]
    rows = read_table(folder, "decisions/examples", ["example", "content"]).to_pylist()
    assert record["erased"][1]["content"] == rows[4]["content"]
    assert record["request"]["reason"] == "request 7"
    assert codes(folder) == []
    assert verify_run(folder, [key.verifier]).is_clean


def test_states_are_removed_on_request_and_not_missing(
    signed: tuple[Training, Path, SigningKey],
) -> None:
    run, folder, key = signed
    answer = erased(folder, run, key=key, remove_states=True)
    assert answer.facts["removed"] == 3
    assert sorted(path.name for path in (folder / "states").iterdir()) == ["step=0"]
    report = verify_run(folder)
    assert report.is_clean, report
    assert "V910" in {item.code for item in report.findings}
    # What vanishes without an erasure is still a finding.
    shutil.rmtree(folder / "states" / "step=0")
    assert "V301" in codes(folder)


def test_erasures_add_up_although_the_recorded_model_is_gone(
    signed: tuple[Training, Path, SigningKey],
) -> None:
    run, folder, key = signed
    erased(folder, run, key=key, remove_states=True)
    with gl.open(folder) as ledger:
        answer = ledger.erase({"source": "b"}, key=key, build=run.build, train=run.loop)
    gone = REMOVED | {1, 5, 9}
    model = stored(Path(answer.facts["model"]))
    assert_close(model, oracle(run, folder, lambda _, n: float(n not in gone)))
    assert answer.facts["erased earlier, and out of this model too"] == 3
    assert verify_run(folder).is_clean


@pytest.mark.parametrize("member", ["model", "erased"])
def test_an_altered_certificate_is_a_finding(
    member: str, signed: tuple[Training, Path, SigningKey]
) -> None:
    run, folder, key = signed
    path = Path(erased(folder, run, key=key).facts["certificate"])
    record = Envelope.parse(path.read_bytes()).statement()
    if member == "model":
        record["predicate"]["model"].update(final_sha256="0" * 64, same_as_recorded=False)
    else:
        record["predicate"]["erased"].pop()
    path.write_bytes(bytes(Envelope.sign(record, signer())))
    found = codes(folder)
    assert "V302" in found
    assert "V892" in found


def test_a_certificate_that_does_not_fit_the_record_is_a_finding(
    signed: tuple[Training, Path, SigningKey], tmp_path: Path
) -> None:
    run, folder, key = signed
    path = Path(erased(folder, run, key=key).facts["certificate"])
    record = Envelope.parse(path.read_bytes()).statement()
    record["predicate"]["erased"][0]["example_id"] = "0" * 32
    path.write_bytes(bytes(Envelope.sign(record, key)))
    assert "V891" in codes(folder)
    record["predicate"]["erased"] = []
    (tmp_path / "odd.jsonl").write_bytes(bytes(Envelope.sign(record, key)))
    checked = check_evidence(tmp_path / "odd.jsonl", [key.verifier])
    assert [item.code for item in checked.findings] == ["V861", "V861"]
    path.unlink()
    assert {"V890", "V301"} <= set(codes(folder))


def test_what_an_erasure_removed_must_stay_away(signed: tuple[Training, Path, SigningKey]) -> None:
    run, folder, key = signed
    shutil.copytree(folder / "states" / "step=9", folder.parent / "copy")
    erased(folder, run, key=key, remove_states=True)
    shutil.copytree(folder.parent / "copy", folder / "states" / "step=9")
    assert "V893" in codes(folder)


def test_without_a_key_or_a_selection_there_is_no_certificate(
    signed: tuple[Training, Path, SigningKey],
) -> None:
    run, folder, key = signed
    with pytest.raises(GradledgerError) as caught:
        erased(folder, run)
    assert caught.value.code == "L103"
    with gl.open(folder) as ledger, pytest.raises(GradledgerError) as caught:
        ledger.erase({}, key=key, build=run.build, train=run.loop)
    assert caught.value.code == "Q110"
    with pytest.raises(GradledgerError) as caught:
        erased(folder, run, key=signer())
    assert caught.value.code == "L136"
    assert not (folder / "erasures").exists()
    assert KeyKind.LOG is key.kind


def test_a_loop_that_draws_other_random_numbers_gets_no_certificate(tmp_path: Path) -> None:
    key, draws = signer(), [0]
    run = make(record={"state_every": 3, "key": key}, metadata=KEYS)
    plain = run.update

    def update(model: Any, optimizer: Any, tokens: Any) -> None:
        torch.rand(1 + draws[0])
        plain(model, optimizer, tokens)

    run.update = update  # type: ignore[method-assign]
    run.recorded(tmp_path / "run")
    draws[0] = 1
    with pytest.raises(GradledgerError) as caught:
        erased(tmp_path / "run", run, key=key)
    assert caught.value.code == "R161"


def test_later_admissions_deny_what_was_erased(
    signed: tuple[Training, Path, SigningKey], tmp_path: Path
) -> None:
    run, folder, key = signed
    answer = erased(folder, run, key=key)
    place = Path(answer.facts["denied from now on by"])
    assert place == tmp_path / "erased.json"
    assert place.stat().st_mode & 0o077 == 0
    text = place.read_text()
    assert "file-0" not in text
    again = make(record={"key": key}, metadata={"path": [f"other-{n}" for n in range(12)]})
    again.recorded(tmp_path / "again")
    with gl.open(tmp_path / "again") as ledger:
        rows = {row["class"]: row for row in ledger.decisions().rows if row["verdict"] == "deny"}
        assert rows["erased"]["examples"] == 3
        why = ledger.decide(4)
    assert "erased; certificate" in json.dumps(why.to_dict())
    assert verify_run(tmp_path / "again").is_clean
    visits = read_table(tmp_path / "again", "visits", ["example"])["example"].to_pylist()
    assert REMOVED.isdisjoint(visits)


def test_names_are_denied_where_content_is_another(
    signed: tuple[Training, Path, SigningKey], tmp_path: Path
) -> None:
    run, folder, key = signed
    erased(folder, run, key=key)
    again = make(metadata=KEYS)
    again.data = lambda: torch.utils.data.TensorDataset(  # type: ignore[method-assign]
        torch.randint(0, 13, (12, 7), generator=torch.Generator().manual_seed(6))
    )
    again.recorded(tmp_path / "again")
    visits = read_table(tmp_path / "again", "visits", ["example"])["example"].to_pylist()
    assert REMOVED.isdisjoint(visits)


def test_a_run_that_admitted_them_does_not_go_on(
    signed: tuple[Training, Path, SigningKey], tmp_path: Path
) -> None:
    run, folder, key = signed
    other = make(record={"state_every": 2, "resume": True}, metadata=KEYS)
    steps, other.steps = other.steps, 4
    model, optimizer = other.build()
    recorder = gl.record(tmp_path / "other", model, optimizer, **other.record)
    other.loop(recorder)
    recorder.__exit__(KeyboardInterrupt, None, None)  # cut off: no end is written
    erased(folder, run, key=key)
    other.steps = steps
    model, optimizer = other.build()
    recorder = gl.record(tmp_path / "other", model, optimizer, **other.record)
    with pytest.raises(GradledgerError) as caught, recorder:
        other.loop(recorder)
    assert caught.value.code == "R155"


def test_other_runs_are_searched_by_content_and_name(
    signed: tuple[Training, Path, SigningKey], tmp_path: Path
) -> None:
    run, folder, key = signed
    make(metadata={"path": [f"x{n}" for n in range(12)]}).recorded(tmp_path / "others" / "first")
    shifted = make(metadata=KEYS)
    shifted.data = lambda: torch.utils.data.TensorDataset(  # type: ignore[method-assign]
        torch.randint(0, 13, (12, 7), generator=torch.Generator().manual_seed(6))
    )
    shifted.recorded(tmp_path / "others" / "second")
    answer = erased(folder, run, key=key, also=[tmp_path / "others"])
    rows = [row for row in answer.table("remains").records() if row["kind"] == "other run"]
    assert len(rows) == 2
    assert all(row["found"].startswith("3 examples, ") for row in rows)
    assert all("content and names" in row["found"] for row in rows)


def test_copies_in_the_run_are_listed(tmp_path: Path) -> None:
    key = signer()
    run = make(record={"key": key}, metadata={"path": KEYS["path"]})
    tokens = run.data().tensors[0].clone()
    tokens[7] = tokens[2]
    run.data = lambda: torch.utils.data.TensorDataset(tokens)  # type: ignore[method-assign]
    run.recorded(tmp_path / "run")
    with gl.open(tmp_path / "run") as ledger:
        answer = ledger.erase(2, key=key, build=run.build, train=run.loop)
    rows = [row for row in answer.table("remains").records() if row["kind"] == "same content"]
    assert [row["place"] for row in rows] == ["example 7"]
    assert json.loads(json.dumps(answer.to_dict()))["kind"] == "truth"
