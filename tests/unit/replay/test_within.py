"""A what-if within a time: executed where that fits, else what can be believed, else refused."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from torch import optim

import gradledger as gl
from gradledger.errors import QueryError

sys.path.insert(0, str(Path(__file__).parent))
from whatif_oracle import make

SELECTION = {"source": "b"}


def recorded(folder: Path, **settings: Any) -> Any:
    run = make("adamw")
    run.make_optimizer = lambda p: optim.AdamW(p, **settings)
    run.recorded(folder)
    return run


def last(run: Any) -> Any:
    tokens = run.data().tensors[0]
    return lambda model: run.loss(model, tokens[8:]).mean()


def test_truth_then_prediction_then_the_books(tmp_path: Path) -> None:
    run = recorded(tmp_path / "run", lr=1e-2, eps=1e-3)
    loop = {"build": run.build, "train": run.loop}
    with gl.open(tmp_path / "run") as ledger:
        with pytest.raises(QueryError, match="Q174") as refused:
            ledger.whatif(SELECTION, within_seconds=0.0)
        assert "steps to execute" in str(refused.value)
        ledger.settle(**loop)
    with gl.open(tmp_path / "run") as ledger:
        booked = ledger.whatif(SELECTION, within_seconds=0.0)
        assert booked.kind == "accounting"
        assert str(booked.facts["answered by"]).startswith("ledger: executing does not fit")
        ledger.influence({"last": last(run)}, **loop)
        foretold = ledger.whatif(SELECTION, within_seconds=0.0)
        assert foretold.kind == "prediction"
        assert str(foretold.facts["answered by"]).startswith("adjoint: executing does not fit")
        truth = ledger.whatif(SELECTION, within_seconds=600.0, **loop)
        assert truth.kind == "truth"
        assert "fits into 600 s" in str(truth.facts["answered by"])
        again = ledger.whatif(SELECTION, within_seconds=0.0)
        assert again.kind == "truth"
        assert "stored" in str(again.facts["answered by"])
        assert "1 replays of this run" in str(again.facts["truth would cost"])


def test_what_is_not_reliable_is_executed_or_refused(tmp_path: Path) -> None:
    run = recorded(tmp_path / "run", lr=0.3, betas=(0.0, 0.0), eps=1e-12)
    loop = {"build": run.build, "train": run.loop}
    with gl.open(tmp_path / "run") as ledger:
        ledger.influence({"last": last(run)}, removals=0, **loop)
        ledger.settle(**loop)
        for asked in ({"how": "adjoint"}, {"within_seconds": 0.0}):
            with pytest.raises(QueryError, match="Q173") as refused:
                ledger.whatif(SELECTION, **asked)
            assert "relative error" in str(refused.value) or "same way" in str(refused.value)
            assert "steps to execute" in str(refused.value)
        executed = ledger.whatif(SELECTION, within_seconds=600.0, **loop)
        assert executed.kind == "truth"
        with pytest.raises(QueryError, match="Q110"):
            ledger.whatif(SELECTION, how="adjoint", within_seconds=1.0)


def test_cost_counts_steps_from_the_last_state_before_the_first_visit(tmp_path: Path) -> None:
    run = recorded(tmp_path / "run", lr=1e-2, eps=1e-3)
    with gl.open(tmp_path / "run") as ledger:
        for steps in ((9, 9), (5, 9), (1, 9)):
            answer = ledger.whatif(
                SELECTION, steps=steps, within_seconds=600.0, build=run.build, train=run.loop
            )
            phrase = str(answer.facts["truth would cost"])
            num = int(phrase.split(": ")[1].split(" ", maxsplit=1)[0])
            begun = str(answer.facts["bit-identical steps"]).rpartition("after step ")[2]
            assert num == 9 - (int(begun) if begun.isdecimal() else 0)
