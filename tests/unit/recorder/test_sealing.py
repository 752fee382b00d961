"""Rows are sealed at whichever limit comes first: visits, steps or seconds."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from gradledger.recorder.sink import Sealing, Sink, VisitRows
from gradledger.segment import segment_files

NUMBERS = ("step", "micro_batch", "position", "example", "decision", "tokens")


@pytest.mark.parametrize(
    ("sealing", "sealed_after"),
    [
        (Sealing(rows=5, steps=0, seconds=0.0), [3, 6]),
        (Sealing(rows=100, steps=2, seconds=0.0), [2, 4, 6]),
        (Sealing(rows=100, steps=0, seconds=35.0), [4]),
        (Sealing(rows=100, steps=0, seconds=0.0), []),
    ],
)
def test_limits(
    sealing: Sealing, sealed_after: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    sink = Sink(tmp_path, [], (), sealing)
    found = []
    for step in range(1, 7):
        clock[0] += 10.0
        columns = {name: [step, step] for name in NUMBERS}
        before = len(segment_files(tmp_path, "steps"))
        sink.add(
            VisitRows({**columns, "loss": [0.5] * 2, "digest": [b"x" * 32] * 2}), [], {"step": step}
        )
        if len(segment_files(tmp_path, "steps")) > before:
            found.append(step)
    assert found == sealed_after
