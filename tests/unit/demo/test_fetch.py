"""Fetching: only what is missing, only what is right, nothing left behind otherwise."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from gradledger.demo import fetch
from gradledger.demo.fetch import fetch_wheels, main, missing_wheels
from gradledger.demo.manifest import WheelPin
from gradledger.errors import StorageError

Done = subprocess.CompletedProcess[str]


@pytest.fixture
def pins(make_wheel: Callable[..., WheelPin]) -> list[WheelPin]:
    return [make_wheel("one", {"one.py": "1\n"}), make_wheel("two", {"two.py": "2\n"})]


class Pip:
    """Stands for pip: copies wheels from a folder and keeps what it was asked for."""

    def __init__(
        self, source: Path, *, leave_out: str = "", code: int = 0, error: str = ""
    ) -> None:
        self.source, self.leave_out, self.code, self.error = source, leave_out, code, error
        self.words: list[str] = []
        self.requirements = ""

    def __call__(self, words: Sequence[str]) -> Done:
        self.words = list(words)
        folder = Path(words[words.index("--dest") + 1])
        self.requirements = Path(words[words.index("--requirement") + 1]).read_text()
        for line in self.requirements.splitlines():
            name = f"{line.replace('==', '-').split(' ')[0]}-py3-none-any.whl"
            if name != self.leave_out:
                shutil.copy(self.source / name, folder)
        return Done(self.words, self.code, "", self.error)


def test_only_the_missing_are_fetched(tmp_path: Path, pins: list[WheelPin]) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    shutil.copy(tmp_path / "wheels" / pins[0].filename, cache)
    pip = Pip(tmp_path / "wheels")
    report = fetch_wheels(cache, pins, run=pip)
    assert report.present == (pins[0].filename,)
    assert report.fetched == (pins[1].filename,)
    assert report.num_bytes == sum(pin.num_bytes for pin in pins)
    assert pip.requirements == f"two==1.0 --hash=sha256:{pins[1].sha256}\n"
    assert {"--no-deps", "--require-hashes", "--only-binary"} <= set(pip.words)
    assert sorted(path.name for path in cache.iterdir()) == sorted(p.filename for p in pins)


def test_a_full_cache_asks_for_nothing(tmp_path: Path, pins: list[WheelPin]) -> None:
    def fail(words: Sequence[str]) -> Done:
        raise AssertionError("pip was called")

    report = fetch_wheels(tmp_path / "wheels", pins, run=fail)
    assert not report.fetched
    assert len(report.present) == 2


def test_a_wheel_with_another_digest_is_replaced(tmp_path: Path, pins: list[WheelPin]) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / pins[0].filename).write_bytes(b"not the wheel")
    assert missing_wheels(cache, pins) == tuple(pins)
    fetch_wheels(cache, pins, run=Pip(tmp_path / "wheels"))
    assert missing_wheels(cache, pins) == ()


def test_offline_is_one_clear_error(tmp_path: Path, pins: list[WheelPin]) -> None:
    cache = tmp_path / "cache"
    pip = Pip(
        tmp_path / "wheels", code=1, error="WARNING: retrying\nERROR: no route\n\nnotice: upgrade\n"
    )
    with pytest.raises(StorageError) as caught:
        fetch_wheels(cache, pins, run=pip)
    assert caught.value.code == "S151"
    assert caught.value.observed == "ERROR: no route"
    assert caught.value.hint
    assert list(cache.iterdir()) == []


def test_a_wheel_that_pip_left_out_is_an_error(tmp_path: Path, pins: list[WheelPin]) -> None:
    pip = Pip(tmp_path / "wheels", leave_out=pins[1].filename)
    with pytest.raises(StorageError, match=r"S151.*two-1.0"):
        fetch_wheels(tmp_path / "cache", pins, run=pip)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_wheel_with_a_wrong_digest_never_enters_the_cache(
    tmp_path: Path, pins: list[WheelPin]
) -> None:
    (tmp_path / "wheels" / pins[1].filename).write_bytes(b"forged")
    with pytest.raises(StorageError, match=r"S151.*two-1.0.*SHA-256"):
        fetch_wheels(tmp_path / "cache", pins, run=Pip(tmp_path / "wheels"))
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_download_without_end_is_given_up(tmp_path: Path, pins: list[WheelPin]) -> None:
    def hang(words: Sequence[str]) -> Done:
        raise subprocess.TimeoutExpired(list(words), fetch.TIMEOUT_SECONDS)

    with pytest.raises(StorageError, match="S151"):
        fetch_wheels(tmp_path / "cache", pins, run=hang)


def test_a_cache_that_is_a_file_is_an_error(tmp_path: Path, pins: list[WheelPin]) -> None:
    cache = tmp_path / "cache"
    cache.write_text("a file")
    with pytest.raises(StorageError) as caught:
        fetch_wheels(cache, pins, run=Pip(tmp_path / "wheels"))
    assert caught.value.code == "S152"


def test_the_command_says_what_it_did(
    tmp_path: Path,
    pins: list[WheelPin],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(fetch, "read_manifest", lambda: tuple(pins))
    monkeypatch.setattr(fetch, "_run_pip", Pip(tmp_path / "wheels"))
    cache = str(tmp_path / "cache")
    assert main(["--cache", cache]) == 0
    assert "2 wheels" in (out := capsys.readouterr().out)
    assert "2 downloaded" in out
    assert main(["--cache", cache]) == 0
    assert "0 downloaded, 2 already there" in capsys.readouterr().out


def test_the_command_fails_with_the_error(
    tmp_path: Path,
    pins: list[WheelPin],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(fetch, "read_manifest", lambda: tuple(pins))
    monkeypatch.setattr(fetch, "_run_pip", Pip(tmp_path / "wheels", code=1, error="ERROR: off"))
    assert main(["--cache", str(tmp_path / "cache")]) == 2
    captured = capsys.readouterr()
    assert "[S151]" in captured.err
    assert "hint:" in captured.err
    assert captured.out == ""
