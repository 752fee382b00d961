"""A run that begins with a stored state of another: what it records, and what verification says."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset

# Test folders are no packages: the maker of the run is found through its folder.
sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2] / "independent"))

from primitives import BadError
from signed_run import change_json, log_anew, make_signed_run, train
from verify_fork import verify_fork
from verify_log import verify_run

import gradledger as gl
from gradledger.errors import InputError, LogError, StorageError
from gradledger.log import LogReader, SigningKey, load_key, parse_fork, write_fork
from gradledger.replay import settle
from gradledger.segment import read_json, read_table
from gradledger.verify import check_run


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a parent, a fork of its state after step 2, and their key."""
    folder = tmp_path_factory.mktemp("template")
    run, key = make_signed_run(folder)
    run.rename(folder / "parent")
    fork(folder, key)
    return folder


@pytest.fixture
def folder(template: Path, tmp_path: Path) -> Path:
    shutil.copytree(template, tmp_path / "runs")
    return tmp_path / "runs"


def fork(folder: Path, key: Path | None, name: str = "child", **settings: object) -> None:
    given = {"fork": f"{folder / 'parent'}@2", "on_imbalance": "strict", **settings}
    train(folder / name, key, **given)


def bare_key(folder: Path) -> SigningKey:
    """The key without the memory beside its file, which would refuse to sign history anew."""
    return replace(load_key(folder / "lab.key"), path=None)


def found(folder: Path, **settings: object) -> list[str]:
    trusted = [load_key(folder / "lab.key").verifier]
    report = check_run(folder / "child", trusted, **settings)
    return [finding.code for finding in report.findings]


def test_a_fork_begins_with_the_state_of_its_parent(folder: Path) -> None:
    begin, opening = read_json(folder / "child/run.json"), folder / "child/states/step=0"
    stored = read_json(folder / "parent/states/step=2/state.json")
    assert begin["settings"]["fork"] == {
        "run_id": read_json(folder / "parent/run.json")["run_id"],
        "origin": read_json(folder / "parent/run.json")["log"]["origin"],
        "step": 2,
        "state_digest": stored["model_digest"],
    }
    assert begin["opening_balance"]["state_digest"] == stored["model_digest"]
    for name in ("model.safetensors", "optimizer.safetensors", "rng.safetensors"):
        assert (opening / name).read_bytes() == (
            folder / f"parent/states/step=2/{name}"
        ).read_bytes()
    assert read_json(opening / "state.json")["fingerprint"] == stored["fingerprint"]
    with gl.open(folder / "child") as ledger:
        said = ledger.info().facts["forked from"]
    assert "after step 2" in said
    assert begin["settings"]["fork"]["run_id"] in said


def test_momentum_of_the_parent_has_an_owner_and_the_books_balance(folder: Path) -> None:
    """The first step of a fork carries the parent's momentum: history, and no residual."""
    books = read_table(folder / "child", "books").to_pylist()
    first = [row for row in books if row["step"] == 1]
    assert [row["history_norm"] > 0 for row in first] == [False, True]  # the first block was shut
    assert {row["verdict"] for row in books} <= {"balanced", "unchanged"}
    third = [row for row in read_table(folder / "parent", "books").to_pylist() if row["step"] == 3]
    assert [row["history_norm"] for row in first] == [row["history_norm"] for row in third]
    assert all(abs(row["accrual_residual_norm"]) < 1e-6 for row in first)


def test_a_fork_that_goes_on_in_the_same_way_ends_as_its_parent(tmp_path: Path) -> None:
    def run(folder: Path, steps: range, **settings: object) -> nn.Module:
        torch.manual_seed(5)
        model = nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.5), nn.Linear(6, 2))
        optimizer = optim.AdamW(model.parameters(), lr=0.01)
        data = torch.randn(12, 4, generator=torch.Generator().manual_seed(1))
        with gl.record(folder, model, optimizer, state_every=3, **settings) as recorder:
            recorder.admit(TensorDataset(data))
            for number in steps:
                rows = [2 * number, 2 * number + 1]
                with recorder.step((data[rows],), examples=rows):
                    model(data[rows]).square().mean().backward()
                    optimizer.step()
                optimizer.zero_grad()
        return model

    whole = run(tmp_path / "whole", range(6))
    again = run(tmp_path / "fork", range(3, 6), fork=f"{tmp_path / 'whole'}@3")
    for one, other in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


def test_verification_is_clean_and_says_what_it_could_not_compare(folder: Path) -> None:
    assert found(folder) == []
    shutil.move(folder / "parent", folder.parent / "elsewhere")
    assert found(folder) == ["V920"]
    assert found(folder, parents=[folder.parent / "elsewhere"]) == []


