"""The manifest: complete, well formed, and refused where it is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gradledger.demo.manifest import FORMAT, default_cache, file_sha256, read_manifest
from gradledger.errors import InputError

ENTRY: dict[str, Any] = {
    "name": "a",
    "version": "1",
    "filename": "a-1-py3-none-any.whl",
    "sha256": "0" * 64,
    "bytes": 5,
}


def write(path: Path, *entries: object, form: str = FORMAT) -> Path:
    path.write_text(json.dumps({"format": form, "wheels": list(entries)}))
    return path


def test_the_manifest_of_the_package_is_read() -> None:
    pins = read_manifest()
    assert len(pins) >= 12
    assert all(pin.filename.endswith("-none-any.whl") for pin in pins)
    assert {"pip", "codespell", "mpmath", "packaging"} <= {pin.name for pin in pins}


def test_an_entry_is_read_as_written(tmp_path: Path) -> None:
    (pin,) = read_manifest(write(tmp_path / "m.json", ENTRY | {"note": "why"}))
    assert (pin.name, pin.version, pin.num_bytes, pin.note) == ("a", "1", 5, "why")


@pytest.mark.parametrize(
    "change",
    [
        {"name": "a --index-url b"},
        {"name": "-r x"},
        {"name": ""},
        {"name": "a\nb"},
        {"version": "2"},
        {"version": 1},
        {"filename": "../a-1-py3-none-any.whl"},
        {"filename": "a-1.tar.gz"},
        {"sha256": "0" * 63},
        {"sha256": "G" * 64},
        {"bytes": 0},
        {"bytes": True},
        {"bytes": "5"},
    ],
)
def test_a_malformed_entry_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    with pytest.raises(InputError, match="I151") as caught:
        read_manifest(write(tmp_path / "m.json", ENTRY, ENTRY | change))
    assert "wheel 1" in caught.value.where


@pytest.mark.parametrize("twin", [ENTRY, ENTRY | {"filename": "A-1-py3-none-any.whl"}])
def test_one_wheel_twice_is_refused(tmp_path: Path, twin: dict[str, object]) -> None:
    with pytest.raises(InputError, match="twice"):
        read_manifest(write(tmp_path / "m.json", ENTRY, twin))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "x"}', '"text"', "{"])
def test_another_document_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "m.json"
    path.write_text(text)
    with pytest.raises(InputError, match="I151"):
        read_manifest(path)


def test_no_wheels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no wheels"):
        read_manifest(write(tmp_path / "m.json"))


def test_digest_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"abc")
    assert file_sha256(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_the_cache_lies_under_the_root(tmp_path: Path) -> None:
    assert default_cache(tmp_path) == tmp_path / ".cache" / "wheels"
