"""Rows of a segment hash to one root, whoever hashes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gradledger.log import hash_segment
from gradledger.log import hashed_rows as module
from gradledger.log.rows import hash_rows
from gradledger.merkle import root_hash
from gradledger.segment import SegmentWriter


@pytest.mark.parametrize("num_rows", [1, 4095, 4096, 8193, 70_000])
def test_compiled_or_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_rows: int) -> None:
    writer = SegmentWriter(tmp_path, "probes/values", {})
    steps = np.arange(num_rows, dtype=np.int32)
    names = [f"probe {number % 7}" for number in range(num_rows)]
    writer.append({"probe": names, "step": steps, "value": np.sqrt(steps.astype(np.float64))})
    path = tmp_path / writer.seal().name
    found = hash_segment(path)
    assert found.inner_root == root_hash(hash_rows(path)[1])
    monkeypatch.setattr(module, "compiled_hashes", lambda: None)
    assert hash_segment(path) == found


def test_few_rows_load_no_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        message = "not worth it"
        raise AssertionError(message)

    monkeypatch.setattr(module, "compiled_hashes", fail)
    writer = SegmentWriter(tmp_path, "probes/values", {})
    writer.append({"probe": ["a"], "step": [1], "value": [0.5]})
    assert hash_segment(tmp_path / writer.seal().name).num_rows == 1
