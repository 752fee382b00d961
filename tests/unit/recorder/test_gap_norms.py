"""Norms under the update rate: a booked gap ratio is exact, or far below its bar."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gradledger.segment import read_table
from gradledger.update import precision_of

sys.path.insert(0, str(Path(__file__).parent))
from conftest import OPTIMIZERS, Training

_COLUMNS = ["step", "group", "gap_ratio", "gap_norm", "contributions_norm", "visit_norms"]


@pytest.mark.parametrize("name", ["adam", "adamw", "rmsprop", "adagrad", "nadam"])
def test_a_ratio_without_norms_is_a_bound_far_below_the_bar(name: str, tmp_path: Path) -> None:
    rows = {}
    for always in (False, True):
        run = Training(OPTIMIZERS[name], steps=8, record={"update_norms": always})
        run.recorded(tmp_path / str(always))
        rows[always] = read_table(tmp_path / str(always), "books", _COLUMNS).to_pylist()
    tolerance = precision_of(next(run.build()[0].parameters()).dtype).tolerance
    bounded = 0
    for lazy, exact in zip(rows[False], rows[True], strict=True):
        assert exact["visit_norms"] is not None
        if lazy["visit_norms"] is None:
            bounded += 1
            assert exact["gap_ratio"] <= lazy["gap_ratio"] * (1 + 1e-9)
            assert lazy["gap_ratio"] <= tolerance / 20
        else:
            assert lazy["gap_ratio"] == pytest.approx(exact["gap_ratio"], rel=1e-5)
    # The norms are spared where nothing hangs on them.
    assert bounded > len(rows[False]) / 2
