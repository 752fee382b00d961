from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradledger.errors import StorageError
from gradledger.segment import AtomicFile, is_temporary, temporary_path, write_bytes_atomic


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_content_digest_and_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    assert write_bytes_atomic(path, b"content") == hashlib.sha256(b"content").hexdigest()
    assert path.read_bytes() == b"content"
    assert _names(path.parent) == ["file"]


def test_many_writes_and_short_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system may take fewer bytes than it was given."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:3]))
    with AtomicFile(tmp_path / "file") as file:
        file.write(b"0123456789")
        file.write(memoryview(bytearray(b"abc")))
        assert file.tell() == 13
    assert (tmp_path / "file").read_bytes() == b"0123456789abc"
    assert file.sha256 == hashlib.sha256(b"0123456789abc").hexdigest()


def test_nothing_is_seen_before_the_end(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with AtomicFile(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
        assert [is_temporary(name) for name in _names(tmp_path)] == [True, False]
    assert path.read_bytes() == b"new"


def test_an_error_inside_keeps_the_old(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    file = AtomicFile(path)
    file.write(b"new")
    with pytest.raises(KeyError):
        _fail_inside(file)
    assert path.read_bytes() == b"old"
    assert _names(tmp_path) == ["file"]


def _fail_inside(file: AtomicFile) -> None:
    with file:
        raise KeyError


@given(name=st.sampled_from(["run.json", "part-000000.parquet", "step=5"]))
def test_temporary_names_are_told_apart(name: str) -> None:
    assert is_temporary(temporary_path(Path("folder") / name).name)
    assert not is_temporary(name)
    assert not is_temporary(f".{name}")
    assert not is_temporary(f"{name}.tmp")


@pytest.mark.parametrize("old", [None, b"old content"])
def test_every_failing_call_leaves_old_or_new(tmp_path: Path, old: bytes | None, disk) -> None:
    path, new = tmp_path / "deep" / "file", b"new content" * 1000
    if old is not None:
        write_bytes_atomic(path, old)
    num_failures = 0
    for _ in disk.every_failure(lambda: write_bytes_atomic(path, new)):
        num_failures += 1
        found = path.read_bytes() if path.exists() else None
        assert found in (old, new)
        left = _names(path.parent) if path.parent.exists() else []
        assert set(left) <= {"file"}
        if found == new:
            path.unlink()
            if old is not None:
                write_bytes_atomic(path, old)
    assert num_failures >= 6
    assert path.read_bytes() == new


def test_a_folder_that_refuses_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"not a folder")
    with pytest.raises(StorageError) as caught:
        write_bytes_atomic(tmp_path / "file" / "inner", b"")
    assert caught.value.code == "S112"
    assert "inner" in caught.value.where


def test_permissions_hold_from_the_first_byte(tmp_path: Path) -> None:
    with AtomicFile(tmp_path / "salts", mode=0o600) as file:
        file.write(b"secret")
        (temporary,) = tmp_path.iterdir()
        assert temporary.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "salts").stat().st_mode & 0o777 == 0o600
