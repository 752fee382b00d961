"""Rows that go through the write-ahead log come back as they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradledger.recorder.write_ahead import (
    VisitRows,
    WriteAhead,
    decode_commit,
    encode_commit,
    read_write_ahead,
)
from gradledger.segment import LogRecord, read_append_log

finite = st.floats(allow_nan=False, width=32)


def rows(count: int, groups: int, values: list[float | None]) -> VisitRows:
    numbers = list(range(count))
    columns = dict.fromkeys(("step", "micro_batch", "position", "example", "decision"), numbers)
    picked = [values[place % len(values)] for place in numbers]
    tokens = [None if value is None else place for place, value in enumerate(picked)]
    digests = [bytes([place]) * 32 for place in numbers]
    measures = {
        name: np.arange(count * groups, dtype=np.float32).reshape(count, groups)
        for name in ("align", "gnorm")
    }
    return VisitRows({**columns, "loss": picked, "tokens": tokens, "digest": digests}, measures)


@given(
    count=st.integers(0, 5),
    groups=st.integers(0, 3),
    values=st.lists(st.none() | finite, min_size=1, max_size=4),
)
def test_a_commit_comes_back(count: int, groups: int, values: list[float | None]) -> None:
    visits = rows(count, groups, values)
    books = [
        {"step": 3, "group": place, "routed": False, "delta_norm": value, "verdict": "balanced"}
        for place, value in enumerate(values)
    ]
    step = {"step": 3, "visits": count, "loss": values[0], "skipped": False}
    commit = decode_commit(LogRecord(*encode_commit(visits, books, step)))
    assert commit.visits.columns == visits.columns
    for name, matrix in visits.measures.items():
        assert np.array_equal(commit.visits.measures[name], matrix)
    assert commit.books == books
    assert commit.step == step


@pytest.mark.parametrize("cut", [1, 5, 30])
def test_every_whole_record_survives_a_tear(tmp_path: Path, cut: int) -> None:
    log = WriteAhead(tmp_path, 2)
    log.intend(1, "f" * 16, [[1, 2]])
    log.commit(rows(2, 1, [0.5]), [], {"step": 1})
    log.intend(2, "e" * 16, [[3], [4]])
    log.commit(rows(2, 1, [0.5]), [], {"step": 2})
    path = tmp_path / "wal" / "session-0002.log"
    content = path.read_bytes()
    path.write_bytes(content[:-cut])
    paths, commits, intents = read_write_ahead(tmp_path)
    assert paths == ["wal/session-0002.log"]
    assert [commit.step["step"] for commit in commits] == [1]
    assert [(intent.step, intent.examples) for intent in intents] == [(2, [[3], [4]])]


def test_a_flipped_bit_ends_the_log(tmp_path: Path) -> None:
    log = WriteAhead(tmp_path, 0)
    for step in (1, 2, 3):
        log.intend(step, "f" * 16, [[step]])
    path = tmp_path / "wal" / "session-0000.log"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    assert [record.head["step"] for record in read_append_log(path)] == [1]


def test_what_is_sealed_is_forgotten_and_the_folder_goes_at_the_close(tmp_path: Path) -> None:
    log = WriteAhead(tmp_path, 0)
    log.intend(1, "f" * 16, [[1]])
    log.clear()
    log.intend(2, "f" * 16, [[2]])
    assert [intent.step for intent in read_write_ahead(tmp_path)[2]] == [2]
    log.close(remove=True)
    assert list(tmp_path.iterdir()) == []
