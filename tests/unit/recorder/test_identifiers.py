"""Identifiers of examples and the columns that admission stores."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradledger.recorder.admission import decide_admission, metadata_table, write_decisions
from gradledger.recorder.examples import Examples
from gradledger.recorder.salts import Salts
from gradledger.segment import read_table

NOW = datetime(2026, 1, 31, tzinfo=UTC)


@pytest.fixture(scope="module")
def salts(tmp_path_factory: pytest.TempPathFactory) -> Salts:
    return Salts(tmp_path_factory.mktemp("run"))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 20_000), st.lists(st.integers(0, 9_000), min_size=1, max_size=4))
def test_identifiers_do_not_depend_on_how_examples_arrive(
    salts: Salts, first: int, sizes: list[int]
) -> None:
    whole = salts.identify(first, sum(sizes))
    parts, place = [], first
    for size in sizes:
        parts.append(salts.identify(place, size))
        place += size
    assert pa.concat_arrays(parts).equals(whole)


def test_identifiers_are_keyed_unique_and_kept(tmp_path: Path) -> None:
    one, other = Salts(tmp_path / "a"), Salts(tmp_path / "b")
    ids = one.identify(0, 50_000).to_pylist()
    assert len(set(ids)) == len(ids)
    assert all(len(value) == 32 and set(value) <= set("0123456789abcdef") for value in ids)
    assert not set(ids) & set(other.identify(0, 50_000).to_pylist())
    (tmp_path / "a").mkdir()
    one.save()
    assert Salts(tmp_path / "a").identify(0, 100).to_pylist() == ids[:100]


def test_examples_find_sources_and_identifiers() -> None:
    examples = Examples()
    flags = np.ones(2, np.bool_)
    zeros = np.zeros(2, np.int32)
    examples.extend(zeros, zeros, flags, ["a", "b"], [None, None], ["x", "y"])
    examples.extend(zeros, zeros, flags, pa.array(["b", "c"]), [None, None], pa.array(["z", "w"]))
    assert [examples.sources[number] for number in range(4)] == ["a", "b", "b", "c"]
    assert examples.resolve(["w", 1, "x"], "step 0").tolist() == [3, 1, 0]


def test_metadata_keeps_its_values(tmp_path: Path) -> None:
    moment = np.datetime64("2026-01-31T12:00:00.123456789", "ns")
    given_columns = {
        "text": pa.array(["a", None], pa.large_string()),
        "label": pa.array(["x", "x"]).dictionary_encode(),
        "small": np.array([1, 2], np.int8),
        "half": pa.array([0.5, None], pa.float32()),
        "flag": [True, None],
        "moment": pa.array([moment, None], pa.timestamp("ns")),
        "nothing": pa.nulls(2),
    }
    table = metadata_table(given_columns, 2)
    admission = decide_admission(None, table, NOW)
    write_decisions(
        tmp_path, admission, 5, table,
        numbers=np.arange(2, dtype=np.int32), example_ids=["i", "j"], commitments=[b"\x01", None],
    )  # fmt: skip
    stored = read_table(tmp_path, "decisions/examples").to_pydict()
    assert stored["moment"][0] == datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)
    del stored["moment"]
    assert stored == {
        "example": [0, 1], "example_id": ["i", "j"], "decision": [5, 5], "content": ["01", None],
        "text": ["a", None], "label": ["x", "x"], "small": [1, 2], "half": [0.5, None],
        "flag": [True, None], "nothing": [None, None],
    }  # fmt: skip
    (row,) = read_table(tmp_path, "decisions/distinct").to_pylist()
    assert (row["decision"], row["verdict"], row["class"]) == (5, "admit", "ungoverned")
    assert read_table(tmp_path, "decisions/truths").num_rows == 0
