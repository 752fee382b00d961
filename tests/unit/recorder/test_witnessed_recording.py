"""Witnesses while recording: asked at the begin and at the end, by a command that serves one."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn, optim

import gradledger as gl
from gradledger.cli.main import main
from gradledger.errors import LogError
from gradledger.log import KeyKind, LogReader, SigningKey, VerifierKey, save_key


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A folder with the key of a lab and that of a witness."""
    save_key(SigningKey.generate("example.org/lab"), tmp_path / "lab.key")
    witness = SigningKey.generate("witness.example/1", KeyKind.WITNESS)
    save_key(witness, tmp_path / "witness.key")
    return tmp_path


@pytest.fixture
def served(keys: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Path]:
    """The policy of a witness that a command serves; it knows the lab."""
    assert main(["key", "show", str(keys / "lab.key")]) == 0
    lab = capsys.readouterr().out.strip()
    command = [sys.executable, "-m", "gradledger.cli.main", "witness", "serve"]
    command += [str(keys / "memory"), "--key", str(keys / "witness.key"), "--log-key", lab]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url, key = process.stdout.readline().split()
        policy = keys / "quorum"
        policy.write_text(f"witness W {key} {url}\nquorum W\n", encoding="utf-8")
        yield policy
        process.terminate()
        process.wait(10)


def train(folder: Path, keys: Path, steps: int = 2, **settings: object) -> None:
    torch.manual_seed(1)
    model = nn.Linear(3, 2)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    data = torch.randn(8, 3)
    with gl.record(folder, model, optimizer, key=keys / "lab.key", **settings) as run:
        run.admit(list(data))
        for number in range(steps):
            rows = [2 * number, 2 * number + 1]
            with run.step(data[rows], examples=rows):
                model(data[rows]).square().mean().backward()
                optimizer.step()
            optimizer.zero_grad()


def test_a_run_is_cosigned_from_begin_to_end(
    keys: Path, served: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = keys / "run"
    train(run, keys, witnesses=served)
    heads = sorted((run / "log/checkpoints").iterdir(), key=lambda path: int(path.name))
    cosigned = ["witness.example/1" in path.read_text(encoding="utf-8") for path in heads]
    assert cosigned[-1]
    assert sum(cosigned) == 2
    arguments = ["verify", str(run), "--quorum", str(served), "--witness", str(served), "--json"]
    assert main(arguments) == 0
    found = json.loads(capsys.readouterr().out)["findings"]
    assert [item["code"] for item in found] == ["V902"]
    assert main(["witness", "cosign", str(run), str(served)]) == 0


def test_a_run_from_an_old_copy_is_refused_before_training(keys: Path, served: Path) -> None:
    run, old = keys / "run", keys / "old"

    class CutError(Exception):
        """Ends a run before its close."""

    def cut(folder: Path, *, copy: bool = False) -> None:
        torch.manual_seed(1)
        model = nn.Linear(3, 2)
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        with gl.record(
            folder, model, optimizer, key=keys / "lab.key", witnesses=served, resume=True
        ):
            if copy:
                shutil.copytree(folder, old, ignore=shutil.ignore_patterns("run.lock"))
            raise CutError

    with pytest.raises(CutError):
        cut(run, copy=True)
    with pytest.raises(CutError):
        cut(run)  # the log goes on, and is cosigned
    shutil.rmtree(keys / "lab.key.signed")  # what the key remembers is lost; the witness's is not
    with pytest.raises(LogError, match="L141"):
        cut(old)
    assert main(["verify", str(old), "--witness", str(served)]) == 1
    assert main(["verify", str(run), "--witness", str(served)]) == 0


def test_a_witness_that_is_gone_at_the_end_is_a_warning(keys: Path) -> None:
    """The run is closed all the same, and can be cosigned later."""

    class Going:
        def __init__(self) -> None:
            self.asked = 0

        @property
        def verifier(self) -> VerifierKey:
            return SigningKey.generate("w", KeyKind.WITNESS).verifier

        def last_size(self, origin: str) -> int:
            raise LogError("L190", observed="no answer", expected="one", where=origin)

    with pytest.raises(LogError, match="L190"):
        train(keys / "first", keys, witnesses=[Going()])
    with pytest.warns(RuntimeWarning, match="not cosigned by"):
        _close_with(keys, Going())
    assert (keys / "run/manifest.json").is_file()
    assert LogReader(keys / "run").checkpoint.signed


def _close_with(keys: Path, witness: object) -> None:
    model = nn.Linear(3, 2)
    run = gl.record(
        keys / "run", model, optim.SGD(model.parameters(), lr=0.1), key=keys / "lab.key"
    )
    run._journal._log._witnesses = (witness,)
    run.close()


def test_an_unsigned_run_has_no_witness(keys: Path, served: Path) -> None:
    model = nn.Linear(3, 2)
    with pytest.raises(LogError, match="L141"):
        gl.record(keys / "run", model, optim.SGD(model.parameters(), lr=0.1), witnesses=served)


def test_a_witness_needs_keys(keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = str(keys / "witness.key")
    assert main(["witness", "serve", str(keys / "memory"), "--key", key]) == 2
    assert "Q110" in capsys.readouterr().err
    train(keys / "run", keys)
    assert main(["witness", "cosign", str(keys / "run"), str(keys / "memory")]) == 2
    assert main(["witness", "cosign", str(keys / "run"), "http://127.0.0.1:1"]) == 2
    assert "L190" in capsys.readouterr().err
