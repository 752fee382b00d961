from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradledger.errors import StorageError
from gradledger.schema import TABLES
from gradledger.segment import (
    ROW_GROUP_ROWS,
    SealedSegment,
    SegmentWriter,
    arrow_schema,
    read_table,
    segment_files,
)


def visits(first: int, count: int, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {
        "step": np.arange(first, first + count, dtype=np.int32),
        "micro_batch": [0] * count,
        "position": np.zeros(count, np.int16),
        "example": rng.integers(0, 2**31, count),
        "decision": rng.integers(0, 9, count).astype(np.int32),
        "loss": [None if place % 3 else float(place) for place in range(count)],
        "tokens": [None] * count,
        "digest": [rng.bytes(32) for _ in range(count)],
        "gnorm_0": rng.lognormal(size=count).astype(np.float32),
    }


def writer(run_dir: Path, **settings: Any) -> SegmentWriter:
    return SegmentWriter(run_dir, "visits", {"gnorm_0": "float32"}, **settings)


def same(table: pa.Table, *parts: dict[str, Any]) -> bool:
    return all(
        table[name].to_pylist() == [v for part in parts for v in np.asarray(part[name], object)]
        for name in parts[0]
    )


@settings(max_examples=20, deadline=None)
@given(counts=st.lists(st.integers(0, 5), max_size=4), seals=st.lists(st.booleans(), max_size=4))
def test_what_is_sealed_is_read_back_in_order(
    tmp_path_factory: pytest.TempPathFactory, counts: list[int], seals: list[bool]
) -> None:
    run_dir = tmp_path_factory.mktemp("run")
    parts, target, first = [], writer(run_dir), 0
    for place, count in enumerate(counts):
        parts.append(visits(first, count, seed=place))
        target.append(parts[-1])
        first += count
        if place < len(seals) and seals[place]:
            target.seal()
    target.seal()
    table = read_table(run_dir, "visits")
    assert table.num_rows == sum(counts)
    assert not sum(counts) or same(table, *parts)


def test_a_seal_says_what_lies_there(tmp_path: Path) -> None:
    target = writer(tmp_path)
    target.append(visits(5, 10))
    target.append(visits(15, 4))
    assert target.num_rows == 14
    sealed = target.seal()
    path = tmp_path / "visits" / "part-000000.parquet"
    assert sealed == SealedSegment(
        name="visits/part-000000.parquet",
        num_rows=14,
        min_step=5,
        max_step=18,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        num_bytes=path.stat().st_size,
    )
    assert target.num_rows == 0
    assert target.seal() is None
    assert segment_files(tmp_path, "visits") == [path]


def test_numbers_go_on_after_what_is_there(tmp_path: Path) -> None:
    for first in (0, 1, 2):
        target = writer(tmp_path)
        target.append(visits(first, 1))
        target.seal()
    names = [path.name for path in segment_files(tmp_path, "visits")]
    assert names == [f"part-{number:06d}.parquet" for number in range(3)]
    assert read_table(tmp_path, "visits", ["step"])["step"].to_pylist() == [0, 1, 2]


def test_layout_of_the_file(tmp_path: Path) -> None:
    target = SegmentWriter(tmp_path, "steps", {})
    count = 2 * ROW_GROUP_ROWS + 10
    columns: dict[str, Any] = {name: [None] * count for name in TABLES["steps"]}
    columns["step"], columns["verdict"] = np.arange(count), ["balanced"] * count
    target.append(columns)
    target.seal()
    meta = pq.ParquetFile(segment_files(tmp_path, "steps")[0]).metadata
    groups = [meta.row_group(place).num_rows for place in range(meta.num_row_groups)]
    assert len(groups) == 2
    assert max(groups) - min(groups) <= 1
    found = {
        meta.row_group(0).column(place).path_in_schema: meta.row_group(0).column(place)
        for place in range(meta.num_columns)
    }
    assert {column.compression for column in found.values()} == {"ZSTD"}
    coded = {n for n, column in found.items() if "RLE_DICTIONARY" in column.encodings}
    assert coded == {"step", "verdict"}
    assert (found["step"].statistics.min, found["step"].statistics.max) == (0, groups[0] - 1)


def test_encodings_and_metadata_of_visits(tmp_path: Path) -> None:
    target = writer(tmp_path, metadata={"run": "r1"}, precision={"gnorm_0": 11})
    target.append(visits(0, 100))
    target.seal()
    file = pq.ParquetFile(segment_files(tmp_path, "visits")[0])
    meta = file.schema_arrow.metadata
    assert meta[b"gradledger.table"] == b"visits"
    assert meta[b"gradledger.format"] == b"gradledger.segment/1"
    assert json.loads(meta[b"gradledger.precision"]) == {"gnorm_0": 11}
    assert meta[b"run"] == b"r1"
    group = file.metadata.row_group(0)
    encodings = {
        group.column(place).path_in_schema: set(group.column(place).encodings)
        for place in range(group.num_columns)
    }
    assert "DELTA_BINARY_PACKED" in encodings["example"]
    assert not any("BYTE_STREAM_SPLIT" in found for found in encodings.values())


def test_precision_cuts_the_named_column_only(tmp_path: Path) -> None:
    rows = visits(0, 1000)
    rows["loss"] = rows["gnorm_0"].copy()
    target = writer(tmp_path, precision={"gnorm_0": 11})
    target.append(rows)
    target.seal()
    table = read_table(tmp_path, "visits")
    full, cut = table["loss"].to_numpy(), table["gnorm_0"].to_numpy()
    assert np.array_equal(full, rows["gnorm_0"])
    error = np.abs(cut - full) / full
    assert 0 < error.max() <= 2.0**-12


def test_every_failing_call_loses_nothing(tmp_path: Path, disk) -> None:
    """Earlier segments stay, no part of a file appears, and the rows can be sealed again."""
    first = writer(tmp_path)
    first.append(visits(0, 20))
    first.seal()
    sealed_bytes = segment_files(tmp_path, "visits")[0].read_bytes()
    target = writer(tmp_path)
    rows = visits(20, 30, seed=1)
    target.append(rows)
    num_failures = 0
    for _ in disk.every_failure(target.seal):
        num_failures += 1
        assert target.num_rows == 30
        files = segment_files(tmp_path, "visits")
        assert files[0].read_bytes() == sealed_bytes
        assert len(files) == 1 or same(pq.read_table(files[1]), rows)
        left = {path.name for path in (tmp_path / "visits").iterdir()}
        assert left == {path.name for path in files}
    assert num_failures >= 6
    assert target.num_rows == 0
    assert same(read_table(tmp_path, "visits").slice(20), rows)


def test_leftovers_of_a_crash_are_passed_over(tmp_path: Path) -> None:
    target = writer(tmp_path)
    target.append(visits(0, 3))
    target.seal()
    (tmp_path / "visits" / ".part-000001.parquet.abcd1234.tmp").write_bytes(b"PAR1")
    assert read_table(tmp_path, "visits").num_rows == 3


@pytest.mark.parametrize(
    ("change", "observed"),
    [
        (lambda rows: rows.pop("loss"), "no column 'loss'"),
        (lambda rows: rows.update(other=[1]), "unknown column 'other'"),
        (lambda rows: rows.update(tokens=[1]), "1 values"),
    ],
)
def test_rows_that_do_not_fit_are_refused_whole(tmp_path: Path, change, observed: str) -> None:
    target, rows = writer(tmp_path), visits(0, 3)
    change(rows)
    with pytest.raises(StorageError) as caught:
        target.append(rows)
    assert (caught.value.code, caught.value.observed) == ("S114", observed)
    assert target.num_rows == 0


def test_a_value_that_does_not_fit_names_its_column(tmp_path: Path) -> None:
    target, rows = writer(tmp_path), visits(0, 1)
    rows["position"] = [2**15]
    target.append(rows)
    with pytest.raises(StorageError, match="visits, column position"):
        target.seal()
    assert not segment_files(tmp_path, "visits")


@pytest.mark.parametrize("precision", [{"lost": 3}, {"step": 3}, {"gnorm_0": 24}])
def test_a_precision_that_cannot_be_is_refused(tmp_path: Path, precision: dict[str, int]) -> None:
    with pytest.raises(StorageError, match="S114"):
        writer(tmp_path, precision=precision)


@pytest.mark.parametrize(
    ("table", "extra"), [("vists", {}), ("visits", {"step": "int32"}), ("visits", {"a": "int"})]
)
def test_a_schema_that_cannot_be_is_refused(table: str, extra: dict[str, str]) -> None:
    with pytest.raises(StorageError, match="S114"):
        arrow_schema(table, extra)


@pytest.mark.parametrize("table", sorted(TABLES))
def test_every_table_has_a_schema_and_reads_empty(tmp_path: Path, table: str) -> None:
    assert arrow_schema(table, {}).names == list(TABLES[table])
    assert read_table(tmp_path, table).num_rows == 0
