from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gradledger.errors import StorageError
from gradledger.segment import (
    SegmentWriter,
    damaged_columns,
    read_segment,
    read_table,
    segment_files,
    step_range,
)


def add(run_dir: Path, number: int, **extra: Any) -> None:
    kinds = {name: "string" if isinstance(value, str) else "int64" for name, value in extra.items()}
    target = SegmentWriter(run_dir, "decisions/examples", kinds)
    target.append(
        {
            "example": [number],
            "example_id": [f"id{number}"],
            "decision": [0],
            "content": [None],
            **{name: [value] for name, value in extra.items()},
        }
    )
    target.seal()


def test_segments_with_different_further_columns_are_joined(tmp_path: Path) -> None:
    add(tmp_path, 0, source="web")
    add(tmp_path, 1, year=2020)
    table = read_table(tmp_path, "decisions/examples", ["example", "year", "source"])
    assert table.to_pylist() == [
        {"example": 0, "year": None, "source": "web"},
        {"example": 1, "year": 2020, "source": None},
    ]


def test_the_same_column_in_two_types_is_an_error(tmp_path: Path) -> None:
    add(tmp_path, 0, source="web")
    add(tmp_path, 1, source=3)
    with pytest.raises(StorageError, match="S115"):
        read_table(tmp_path, "decisions/examples")


def test_unknown_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no column 'x'"):
        read_table(tmp_path, "visits", ["x"])
    add(tmp_path, 0)
    with pytest.raises(StorageError, match="no column 'x'"):
        read_table(tmp_path, "decisions/examples", ["example", "x"])


@pytest.mark.parametrize("keep", [0, 1, 100, -1])
def test_a_damaged_segment_is_an_error(tmp_path: Path, keep: int) -> None:
    add(tmp_path, 0)
    (path,) = segment_files(tmp_path, "decisions/examples")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(StorageError) as caught:
        read_table(tmp_path, "decisions/examples")
    assert caught.value.code == "S115"
    assert caught.value.where == str(path)


def test_bytes_that_are_no_text_are_an_error(tmp_path: Path) -> None:
    """Damage that a page's decoder lets pass."""
    add(tmp_path, 0, source="web")
    (path,) = segment_files(tmp_path, "decisions/examples")
    odd = pa.array([b"\xff\xfe"], pa.binary()).view(pa.string())
    columns = pq.read_table(path).to_pydict() | {"source": odd}
    pq.write_table(pa.table(columns), path)
    with pytest.raises(StorageError, match="S115"):
        read_segment(path)


def test_a_column_with_a_damaged_page_is_named(tmp_path: Path) -> None:
    add(tmp_path, 0, source="web", year=2020)
    (path,) = segment_files(tmp_path, "decisions/examples")
    assert list(damaged_columns(path)) == []
    content = bytearray(path.read_bytes())
    chunk = pq.read_metadata(path).row_group(0).column(5)
    content[chunk.data_page_offset + chunk.total_compressed_size - 1] ^= 1
    path.write_bytes(content)
    ((name, why),) = damaged_columns(path)
    assert name == "year" == chunk.path_in_schema
    assert why
    path.write_bytes(b"PAR1" + bytes(40))
    assert list(damaged_columns(path)) == []


def test_a_range_needs_its_column_and_its_statistics(tmp_path: Path) -> None:
    add(tmp_path, 3)
    (path,) = segment_files(tmp_path, "decisions/examples")
    assert step_range(path, "example") == (3, 3)
    with pytest.raises(StorageError, match="no column 'step'"):
        step_range(path)
    pq.write_table(pq.read_table(path), path, write_statistics=False)
    with pytest.raises(StorageError, match="no range of 'example'"):
        step_range(path, "example")


def test_order_holds_beyond_a_million_segments(tmp_path: Path) -> None:
    folder = tmp_path / "visits"
    folder.mkdir()
    for number in (1_000_000, 999_999, 2):
        (folder / f"part-{number:06d}.parquet").touch()
    found = [path.name for path in segment_files(tmp_path, "visits")]
    assert found == ["part-000002.parquet", "part-999999.parquet", "part-1000000.parquet"]
