"""Interventions and erasure on a run whose loop is the user's own script."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

import gradledger as gl
from gradledger.errors import GradledgerError
from gradledger.ledger import verify_run
from gradledger.log import SigningKey

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parent / "scripts" / "foreign.py"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("script") / "run"
    subprocess.run([sys.executable, SCRIPT, folder], check=True, stdout=2)
    return folder


def test_a_removal_from_the_middle_equals_one_from_the_start(recorded: Path) -> None:
    command = [sys.executable, str(SCRIPT), str(recorded)]
    with gl.open(recorded) as ledger:
        visits = ledger.follow(3).facts["visits"]
        middle = ledger.whatif(3, steps=(8, 12), command=command)
        (place,) = recorded.with_name("run.replays").glob("*/model.safetensors")
        from_middle = load_file(place)
        start = ledger.whatif(3, steps=(8, 12), command=command, fresh=True, start=0)
    from_start = load_file(place)
    assert visits
    assert "begun from the state after step" in middle.facts["bit-identical steps"]
    assert "begun" not in start.facts["bit-identical steps"]
    assert middle.facts["same final model"] is False
    assert all(from_middle[name].equal(value) for name, value in from_start.items())


def test_what_a_script_cannot_do_is_said(recorded: Path) -> None:
    command = [sys.executable, str(SCRIPT), str(recorded)]
    with gl.open(recorded) as ledger:
        for more in ({"observe": {"one": lambda _: 1.0}}, {"build": lambda: None}):
            with pytest.raises(GradledgerError) as caught:
                ledger.whatif(5, command=command, **more)
            assert caught.value.code == "Q110"


def test_an_erasure_by_script(recorded: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(recorded, run)
    with gl.open(run) as ledger:
        answer = ledger.erase(
            2,
            key=SigningKey.generate("example.org/log"),
            command=[sys.executable, str(SCRIPT), str(run)],
        )
    assert answer.facts["examples erased"] == 1
    assert verify_run(run).is_clean
    # Its items are changed at random whenever they are read: there is no content to look for.
    assert ledger.path == run.resolve()