def test_a_settling_pass_executes_a_fork_again(folder: Path) -> None:
    inputs = torch.randn(8, 5, generator=torch.Generator().manual_seed(1))

    def build() -> tuple[nn.Module, optim.Optimizer]:
        model = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 2))
        return model, optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    def loop(run: gl.Recorder) -> None:
        sources = ["deep", "shallow"] * 3 + ["other"] * 2
        data = run.admit(TensorDataset(inputs, torch.arange(8) % 2), {"source": sources})
        for _ in range(2):
            for batch in run.batches(DataLoader(data, 2)):
                with run.step(batch):
                    logits = run.model(batch[0])
                    nn.functional.cross_entropy(logits, batch[1]).backward()
                    run.optimizer.step()
                run.optimizer.zero_grad()

    settled = settle(folder / "child", build, loop, key=folder / "lab.key")
    assert settled.num_steps == 6
    assert found(folder) == []


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        ("other_state", "V881"),
        ("rewritten", "V881"),
        ("shorter", "V881"),
        ("other_run", "V881"),
    ],
)
def test_a_parent_that_was_changed(folder: Path, damage: str, code: str) -> None:
    parent, given = folder / "parent", {}
    if damage == "other_state":
        state = parent / "states/step=2/state.json"
        state.write_text(state.read_text().replace('"model_digest": "', '"model_digest": "0'))
    elif damage == "rewritten":
        change_json(parent, "run.json", notes="another history")
        log_anew(parent, bare_key(folder))
    elif damage == "shorter":
        (parent / "log/checkpoint").write_bytes((parent / "log/checkpoints/0").read_bytes())
    else:
        train(folder / "other", None, policy=None)
        given = {"parents": [folder / "other"]}
    assert set(found(folder, **given)) == {code}


def test_a_record_that_was_changed_and_logged_anew(folder: Path) -> None:
    """Whoever holds the key of the fork cannot invent a parent."""
    child, key = folder / "child", bare_key(folder)
    fork_of = parse_fork((child / "fork.json").read_bytes())
    wrong = {
        "run.json": {"step": 4},
        "state": {"state_sha256": "0" * 64},
        "run": {"parent_run_id": "x"},
    }
    for change in wrong.values():
        changed = type(fork_of)(**{**fork_of.__dict__, **change})
        write_fork(child, changed)
        log_anew(child, key)
        assert set(found(folder)) == {"V880"}
        with pytest.raises(BadError):
            verify_fork(child, list(LogReader(child).leaves()))
    (child / "fork.json").unlink()
    log_anew(child, key)
    assert "V880" in found(folder)


def test_a_second_verifier_accepts_the_fork(folder: Path) -> None:
    child = folder / "child"
    verify_run(child, str(load_key(folder / "lab.key").verifier))
    verify_fork(child, list(LogReader(child).leaves()))


def test_a_receipt_that_does_not_hold(folder: Path) -> None:
    child, key = folder / "child", bare_key(folder)
    fork_of = parse_fork((child / "fork.json").read_bytes())
    lines = fork_of.receipt.split("\n")
    lines[2], lines[3] = lines[3], lines[2]
    write_fork(child, type(fork_of)(**{**fork_of.__dict__, "receipt": "\n".join(lines)}))
    log_anew(child, key)
    assert "V880" in found(folder)
    with pytest.raises(BadError):
        verify_fork(child, list(LogReader(child).leaves()))


def test_what_cannot_be_forked(folder: Path, tmp_path: Path) -> None:
    cases = [
        ("parent", InputError, "I104"),
        ("parent@x", InputError, "I104"),
        (f"{folder / 'nowhere'}@2", LogError, "L192"),
        (f"{folder / 'parent'}@3", LogError, "L192"),
    ]
    for given, kind, code in cases:
        with pytest.raises(kind) as caught:
            train(tmp_path / "new", None, fork=given)
        assert caught.value.code == code
        assert not (tmp_path / "new").exists()
    state = folder / "parent/states/step=4/state.json"
    state.write_text(state.read_text().replace("position", "positiom"))
    with pytest.raises(LogError, match="L192"):
        train(tmp_path / "new", None, fork=f"{folder / 'parent'}@4")
    weights = folder / "parent/states/step=2/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    with pytest.raises(StorageError, match="S123"):
        train(tmp_path / "new", None, fork=f"{folder / 'parent'}@2")


def test_a_fork_of_another_model_leaves_nothing_behind(folder: Path, tmp_path: Path) -> None:
    model = nn.Linear(2, 2)
    before = model.weight.detach().clone()
    with pytest.raises(StorageError, match="S122"):
        gl.record(
            tmp_path / "new",
            model,
            optim.SGD(model.parameters(), lr=0.1),
            fork=f"{folder / 'parent'}@2",
        )
    assert torch.equal(model.weight, before)
    assert not (tmp_path / "new").exists()


def test_a_fork_that_was_cut_off_goes_on(folder: Path) -> None:
    key = folder / "lab.key"
    with pytest.raises(RuntimeError, match="cut off"):
        fork(folder, key, "cut", fail_at=5)
    with pytest.raises(StorageError, match="S103"):
        train(folder / "cut", key, fork=f"{folder / 'parent'}@4", on_imbalance="strict")
    fork(folder, key, "cut")
    ends = [read_json(folder / name / "end.json")["final_digest"] for name in ("cut", "child")]
    assert ends[0] == ends[1]
    report = check_run(folder / "cut", [load_key(key).verifier])
    assert report.is_clean
    assert len(list((folder / "cut").glob("resumes/*"))) == 1


def test_an_unsigned_parent(folder: Path, tmp_path: Path) -> None:
    train(tmp_path / "parent", None)
    fork(tmp_path, None)
    assert parse_fork((tmp_path / "child/fork.json").read_bytes()).verifier_keys == ()
    assert [item.code for item in check_run(tmp_path / "child").findings] == ["V901"]
