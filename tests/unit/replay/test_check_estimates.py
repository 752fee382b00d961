"""Estimates tested by sampled removals: the sample, its agreement, and processes side by side."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import gradledger as gl
from gradledger.errors import GradledgerError
from gradledger.query import draw_examples, open_records
from gradledger.query.sampled_removals import bootstrap
from gradledger.replay import settle

# Test folders are no packages: helpers are found through their folder.
sys.path.insert(0, str(Path(__file__).parent))
from whatif_oracle import make

ENTRY = """
import sys
sys.path.insert(0, {folder!r})
from whatif_oracle import make


def entry():
    run = make("sgd", clip=None)
    print("this line is no answer")
    return run.build, run.loop
"""


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """Small rates of plain descent, where removals are what was booked, to first order."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "named_loop.py").write_text(ENTRY.format(folder=str(Path(__file__).parent)))
    run = make("sgd", clip=None, record={"replay": "named_loop:entry", "state_every": 3})
    run.make_optimizer = lambda parameters: torch.optim.SGD(parameters, lr=1e-4)
    run.recorded(folder / "run")
    settle(folder / "run", run.build, run.loop)
    return run, folder / "run"


def test_the_estimate_ranks_small_removals_and_nothing_is_executed_twice(
    settled: tuple[Any, Path],
) -> None:
    run, folder = settled
    calls: list[int] = []

    def train(recorder: Any) -> None:
        calls.append(1)
        run.loop(recorder)

    told: list[tuple[int, int]] = []
    with gl.open(folder) as ledger:
        answer = ledger.check_estimates(
            6, strata="source", build=run.build, train=train, progress=lambda *at: told.append(at)
        )
        again = ledger.check_estimates(6, strata="source", build=run.build, train=train)
        row = answer.rows[0]
        assert (row["how"], row["kind"], row["pairs"]) == (
            "ledger",
            "accounting",
            6,
        )
        assert row["spearman"] == 1.0
        assert row["low"] <= row["spearman"] <= row["high"]
        assert again.rows == answer.rows
        assert len(calls) == 6
        assert told[-1] == (6, 6)
        pairs = answer.table("removals").records()
        assert {pair["stratum"] for pair in pairs} == {"a", "b", "c", "d"}
        assert all(pair["estimated"] == pytest.approx(pair["executed"], rel=2e-2) for pair in pairs)
        shown = ledger.whatif(pairs[0]["example"], build=run.build, train=run.loop)
    assert "over 6 sampled removals 1.00" in shown.table("answers").records()[1]["error"]


def test_processes_side_by_side_give_the_same(
    settled: tuple[Any, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, folder = settled
    # The workers learn of the module and of this source tree by the environment.
    places = [str(folder.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([*places, *sys.path]))
    text = folder.parent / "named_loop.py"
    text.write_text(
        text.read_text() + "\n\nimport torch\n\n\ndef entry():\n    run = make('sgd', clip=None)\n"
        "    run.make_optimizer = lambda p: torch.optim.SGD(p, lr=1e-4)\n"
        "    print('this line is no answer')\n    return run.build, run.loop\n"
    )
    with gl.open(folder) as ledger:
        with pytest.raises(GradledgerError) as caught:
            ledger.check_estimates(4, processes=2, build=run.build, train=run.loop)
        assert caught.value.code == "Q110"
        with pytest.raises(GradledgerError) as caught:
            ledger.check_estimates(4, seed=3, strata="source", processes=2, fresh=True)
        assert caught.value.code == "R133"
        one = ledger.check_estimates(
            4, seed=3, strata="source", build=run.build, train=run.loop, fresh=True
        )
        two = ledger.check_estimates(
            4, seed=3, strata="source", processes=2, trust_entry=True, fresh=True
        )
    assert two.table("removals").rows == one.table("removals").rows


def test_the_sample_is_spread_and_repeats(settled: tuple[Any, Path]) -> None:
    records = open_records(settled[1])
    try:
        drawn = draw_examples(records, 8, 1, "source")
        assert drawn == draw_examples(records, 8, 1, "source")
        assert drawn != draw_examples(records, 8, 2, "source")
        counts = [sum(item.stratum == name for item in drawn) for name in "abcd"]
        assert counts == [2, 2, 2, 2]
        assert len(draw_examples(records, 99, 1, "class")) == 12
        with pytest.raises(GradledgerError) as caught:
            draw_examples(records, 1, 1, "class")
        assert caught.value.code == "Q110"
    finally:
        records.close()


@settings(deadline=None, max_examples=15)
@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=2, max_size=12))
def test_the_interval_lies_within_what_a_rank_correlation_can_be(
    pairs: list[tuple[float, float]],
) -> None:
    rank, low, high = bootstrap(pairs, 0)
    if rank is None:
        assert low is high is None
        return
    assert low is not None
    assert high is not None
    assert -1 - 1e-9 <= low <= high <= 1 + 1e-9


def test_the_interval_narrows_with_the_sample() -> None:
    generator = np.random.default_rng(1)
    values = generator.normal(size=(400, 2)) @ np.array([[1.0, 0.6], [0.0, 0.8]])
    pairs = [(float(a), float(b)) for a, b in values]
    widths = [high - low for _, low, high in (bootstrap(pairs[:n], 0) for n in (20, 400))]  # type: ignore[operator]
    assert widths[1] < widths[0] / 2
    assert json.loads(json.dumps(bootstrap(pairs, 0)))
