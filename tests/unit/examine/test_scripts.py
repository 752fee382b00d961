"""Scripts and functions examined from the command line, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = """\
import sys, torch
from pathlib import Path
from torch.utils.data import DataLoader, TensorDataset
import gradledger as gl

print("the script speaks")
torch.manual_seed(0)
dataset = TensorDataset(torch.randn(32, 6), torch.arange(32) % 3)
model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.GELU(), torch.nn.Linear(8, 3))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
run = gl.record("runs/first", model, optimizer{settings})
kept = run.admit(dataset, metadata={{"source": ["a"] * 32}})
try:
    for batch in run.batches(DataLoader(kept, batch_size=8)):
        with run.step({step}) as step:
            {body}
            optimizer.step()
            Path("trained").write_text("an update was made")
            optimizer.zero_grad()
finally:
    Path("cleaned").write_text("clean-up ran on")
run.close()
Path("model.bin").write_text("written")
"""
ONE = "torch.nn.functional.cross_entropy(model(batch[0]), batch[1]).backward()"
TWO = """\
for half in (slice(0, 4), slice(4, 8)):
                part = (batch[0][half], batch[1][half])
                with step.micro_batch(part, examples=range(half.start, half.stop)):
                    with torch.autocast("cpu", dtype=torch.bfloat16, enabled={mixed}):
                        logits = model(batch[0][half])
                    torch.nn.functional.cross_entropy(logits, batch[1][half]).backward()"""


def doctor(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gradledger.cli.main", "doctor", "--rounds", "2", *words],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def script(folder: Path, *, settings: str = "", step: str = "batch", body: str = ONE) -> Path:
    path = folder / "train.py"
    path.write_text(SCRIPT.format(settings=settings, step=step, body=body), encoding="utf-8")
    return path


def answer(said: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert said.stdout, said.stderr
    return json.loads(said.stdout)


def test_a_script_is_stopped_before_anything_is_trained_or_written(tmp_path: Path) -> None:
    said = doctor(tmp_path, str(script(tmp_path)), "--json", "--steps", "40")
    assert said.returncode == 0, said.stderr
    assert "the script speaks" in said.stderr
    found = answer(said)
    assert found["facts"]["admitted"] == "32 of 32 examples"
    assert found["facts"]["visits per step"] == 8
    assert [row["arm"] for row in found["tables"]["cost"]["rows"]] == ["plain", "recorded"]
    assert found["facts"]["books of the trial"].get("unbalanced", 0) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"train.py"}


def test_accumulation_is_repeated_as_it_was(tmp_path: Path) -> None:
    body = TWO.format(mixed="False")
    said = doctor(tmp_path, str(script(tmp_path, step="", body=body)), "--json")
    assert said.returncode == 0, said.stdout + said.stderr
    assert answer(said)["facts"]["visits per step"] == 8


def test_autocast_is_repeated_and_judged(tmp_path: Path) -> None:
    """Whatever recording makes of mixed formats, it is an answer and no crash of the doctor."""
    body = TWO.format(mixed="True")
    said = doctor(tmp_path, str(script(tmp_path, step="", body=body)), "--json")
    found = answer(said)
    assert said.returncode == (1 if found["findings"] else 0)
    assert "Expected" not in said.stdout, "formats of outputs and of their gradients differ"
    measured = "cost" in found["tables"]
    assert measured or found["tables"]["findings"]["rows"][0]["where"] == "trial"


def test_what_recording_would_refuse_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "runs" / "first").mkdir(parents=True)
    (tmp_path / "runs" / "first" / "old.txt").write_text("taken", encoding="utf-8")
    said = doctor(tmp_path, str(script(tmp_path)), "--json")
    assert said.returncode == 1, said.stderr
    rows = answer(said)["tables"]["findings"]["rows"]
    assert [(row["effect"], row["code"]) for row in rows] == [("stops", "S101")]
    assert not (tmp_path / "trained").exists()
    said = doctor(tmp_path, str(script(tmp_path, settings=', level="all"')))
    assert said.returncode == 1
    assert "I104" in said.stdout
    early = script(tmp_path, body="optimizer.step(); " + ONE)
    said = doctor(tmp_path, str(early))
    assert said.returncode == 1
    assert "trained" not in {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize(
    ("text", "observed"),
    [
        ("raise RuntimeError('no data')", "RuntimeError: no data"),
        ("print('done')", "the script ended"),
        ("import sys; sys.exit(3)", "ended with 3"),
        ("import os; os._exit(7)", "status 7"),
    ],
)
def test_scripts_that_reach_no_step_cannot_be_examined(
    text: str, observed: str, tmp_path: Path
) -> None:
    (tmp_path / "train.py").write_text(text, encoding="utf-8")
    said = doctor(tmp_path, "train.py", "--json")
    assert said.returncode == 2
    error = json.loads(said.stderr[said.stderr.index("{") :])["error"]
    assert error["code"] == "I141"
    assert observed in error["observed"]
    assert said.stdout == ""


def test_a_script_that_is_not_there(tmp_path: Path) -> None:
    said = doctor(tmp_path, "nowhere.py")
    assert said.returncode == 2
    assert "[I141]" in said.stderr


def test_arguments_after_dashes_are_the_scripts(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(
        "import sys; raise ValueError(sys.argv[1:])", encoding="utf-8"
    )
    said = doctor(tmp_path, "train.py", "--", "--rate", "3")
    assert "['--rate', '3']" in said.stderr


def test_processes_of_the_script_may_not_record(tmp_path: Path) -> None:
    script(tmp_path).rename(tmp_path / "inner.py")
    (tmp_path / "outer.py").write_text(
        "import subprocess, sys\nsubprocess.run([sys.executable, 'inner.py'])\n", encoding="utf-8"
    )
    said = doctor(tmp_path, "outer.py")
    assert said.returncode == 2
    assert "[I143]" in said.stderr
    assert not (tmp_path / "runs").exists()


MODULE = """\
import torch

def plain():
    model = torch.nn.Linear(4, 2)
    return model, torch.optim.SGD(model.parameters(), lr=0.1)

def whole():
    model, optimizer = plain()
    return model, optimizer, torch.randn(6, 4), lambda model, batch: model(batch).square().mean(1)

def normed():
    model = torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.BatchNorm1d(2))
    return model, torch.optim.SGD(model.parameters(), lr=0.1)

def wrong():
    return "nothing"
"""


@pytest.mark.parametrize(
    ("name", "status", "said_so"),
    [
        ("plain", 0, "all fine"),
        ("whole", 0, "Cost: wall time"),
        ("normed", 1, "rows of a batch are coupled"),
        ("wrong", 2, "[I142]"),
        ("absent", 2, "[I142]"),
    ],
)
def test_functions_are_examined(name: str, status: int, said_so: str, tmp_path: Path) -> None:
    (tmp_path / "recipes.py").write_text(MODULE, encoding="utf-8")
    said = doctor(tmp_path, f"recipes:{name}")
    assert said.returncode == status, said.stderr
    assert said_so in " ".join((said.stdout + said.stderr).split())
