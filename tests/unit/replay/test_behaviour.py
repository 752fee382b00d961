"""Texts: read by the final model, continued by it, and differentiated through the run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn, optim

import gradledger as gl
from gradledger.errors import QueryError
from gradledger.replay import TrainingLoop
from gradledger.replay.adjoint import derive
from gradledger.replay.recorded import RecordedRun

sys.path.insert(0, str(Path(__file__).parent))
from whatif_oracle import make

#: A text of five pieces in two lines.
TEXT = "ab\ncd"


def letters(run: Any) -> Any:
    """Every letter is an example of the training: its loss is the loss on it."""

    def read(text: str) -> tuple[list[str], Callable[[nn.Module], Tensor]]:
        rows = run.data().tensors[0][[ord(letter) % 12 for letter in text]]

        def losses(model: nn.Module) -> Tensor:
            found = run.loss(model, rows)
            return torch.cat([found.new_zeros(1), found[1:]])

        return list(text), losses

    return read


def written(prompt: str) -> Any:
    del prompt
    return lambda model: (["c", "d"], lambda other: torch.zeros(2))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path, TrainingLoop]:
    run, folder = make("adamw"), tmp_path_factory.mktemp("behaviour") / "run"
    run.make_optimizer = lambda p: optim.AdamW(p, lr=1e-2, eps=1e-3)
    run.recorded(folder)
    return run, folder, TrainingLoop(run.build, run.loop, written=written, read=letters(run))


def test_a_text_is_read_line_by_line(recorded: tuple[Any, Path, TrainingLoop]) -> None:
    run, folder, loop = recorded
    with gl.open(folder) as ledger:
        answer = ledger.behaviour(TEXT, loop=loop)
        written = ledger.behaviour(prompt="ab\n", loop=loop)
    model, _ = run.build()
    model.load_state_dict(load_file(folder / "states" / "step=9" / "model.safetensors"))
    wanted = loop.read(TEXT)[1](model.eval()).tolist()
    pieces = answer.table("pieces").records()
    assert "".join(row["text"] for row in pieces) == TEXT
    assert [row["nats"] for row in pieces] == pytest.approx(wanted)
    lines = answer.table("lines").records()
    assert [(row["first"], row["last"], row["text"]) for row in lines] == [
        (0, 2, "ab"),
        (3, 4, "cd"),
    ]
    assert lines[0]["mean"] == pytest.approx(sum(wanted[:3]) / 2)  # the first is not predicted
    assert written.table("pieces").rows == answer.table("pieces").rows
    assert written.facts["written by"] != answer.facts["written by"]


def test_what_is_behind_some_pieces_is_their_derivative(
    recorded: tuple[Any, Path, TrainingLoop],
) -> None:
    run, folder, loop = recorded
    losses = loop.read(TEXT)[1]
    whole = {"t": lambda model: losses(model)[3:5].mean()}
    found = derive(RecordedRun(folder), run.build, run.loop, whole).by_example(12)[0]
    with gl.open(folder) as ledger:
        answer = ledger.behind(TEXT, span=(3, 4), order="signed", top=12, loop=loop)
        again = ledger.behind(TEXT, span=(3, 4), order="signed", top=12, stored=True)
        with pytest.raises(QueryError, match="Q171"):
            ledger.behind(TEXT, stored=True)
    values = {row["example"]: row["influence"] for row in answer.rows}
    assert [values[number] for number in range(12)] == pytest.approx(found.tolist())
    assert again.rows == answer.rows
    assert np.all(np.diff([row["influence"] for row in answer.rows]) <= 0)


@pytest.mark.parametrize("span", [(0, 0), (-1, 2), (2, 9), (4, 3)])
def test_pieces_that_are_not_predicted_are_refused(
    span: tuple[int, int], recorded: tuple[Any, Path, TrainingLoop]
) -> None:
    _, folder, loop = recorded
    with gl.open(folder) as ledger, pytest.raises(QueryError, match="Q110"):
        ledger.behind(TEXT, span=span, loop=loop)


def test_a_loop_that_reads_no_texts_says_so(recorded: tuple[Any, Path, TrainingLoop]) -> None:
    _, folder, loop = recorded
    with gl.open(folder) as ledger:
        with pytest.raises(QueryError, match="Q110") as raised:
            ledger.behaviour(TEXT, loop=replace(loop, read=None))
        assert "read=" in raised.value.expected
        with pytest.raises(QueryError, match="Q110"):
            ledger.behaviour(TEXT, prompt="both", loop=loop)
