"""A close that is cut off between its last files is finished when the run is taken up."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from signed_run import train

from gradledger.errors import StorageError
from gradledger.log import SigningKey
from gradledger.recorder import run_journal
from gradledger.verify import check_run


def test_clean_after_a_kill_between_the_last_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end record was there, and the write-ahead log still was: nothing removed it later."""
    key = SigningKey.generate("example.org/lab")
    close = run_journal.Sink.close

    def cut_off(sink: run_journal.Sink, *, remove_log: bool = False) -> None:
        if remove_log:
            message = "cut off"
            raise RuntimeError(message)
        close(sink)

    with monkeypatch.context() as patch:
        patch.setattr(run_journal.Sink, "close", cut_off)
        with pytest.raises(RuntimeError, match="cut off"):
            train(tmp_path / "run", key)
    assert (tmp_path / "run/end.json").exists()
    assert (tmp_path / "run/wal").exists()
    with pytest.raises(StorageError, match="S102"):
        train(tmp_path / "run", key)
    assert not (tmp_path / "run/wal").exists()
    assert check_run(tmp_path / "run", [key.verifier]).findings == ()


def test_a_write_ahead_log_that_cannot_be_removed_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink, key = Path.unlink, SigningKey.generate("example.org/lab")

    def refuse(path: Path, **named: bool) -> None:
        if path.suffix == ".log":
            raise PermissionError(13, "no")
        unlink(path, **named)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        with pytest.raises(StorageError, match="S112"):
            train(tmp_path / "run", key)
    with pytest.raises(StorageError, match="S102"):
        train(tmp_path / "run", key)
    assert check_run(tmp_path / "run", [key.verifier]).findings == ()
