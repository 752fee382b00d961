from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradledger.errors import StorageError
from gradledger.log import DIFFERENCE_CODES, Difference, check_manifest, write_manifest
from gradledger.log.manifest import _CHUNK_BYTES

LARGE = _CHUNK_BYTES + 12345


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    files = {
        "run.json": b"{}\n",
        "visits/part-000000.parquet": os.urandom(LARGE),
        "states/step=0/model.safetensors": b"weights",
        "states/empty": b"",
        "private/salts.json": b"secret",
        "run.lock": b"pid",
        "visits/.part-000001.parquet.0a1b2c3d.tmp": b"half",
        "states/.step=5.0a1b2c3d.tmp/model.safetensors": b"half",
    }
    for name, content in files.items():
        path = tmp_path / "run" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "run"


def found(run_dir: Path) -> list[tuple[str, str]]:
    differences = check_manifest(run_dir)
    assert all(difference.code in DIFFERENCE_CODES for difference in differences)
    return [(difference.code, difference.place) for difference in differences]


def test_a_run_agrees_with_its_manifest(run_dir: Path) -> None:
    write_manifest(run_dir)
    assert check_manifest(run_dir) == []
    record = json.loads((run_dir / "manifest.json").read_text())
    assert record["format"] == "gradledger.manifest/1"
    assert [entry["path"] for entry in record["files"]] == [
        "run.json",
        "states/empty",
        "states/step=0/model.safetensors",
        "visits/part-000000.parquet",
    ]
    assert record["files"][1] == {
        "path": "states/empty",
        "num_bytes": 0,
        "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    }


def test_writing_again_gives_the_same_bytes(run_dir: Path) -> None:
    first = write_manifest(run_dir)
    assert write_manifest(run_dir) == first


@settings(max_examples=20, deadline=None)
@given(place=st.integers(0, LARGE - 1), bit=st.integers(0, 7))
def test_every_flipped_bit_is_found(
    tmp_path_factory: pytest.TempPathFactory, place: int, bit: int
) -> None:
    run_dir = tmp_path_factory.mktemp("run")
    content = bytearray(LARGE)
    (run_dir / "a").write_bytes(content)
    write_manifest(run_dir)
    content[place] ^= 1 << bit
    (run_dir / "a").write_bytes(content)
    assert found(run_dir) == [("altered", "a")]


def test_all_differences_are_listed(run_dir: Path) -> None:
    write_manifest(run_dir)
    (run_dir / "run.json").write_bytes(b"[]\n")
    (run_dir / "states/empty").unlink()
    (run_dir / "books").mkdir()
    (run_dir / "books/part-000000.parquet").touch()
    (run_dir / "visits/part-000000.parquet").write_bytes(b"short")
    differences = check_manifest(run_dir)
    assert [(difference.code, difference.place) for difference in differences] == [
        ("added", "books/part-000000.parquet"),
        ("altered", "run.json"),
        ("missing", "states/empty"),
        ("altered", "visits/part-000000.parquet"),
    ]
    assert differences[3].observed == "5 bytes"
    assert differences[3].expected.startswith(f"{LARGE} bytes, SHA-256 ")


def test_swapped_files_are_found(run_dir: Path) -> None:
    one, two = run_dir / "visits/a", run_dir / "visits/b"
    one.write_bytes(b"12")
    two.write_bytes(b"34")
    write_manifest(run_dir)
    one.write_bytes(b"34")
    two.write_bytes(b"12")
    assert found(run_dir) == [("altered", "visits/a"), ("altered", "visits/b")]


def test_destroying_the_salts_is_no_difference(run_dir: Path) -> None:
    write_manifest(run_dir)
    (run_dir / "private/salts.json").unlink()
    (run_dir / "run.lock").unlink()
    assert check_manifest(run_dir) == []


def test_private_folders_elsewhere_are_not_private(run_dir: Path) -> None:
    write_manifest(run_dir)
    (run_dir / "visits/private").mkdir()
    (run_dir / "visits/private/a").touch()
    (run_dir / "visits/manifest.json").touch()
    assert found(run_dir) == [
        ("added", "visits/manifest.json"),
        ("added", "visits/private/a"),
    ]


def test_links_are_refused_when_writing(run_dir: Path) -> None:
    (run_dir / "visits/link").symlink_to(run_dir / "run.json")
    with pytest.raises(StorageError) as caught:
        write_manifest(run_dir)
    assert caught.value.code == "S131"
    assert "symbolic link at visits/link" in caught.value.observed


def test_links_and_pipes_are_findings_and_never_opened(run_dir: Path, tmp_path: Path) -> None:
    write_manifest(run_dir)
    same = tmp_path / "same"
    same.write_bytes((run_dir / "run.json").read_bytes())
    (run_dir / "run.json").unlink()
    (run_dir / "run.json").symlink_to(same)
    (run_dir / "folder").symlink_to(tmp_path, target_is_directory=True)
    os.mkfifo(run_dir / "visits/pipe")
    assert found(run_dir) == [
        ("unsafe", "folder"),
        ("unsafe", "run.json"),
        ("unsafe", "visits/pipe"),
    ]


@pytest.mark.parametrize(
    "path", ["../outside", "/etc/hostname", "visits/../../outside", "", ".", "a//b", "C:/x", "a\\b"]
)
def test_paths_that_lead_out_are_findings_and_never_opened(run_dir: Path, path: str) -> None:
    (run_dir.parent / "outside").write_bytes(b"")
    write_manifest(run_dir)

    def add(record: dict[str, Any]) -> None:
        record["files"].append({"path": path, "num_bytes": 0, "sha256": "0" * 64})

    _rewrite(run_dir, add)
    assert found(run_dir) == [("unsafe", path)]


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record.update(format="gradledger.manifest/9"),
        lambda record: record.update(files={}),
        lambda record: record["files"].append(record["files"][0]),
        lambda record: record["files"][0].update(num_bytes=-1),
        lambda record: record["files"][0].update(num_bytes=True),
        lambda record: record["files"][0].update(sha256="A" * 64),
        lambda record: record["files"][0].update(more=1),
        lambda record: record["files"].append("run.json"),
    ],
    ids=["format", "no list", "twice", "negative", "boolean", "no hex", "more", "no object"],
)
def test_a_malformed_manifest_is_a_finding(
    run_dir: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    write_manifest(run_dir)
    _rewrite(run_dir, change)
    assert found(run_dir) == [("malformed", "manifest.json")]


@pytest.mark.parametrize("text", ["", "[]", "{", '{"files": [], "files": []}'])
def test_text_that_is_no_manifest_is_a_finding(run_dir: Path, text: str) -> None:
    (run_dir / "manifest.json").write_text(text)
    assert found(run_dir) == [("malformed", "manifest.json")]


def test_a_missing_manifest_is_a_finding(run_dir: Path) -> None:
    assert check_manifest(run_dir) == [
        Difference("missing", "manifest.json", "no file", "the manifest of a closed run")
    ]


def test_a_run_that_cannot_be_read_is_an_error(run_dir: Path, monkeypatch) -> None:
    """Where a file cannot be read, nothing can be said about it: that is no finding."""
    write_manifest(run_dir)

    def refuse(*args: Any, **kwargs: Any) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StorageError, match="S113"):
        check_manifest(run_dir)


def _rewrite(run_dir: Path, change: Callable[[dict[str, Any]], None]) -> None:
    record = json.loads((run_dir / "manifest.json").read_text())
    change(record)
    (run_dir / "manifest.json").write_text(json.dumps(record))
