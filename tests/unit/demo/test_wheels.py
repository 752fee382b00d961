"""Reading wheels as data: what is believed, and what is refused."""

from __future__ import annotations

import hashlib
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from gradledger.demo import wheels
from gradledger.demo.manifest import WheelPin
from gradledger.demo.wheels import read_wheel
from gradledger.errors import InputError

Make = Callable[..., WheelPin]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "wheels"


def add(path: Path, name: str, content: bytes = b"x", *, mode: int | None = None) -> None:
    """Append an entry to a wheel, as an attacker would."""
    entry = zipfile.ZipInfo("placeholder")
    entry.filename = name
    if mode is not None:
        entry.external_attr = mode << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(entry, content)


def test_a_wheel_is_read(make_wheel: Make, folder: Path) -> None:
    pin = make_wheel("one", {"b/c.py": "y = 2\n", "a.py": "x = 1\n", "data.txt": "no code"})
    wheel = read_wheel(folder / pin.filename, sha256=pin.sha256)
    assert [file.path for file in wheel.files] == ["a.py", "b/c.py"]
    assert wheel.files[0].content == b"x = 1\n"
    assert wheel.files[0].sha256 == hashlib.sha256(b"x = 1\n").hexdigest()
    assert (wheel.name, wheel.version, wheel.sha256) == ("one", "1.0", pin.sha256)
    assert "License-Expression: MIT" in wheel.metadata


def test_another_file_than_the_pinned_is_refused(make_wheel: Make, folder: Path) -> None:
    pin = make_wheel("one", {"a.py": "x"})
    with pytest.raises(InputError, match="I153"):
        read_wheel(folder / pin.filename, sha256="0" * 64)


@pytest.mark.parametrize("record", ["", "a.py,sha256=AAAA,1\n", "a.py,,\n", "a.py,sha256=***,1\n"])
def test_a_file_without_its_digest_in_record_is_refused(
    make_wheel: Make, folder: Path, record: str
) -> None:
    pin = make_wheel("one", {"a.py": "x"}, record=record)
    with pytest.raises(InputError, match="I153"):
        read_wheel(folder / pin.filename)


def test_record_that_names_a_path_twice_is_refused(make_wheel: Make, folder: Path) -> None:
    coded = "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0"
    pin = make_wheel("one", {"a.py": "abc"}, record=f"a.py,sha256={coded},3\n" * 2)
    with pytest.raises(InputError, match="twice"):
        read_wheel(folder / pin.filename)
    pin = make_wheel("one", {"a.py": "abc"}, record=f"a.py,sha256={coded},3\n")
    assert len(read_wheel(folder / pin.filename).files) == 1


@pytest.mark.parametrize(
    "name",
    ["../a.py", "/a.py", "a/../../b.py", "C:/a.py", "a\\b.py", "a//b.py", "./a.py", "a\0b.py", ""],
)
def test_unsafe_names_are_refused(make_wheel: Make, folder: Path, name: str) -> None:
    pin = make_wheel("one", {"a.py": "x"})
    add(folder / pin.filename, name)
    with pytest.raises(InputError, match="I152"):
        read_wheel(folder / pin.filename)


def test_a_link_is_refused(make_wheel: Make, folder: Path) -> None:
    pin = make_wheel("one", {"a.py": "x"})
    add(folder / pin.filename, "b.py", b"/etc/passwd", mode=stat.S_IFLNK | 0o777)
    with pytest.raises(InputError, match="link"):
        read_wheel(folder / pin.filename)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_one_name_twice_is_refused(make_wheel: Make, folder: Path) -> None:
    pin = make_wheel("one", {"a.py": "x"})
    add(folder / pin.filename, "a.py", b"y")
    with pytest.raises(InputError, match="two entries"):
        read_wheel(folder / pin.filename)


def test_a_large_file_is_refused(
    make_wheel: Make, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pin = make_wheel("one", {"a.py": "x" * 2000})
    monkeypatch.setattr(wheels, "MAX_MEMBER_BYTES", 1999)
    with pytest.raises(InputError, match="2000 bytes"):
        read_wheel(folder / pin.filename)


def test_a_size_that_is_stated_too_small_does_not_help(
    make_wheel: Make, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pin = make_wheel("one", {"a.py": "x" * 2000})
    monkeypatch.setattr(wheels, "MAX_MEMBER_BYTES", 1000)
    path = folder / pin.filename
    honest, forged = (2000).to_bytes(4, "little"), (900).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(honest, forged))
    with pytest.raises(InputError, match=r"I15[23]"):
        read_wheel(path)


def test_all_files_together_are_bounded(
    make_wheel: Make, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pin = make_wheel("one", {f"f{n}.py": "x" * 100 for n in range(40)})
    monkeypatch.setattr(wheels, "MAX_TOTAL_BYTES", 5000)
    with pytest.raises(InputError, match="I152"):
        read_wheel(folder / pin.filename)


def test_the_number_of_entries_is_bounded(
    make_wheel: Make, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pin = make_wheel("one", {"a.py": "x"})
    monkeypatch.setattr(wheels, "MAX_MEMBERS", 2)
    with pytest.raises(InputError, match="3 entries"):
        read_wheel(folder / pin.filename)


def test_two_dist_infos_are_refused(make_wheel: Make, folder: Path) -> None:
    pin = make_wheel("one", {"a.py": "x", "two-1.0.dist-info/METADATA": "Name: two\n"})
    with pytest.raises(InputError, match="dist-info"):
        read_wheel(folder / pin.filename)


def test_the_name_is_read_from_the_head_of_metadata_only(tmp_path: Path) -> None:
    path = tmp_path / "one-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("one-1.0.dist-info/METADATA", "Version: 1\n\nName: in the body\n")
        archive.writestr("one-1.0.dist-info/RECORD", "")
    with pytest.raises(InputError, match="without Name"):
        read_wheel(path)


@pytest.mark.parametrize("cut", [0, 10, 200])
def test_a_damaged_archive_is_refused(make_wheel: Make, folder: Path, cut: int) -> None:
    pin = make_wheel("one", {"a.py": "x = 1\n" * 50})
    path = folder / pin.filename
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(InputError, match="I152"):
        read_wheel(path)


def test_a_flipped_byte_is_refused(make_wheel: Make, folder: Path) -> None:
    pin = make_wheel("one", {"a.py": "x = 1\n" * 50})
    path = folder / pin.filename
    content = bytearray(path.read_bytes())
    content[40] ^= 0x20
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match=r"I15[23]"):
        read_wheel(path)
