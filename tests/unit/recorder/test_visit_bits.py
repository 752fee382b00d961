"""Figures of visits may be kept with fewer bits; the books and the model never are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import gradledger as gl
from gradledger.errors import InputError
from gradledger.recorder.visit_rows import rounded
from gradledger.segment import read_json, read_table
from gradledger.verify import check_run

NORMAL = st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False)


@given(arrays(np.float32, (4, 3), elements=NORMAL), st.integers(8, 23))
def test_rounding_is_to_the_nearest_of_so_many_bits(values: np.ndarray, bits: int) -> None:
    # Above the largest number of so many bits there is no nearest one but infinity.
    values = np.where(np.abs(values) > 3e38, np.float32(1), values).astype(np.float32)
    found = rounded(values, bits)
    assert found.dtype == np.float32
    dropped = found.view(np.uint32) & np.uint32((1 << (23 - bits)) - 1)
    assert not dropped.any()
    error = np.abs(found.astype(np.float64) - values)
    assert (error <= np.abs(values.astype(np.float64)) * 2.0 ** -(bits + 1)).all()


def test_what_is_no_number_stays() -> None:
    odd = np.array([[np.nan, np.inf, -np.inf, 0.0, -0.0]], np.float32)
    assert np.array_equal(rounded(odd, 8), odd, equal_nan=True)
    assert np.signbit(rounded(odd, 8))[0, -1]


def test_only_the_figures_of_visits_are_rounded(
    training: Any, make_optimizer: Any, tmp_path: Path
) -> None:
    whole = training(make_optimizer)
    short = training(make_optimizer, record={"visit_bits": 12})
    models = whole.recorded(tmp_path / "whole"), short.recorded(tmp_path / "short")
    for one, other in zip(*(model.parameters() for model in models), strict=True):
        assert one.equal(other)
    for table in ("books",):
        assert read_table(tmp_path / "whole", table).equals(read_table(tmp_path / "short", table))
    said, kept = (read_table(tmp_path / name, "visits") for name in ("whole", "short"))
    changed = 0
    for name in said.column_names:
        one, other = said[name], kept[name]
        if not name.startswith(("align", "gnorm")):
            # Digests of what was presented are keyed by salts of each run.
            assert name == "digest" or one.equals(other), name
            continue
        first, second = (column.to_numpy(zero_copy_only=False) for column in (one, other))
        np.testing.assert_allclose(second, first, rtol=2.0**-13)
        changed += not one.equals(other)
    assert changed
    assert read_json(tmp_path / "short" / "run.json")["settings"]["visit_bits"] == 12
    assert not [f for f in check_run(tmp_path / "short").findings if f.code < "V900"]
    for name, is_short in (("whole", False), ("short", True)):
        with gl.open(tmp_path / name) as ledger:
            answers = [ledger.trace(measure="energy"), ledger.timeline(), ledger.matrix()]
        for answer in answers:
            assert any("kept to 12 bits, within 0.00012" in n for n in answer.notes) == is_short


@pytest.mark.parametrize("bits", [0, 7, 24])
def test_other_numbers_of_bits_are_refused(
    bits: int, training: Any, make_optimizer: Any, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="I104"):
        training(make_optimizer, record={"visit_bits": bits}).recorded(tmp_path / "run")
    assert not (tmp_path / "run").exists()
