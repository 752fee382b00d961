from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from gradledger.errors import LogError, StorageError
from gradledger.log import KEY_VARIABLE, SigningKey, key_from_environment, load_key, save_key


def test_a_key_file_is_for_its_owner_only(tmp_path: Path, key: SigningKey) -> None:
    previous = os.umask(0)
    try:
        save_key(key, tmp_path / "key")
    finally:
        os.umask(previous)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    again = load_key(tmp_path / "key")
    assert (again.name, again.seed) == (key.name, key.seed)
    assert again.path == tmp_path / "key"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o666])
def test_a_key_file_open_to_others_is_refused(tmp_path: Path, key: SigningKey, mode: int) -> None:
    save_key(key, tmp_path / "key")
    (tmp_path / "key").chmod(mode)
    with pytest.raises(LogError, match="L102") as caught:
        load_key(tmp_path / "key")
    assert f"{mode:04o}" in caught.value.observed


def test_a_key_is_never_written_over(tmp_path: Path, key: SigningKey) -> None:
    save_key(key, tmp_path / "key")
    with pytest.raises(LogError, match="L104"):
        save_key(SigningKey.generate("other"), tmp_path / "key")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(LogError, match="L104"):
        save_key(key, tmp_path / "link")
    assert load_key(tmp_path / "key").seed == key.seed


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"PRIVATE+KEY+", b"-----BEGIN", b"x" * 9999])
def test_files_without_a_key(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(LogError, match="L101"):
        load_key(path)


def test_the_environment_is_read_when_asked(
    tmp_path: Path, key: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    with pytest.raises(LogError, match="L103"):
        key_from_environment()
    monkeypatch.setenv(KEY_VARIABLE, str(tmp_path / "key"))
    with pytest.raises(StorageError, match="S113"):
        key_from_environment()
    save_key(key, tmp_path / "key")
    assert key_from_environment().seed == key.seed


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\u00a0b", "a\u2028b", "x" * 256])
def test_names_that_notes_cannot_carry(name: str) -> None:
    with pytest.raises(LogError, match="L105"):
        SigningKey.generate(name)
