from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import pytest

from gradledger.errors import InputError, StorageError
from gradledger.segment import read_json, write_json


@dataclass(frozen=True)
class Record:
    name: str
    values: tuple[float, ...]


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    record = {"record": Record("ä", (0.1, -0.0, 1e-300)), "seed": 2**64 - 1, "none": None}
    write_json(path, record)
    read = read_json(path)
    assert read == {
        "record": {"name": "ä", "values": [0.1, -0.0, 1e-300]},
        "seed": 2**64 - 1,
        "none": None,
    }
    assert math.copysign(1, read["record"]["values"][1]) == -1
    assert path.read_text(encoding="utf-8").endswith("}\n")


def test_numbers_that_are_not_finite_are_text(tmp_path: Path) -> None:
    """A run that diverged is closed all the same, and its end record is JSON."""
    write_json(tmp_path / "end.json", {"largest": math.inf, "loss": math.nan})
    assert read_json(tmp_path / "end.json") == {"largest": "Infinity", "loss": "NaN"}


def test_equal_records_give_equal_files(tmp_path: Path) -> None:
    first = write_json(tmp_path / "a", {"a": 1, "b": 2})
    assert first == write_json(tmp_path / "b", {"b": 2, "a": 1})


def test_what_json_lacks_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="I121"):
        write_json(tmp_path / "a", {"path": tmp_path})
    assert not list(tmp_path.iterdir())


def test_unreadable_documents(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="S113"):
        read_json(tmp_path / "absent.json")
    (tmp_path / "bad.json").write_text('{"a": 1, "a": 2}')
    with pytest.raises(InputError, match="I122"):
        read_json(tmp_path / "bad.json")
