"""Rows of a segment hash to one root, whoever hashes them."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import numpy as np
import pytest

from gradledger.errors import StorageError
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


def test_threads_change_nothing_and_hide_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = SegmentWriter(tmp_path, "probes/values", {})
    steps = np.arange(200_000, dtype=np.int32)
    values = np.random.default_rng(0).standard_normal(len(steps))
    writer.append({"probe": ["a"] * len(steps), "step": steps, "value": values})
    path = tmp_path / writer.seal().name
    found = hash_segment(path)
    assert (found.num_rows, found.min_step, found.max_step) == (200_000, 0, 199_999)
    monkeypatch.setattr(module, "_WORTH_THREADS", 1 << 40)
    assert hash_segment(path) == found
    monkeypatch.undo()
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 1)
    before = threading.active_count()
    with pytest.raises(StorageError, match="S115"):
        hash_segment(path)
    assert threading.active_count() == before


def test_damage_behind_the_first_rows_is_told_from_any_thread(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, "probes/values", {})
    steps = np.arange(300_000, dtype=np.int32)
    values = np.random.default_rng(0).standard_normal(len(steps))
    writer.append({"probe": ["a"] * len(steps), "step": steps, "value": values})
    path = tmp_path / writer.seal().name
    found, content = hash_segment(path), path.read_bytes()
    before = threading.active_count()
    for part in range(1, 8):
        broken = bytearray(content)
        place = len(content) * part // 8
        broken[place : place + 64] = bytes(64)
        path.write_bytes(broken)
        with contextlib.suppress(StorageError):
            assert hash_segment(path) != found
        assert threading.active_count() == before
