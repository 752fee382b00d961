"""The commands on states, use and counterfactuals, on a run that was really recorded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gradledger.cli.main import main

PROGRAM = """
import sys
import gradledger as gl, torch
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset

def build():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2))
    return model, optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

def train(run):
    data = torch.randn(12, 4, generator=torch.Generator().manual_seed(1))
    kept = run.admit(TensorDataset(data), {"source": ["abc"[n % 3] for n in range(12)]})
    for batch in run.batches(DataLoader(kept, batch_size=3)):
        with run.step(batch):
            run.model(batch[0]).square().mean().backward()
            run.optimizer.step()
            run.optimizer.zero_grad()

def entry(scale=1.0):
    return build, train, {"scaled weight": lambda model: float(scale) * model[0].weight.sum()}

if __name__ == "__main__":
    run = gl.record(sys.argv[1], *build(), state_every=2, replay="loop_of_run:entry",
                    replay_arguments={"scale": 2.0})
    with run:
        train(run)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("past")
    (place / "loop_of_run.py").write_text(PROGRAM)
    subprocess.run([sys.executable, "loop_of_run.py", "run"], cwd=place, check=True)
    return place / "run"


@pytest.fixture
def importable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(folder.parent))


def ask(capsys: pytest.CaptureFixture[str], *words: object, code: int = 0) -> dict:
    assert main([*map(str, words), "--json"]) == code
    said = capsys.readouterr()
    return json.loads(said.err if code == 2 else said.out)


def test_code_that_a_run_names_is_not_imported_unasked(
    folder: Path, importable: None, capsys: pytest.CaptureFixture[str]
) -> None:
    sys.modules.pop("loop_of_run", None)
    answer = ask(capsys, "whatif", folder, "--nothing", code=2)
    assert answer["error"]["code"] == "R133"
    assert "--trust-entry" in answer["error"]["hint"]
    assert "loop_of_run" not in sys.modules


def test_nothing_changed_and_one_source_removed(
    folder: Path, importable: None, capsys: pytest.CaptureFixture[str]
) -> None:
    same = ask(capsys, "whatif", folder, "--nothing", "--trust-entry")
    assert same["facts"]["same final model"] is True
    removed = ask(capsys, "whatif", folder, "--source", "a", "--trust-entry", "--set", "scale=3")
    assert removed["kind"] == "truth"
    assert removed["facts"]["examples affected"] == 4
    assert removed["facts"]["same final model"] is False
    # Stored by now: nothing is imported or executed, so that no trust is needed.
    assert ask(capsys, "whatif", folder, "--source", "a") == removed
    halved = ask(capsys, "whatif", folder, "--source", "a", "--factor", "0.5", "--trust-entry")
    held = ask(capsys, "whatif", folder, "--source", "a", "--profile", "0,1", "--trust-entry")
    totals = [answer["tables"]["units"]["rows"][-1] for answer in (removed, halved, held)]
    assert all(total["distance"] > 0 for total in totals)
    assert held["tables"]["units"]["rows"][0]["distance"] > 0


def test_recorded_arguments_reach_the_loop(
    folder: Path, importable: None, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["whatif", folder, "--source", "b", "--trust-entry", "--fresh"]
    rows = [
        ask(capsys, *words, *more)["tables"]["observations"]["rows"][0]
        for more in ([], ["--set", "scale=4"])
    ]
    assert {row["name"] for row in rows} == {"scaled weight"}
    # Recorded is 2; what is set comes as text, for the entry to read.
    assert rows[1]["recorded"] == pytest.approx(2 * rows[0]["recorded"])
    assert rows[1]["executed"] == pytest.approx(2 * rows[0]["executed"])


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--nothing", "--source", "a"],
        ["--source", "a", "--factor", "0.5", "--profile", "full"],
        ["--source", "a", "--set", "scale"],
    ],
)
def test_words_that_do_not_fit(
    words: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(capsys, "whatif", folder, *words, code=2)["error"]["code"] == "Q110"


def test_states_diff_and_first_use(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    states = ask(capsys, "states", folder)
    assert [row["step"] for row in states["tables"]["states"]["rows"]] == [0, 2, 4]
    diff = ask(capsys, "diff", folder, 0, 4, "--by", "group")
    assert diff["facts"]["stored states at both ends"] is True
    first = ask(capsys, "first-use", folder, "--example", "7")
    assert first["facts"]["first visit"] == "step 3"
    assert first["facts"]["last clean model state"] == "after step 2"


def test_exclude_is_a_gate(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(capsys, "exclude", folder, "--source", "a", code=1)["findings"] == 4
    assert ask(capsys, "exclude", folder, "--source", "z")["findings"] == 0


def test_stored_answers_need_no_torch(
    folder: Path, importable: None, capsys: pytest.CaptureFixture[str]
) -> None:
    ask(capsys, "whatif", folder, "--source", "c", "--trust-entry")
    program = (
        "import sys; from gradledger.cli.main import main\n"
        f"code = main(['whatif', {str(folder)!r}, '--source', 'c'])\n"
        "sys.exit(code or int('torch' in sys.modules))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    assert "executed" in answer.stdout
