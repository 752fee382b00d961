"""Keys on the command line: made, shown, and handed on."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
import torch

import gradledger as gl
from gradledger.cli.main import main
from gradledger.log import load_key


def ask(capsys: pytest.CaptureFixture[str], *words: object, code: int = 0) -> str:
    assert main([*map(str, words)]) == code
    said = capsys.readouterr()
    return said.out if code == 0 else said.err


def train(folder: Path, key: Path) -> None:
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with gl.record(folder, model, optimizer, key=key) as run:
        data = run.admit(torch.randn(4, 3).unbind())
        with run.step(data[0][None], examples=[0]):
            model(data[0][None]).square().mean().backward()
            optimizer.step()


@pytest.fixture
def keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Names of key files and what they print."""
    return {
        name: ask(capsys, "key", "generate", tmp_path / name, "--name", "example.org/lab").strip()
        for name in ("old", "new", "other")
    }


def test_a_key_file_is_its_owners_alone(tmp_path: Path, keys: dict[str, str], capsys) -> None:
    assert stat.S_IMODE((tmp_path / "old").stat().st_mode) == 0o600
    assert ask(capsys, "key", "show", tmp_path / "old").strip() == keys["old"]
    shown = json.loads(ask(capsys, "key", "show", tmp_path / "old", "--json"))
    assert shown == {"verifier_key": keys["old"], "name": "example.org/lab", "kind": "LOG"}
    (tmp_path / "old").chmod(0o640)
    assert "L102" in ask(capsys, "key", "show", tmp_path / "old", code=2)


def test_a_log_is_handed_on_and_either_key_is_enough(
    tmp_path: Path, keys: dict[str, str], capsys
) -> None:
    run, old, new = tmp_path / "run", tmp_path / "old", tmp_path / "new"
    train(run, old)
    said = json.loads(ask(capsys, "key", "rotate", run, "--key", old, "--to", new, "--json"))
    assert said["verifier_key"] == str(load_key(new).named(said["origin"]).verifier)
    for name, code in (("old", 0), ("new", 0), ("other", 1)):
        ask(capsys, "verify", run, "--key", keys[name], code=code)
    ask(capsys, "receipt", run, "--step", 1, "-o", tmp_path / "step.json")
    for name, code in (("old", 0), ("new", 0), ("other", 1)):
        ask(capsys, "check", tmp_path / "step.json", "--key", keys[name], code=code)


def test_only_the_present_key_hands_on(tmp_path: Path, keys: dict[str, str], capsys) -> None:
    run, old, new, other = (tmp_path / name for name in ("run", "old", "new", "other"))
    train(run, old)
    before = (run / "log/checkpoint").read_bytes()
    for arguments in (["--key", other, "--to", new], ["--key", old, "--to", old]):
        assert "L136" in ask(capsys, "key", "rotate", run, *arguments, code=2)
    assert (run / "log/checkpoint").read_bytes() == before
    ask(capsys, "key", "rotate", run, "--key", old, "--to", new)
    assert "L136" in ask(capsys, "key", "rotate", run, "--key", old, "--to", other, code=2)
    ask(capsys, "key", "rotate", run, "--key", new, "--to", other)
    ask(capsys, "verify", run, "--key", keys["other"])


def test_a_begin_record_without_a_run_is_refused(
    tmp_path: Path, keys: dict[str, str], capsys
) -> None:
    train(tmp_path / "run", tmp_path / "old")
    (tmp_path / "run/run.json").write_text("[]")
    words = ("key", "rotate", tmp_path / "run", "--key", tmp_path / "old", "--to", tmp_path / "new")
    assert "L132" in ask(capsys, *words, code=2)
    assert len(keys) == 3
