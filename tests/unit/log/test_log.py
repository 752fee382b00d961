"""The log on the disk: growing, reading back, refusing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gradledger.canon import read_leaf
from gradledger.errors import LogError, StorageError
from gradledger.log import KeyKind, Log, LogReader, Receipt, SigningKey, load_key, save_key
from gradledger.merkle import EMPTY_ROOT, check_consistency, leaf_hash, root_hash

ORIGIN = "example.org/runs/1"
SIZES = (1, 2, 5, 255, 256, 257, 511, 512, 600)


def leaves_of(log: LogReader) -> list[bytes]:
    return list(log.leaves())


@pytest.mark.parametrize("signed", [True, False])
def test_a_log_grows_and_is_read_back(run_dir: Path, key, fill, signed: bool) -> None:
    with Log.create(run_dir, ORIGIN, key if signed else None) as log:
        assert log.checkpoint.size == 0
        assert log.checkpoint.root == EMPTY_ROOT
        roots = {}
        for size in SIZES:
            fill(log, size)
            roots[size] = log.checkpoint.root
    reader = LogReader(run_dir)
    leaves = leaves_of(reader)
    assert reader.signed is signed
    assert len(leaves) == reader.size == SIZES[-1]
    assert [read_leaf(leaf).step for leaf in leaves] == list(range(600))
    hashes = [leaf_hash(leaf) for leaf in leaves]
    for size in SIZES:
        assert roots[size] == root_hash(hashes[:size]) == reader.root(size)
        for later in (later for later in SIZES if later >= size):
            proof = reader.consistency_proof(size, later)
            assert check_consistency(size, later, proof, roots[size], roots[later]) is None
    for index in (0, 1, 254, 255, 256, 599):
        assert reader.leaf(index) == leaves[index]
        receipt = Receipt.parse(bytes(reader.receipt(index, extra=b"more")))
        assert receipt == reader.receipt(index, extra=b"more")
        assert receipt.check_inclusion(leaves[index]) is None
        assert receipt.check_inclusion(leaves[index - 1]) is not None


def test_it_does_not_matter_how_often_a_log_is_opened(tmp_path: Path, key, fill) -> None:
    """One checkpoint per leaf with a fresh writer each, and all at once: the same tree."""
    for name in ("often", "once"):
        (tmp_path / name).mkdir()
    Log.create(tmp_path / "often", ORIGIN).close()
    for size in range(1, 20):
        with Log.open(tmp_path / "often") as log:
            fill(log, size)
    with Log.create(tmp_path / "once", ORIGIN) as log:
        fill(log, 19)
    assert LogReader(tmp_path / "often").checkpoint == LogReader(tmp_path / "once").checkpoint


def test_full_tiles_replace_their_partial_forms(run_dir: Path, fill) -> None:
    with Log.create(run_dir, ORIGIN) as log:
        fill(log, 3, 200, 256, 300)
    tiles = sorted(
        path.relative_to(run_dir / "log").as_posix()
        for path in (run_dir / "log" / "tile").rglob("*")
        if path.is_file()
    )
    assert tiles == [
        "tile/0/000",
        "tile/0/001.p/44",
        "tile/1/000.p/1",
        "tile/entries/000",
        "tile/entries/001.p/44",
    ]


def test_leaves_wait_through_a_crash(run_dir: Path, key, fill) -> None:
    with Log.create(run_dir, ORIGIN, key) as log:
        fill(log, 3)
        for number in (3, 4):
            assert log.append(b"waits %d" % number) == number
        assert log.size == 5
        assert log.checkpoint.size == 3
    journal = run_dir / "log" / "waiting"
    whole = journal.read_bytes()
    for torn in (whole[:-1], whole + b"\0" * 40, whole + whole[:30]):
        journal.write_bytes(torn)
        with Log.open(run_dir, key) as log:
            assert log.size == (4 if torn == whole[:-1] else 5)
    journal.write_bytes(whole)
    with Log.open(run_dir, key) as log:
        assert log.append(b"x") == 5
        assert log.publish().size == 6
        assert log.publish().size == 6
    assert not journal.exists()
    assert leaves_of(LogReader(run_dir))[3:] == [b"waits 3", b"waits 4", b"x"]


def test_a_damaged_journal_is_not_passed_over(run_dir: Path, fill) -> None:
    with Log.create(run_dir, ORIGIN) as log:
        fill(log, 2)
        log.append(b"first")
        log.append(b"second")
    journal = run_dir / "log" / "waiting"
    whole = journal.read_bytes()
    journal.write_bytes(whole.replace(b"first", b"fir5t"))
    with pytest.raises(LogError, match="L132"):
        Log.open(run_dir)
    journal.write_bytes(whole[10 + 5 + 32 :])
    with pytest.raises(LogError, match="L132"):
        Log.open(run_dir)


@pytest.mark.parametrize("leaf", [b"", b"x" * 65_536])
def test_leaves_of_another_length_are_refused(run_dir: Path, leaf: bytes) -> None:
    with Log.create(run_dir, ORIGIN) as log:
        with pytest.raises(LogError, match="L121"):
            log.append(leaf)
        assert log.append(b"x" * 65_535) == 0


def test_one_writer_at_a_time(run_dir: Path) -> None:
    with Log.create(run_dir, ORIGIN), pytest.raises(StorageError, match="S111"):
        Log.open(run_dir)
    with Log.open(run_dir) as log:
        pass
    for act in (lambda: log.append(b"x"), log.publish):
        with pytest.raises(LogError, match="L135"):
            act()


def test_a_log_is_begun_once(run_dir: Path, key) -> None:
    Log.create(run_dir, ORIGIN).close()
    with pytest.raises(LogError, match="L131"):
        Log.create(run_dir, ORIGIN)
    for act in (LogReader, Log.open):
        with pytest.raises(LogError, match="L132"):
            act(run_dir.parent)
    with pytest.raises(LogError, match="L105"):
        Log.create(run_dir.parent, "not a name")
    assert not (run_dir.parent / "log").exists()


def test_keys_must_fit(run_dir: Path, tmp_path: Path, key) -> None:
    other, witness = SigningKey.generate("x"), SigningKey.generate("w", KeyKind.WITNESS)
    with pytest.raises(LogError, match="L136"):
        Log.create(run_dir, ORIGIN, witness)
    Log.create(run_dir, ORIGIN, key).close()
    for wrong in (None, other, witness):
        with pytest.raises(LogError, match="L136"):
            Log.open(run_dir, wrong)
    (tmp_path / "unsigned").mkdir()
    Log.create(tmp_path / "unsigned", ORIGIN).close()
    with pytest.raises(LogError, match="L136"):
        Log.open(tmp_path / "unsigned", key)


def test_an_unsigned_log_says_so_everywhere(run_dir: Path, fill) -> None:
    with Log.create(run_dir, ORIGIN) as log:
        fill(log, 2)
        receipt = log.receipt(1)
    folder = run_dir / "log"
    assert not (folder / "checkpoint").exists()
    assert not (folder / "last-signed.json").exists()
    assert b"nobody signed" in (folder / "checkpoint.unsigned").read_bytes()
    assert b"nobody signed" in (folder / "checkpoints" / "2").read_bytes()
    assert b'"signed":false' in (folder / "log.json").read_bytes()
    assert receipt.suffix == ".unsigned-proof"
    assert str(receipt).startswith("gradledger.unsigned-proof/1\n")
    with pytest.raises(LogError, match="L112") as caught:
        receipt.check(log.checkpoint.root, [])
    assert "unsigned" in caught.value.observed


def test_a_tile_is_never_written_over(run_dir: Path, fill) -> None:
    with Log.create(run_dir, ORIGIN) as log:
        fill(log, 2)
        strange = run_dir / "log" / "tile/0/000.p/3"
        strange.write_bytes(b"strange")
        with pytest.raises(LogError, match="L133"):
            fill(log, 3)
        assert strange.read_bytes() == b"strange"
        strange.unlink()
        assert log.publish().size == 3


def test_nothing_is_signed_over_an_older_copy(run_dir: Path, tmp_path: Path, key, fill) -> None:
    """A run that comes back from an old copy: the key's own memory refuses."""
    save_key(key, tmp_path / "key")
    key = load_key(tmp_path / "key")
    with Log.create(run_dir, ORIGIN, key) as log:
        fill(log, 3)
    shutil.copytree(run_dir, tmp_path / "old")
    with Log.open(run_dir, key) as log:
        fill(log, 10)
    head = LogReader(run_dir).checkpoint
    shutil.rmtree(run_dir)
    shutil.copytree(tmp_path / "old", run_dir)
    with Log.open(run_dir, key) as log:
        for size in (4, 10, 11):
            while log.size < size:
                log.append(b"other %d" % log.size)
            with pytest.raises(LogError, match="L134"):
                log.publish()
    assert LogReader(run_dir).size == 3
    # The true leaves, in their order, may be signed again.
    shutil.rmtree(run_dir)
    shutil.copytree(tmp_path / "old", run_dir)
    with Log.open(run_dir, key) as log:
        fill(log, 10)
        assert log.checkpoint == head
        fill(log, 12)
    shutil.rmtree(run_dir)
    run_dir.mkdir()
    with pytest.raises(LogError, match="L134"):
        Log.create(run_dir, ORIGIN, key)


def test_what_was_signed_is_on_the_disk_before_the_signature(
    run_dir: Path, key, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gradledger.log import last_signed

    with Log.create(run_dir, ORIGIN, key) as log:
        log.append(b"leaf")
        seen = []
        true_sign = SigningKey.sign

        def sign(self: SigningKey, text: bytes, moment: int | None = None) -> bytes:
            seen.append(last_signed.read_last_signed(run_dir / "log" / "last-signed.json").size)
            assert LogReader(run_dir).size == 0
            return true_sign(self, text, moment)

        monkeypatch.setattr(SigningKey, "sign", sign)
        log.publish()
    assert seen == [1]


def test_a_key_hands_over(run_dir: Path, key, fill) -> None:
    successor = SigningKey.generate("example.org/next")
    with Log.create(run_dir, ORIGIN, key) as log:
        fill(log, 3)
        head = log.rotate(successor, run_id="r", recorded_at="2026-01-01T00:00:00Z")
        old, new = key.named(ORIGIN).verifier, successor.named(ORIGIN).verifier
        assert head.note.verify([old, new]) == [old, new]
        fill(log, 6)
        assert log.checkpoint.note.verify([old, new]) == [new]
        with pytest.raises(LogError, match="L136"):
            log.rotate(successor, run_id="r", recorded_at="")
    with pytest.raises(LogError, match="L136"):
        Log.open(run_dir, key)
    with Log.open(run_dir, successor) as log:
        assert log.size == 6


def test_a_handing_over_that_was_cut_short_is_completed(
    run_dir: Path, key, fill, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gradledger.log import writer

    successor = SigningKey.generate("example.org/next")
    with Log.create(run_dir, ORIGIN, key) as log, monkeypatch.context() as patch:
        fill(log, 3)

        def die(_: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(writer, "complete_rotation", die)
        with pytest.raises(KeyboardInterrupt):
            log.rotate(successor, run_id="r", recorded_at="")
    with Log.open(run_dir, successor) as log:
        fill(log, 5)
    assert LogReader(run_dir).description.keys[-1] == successor.named(ORIGIN).verifier


@pytest.mark.parametrize(
    "name", ["log.json", "checkpoint", "tile/0/000.p/3", "tile/entries/000.p/3"]
)
def test_a_log_that_lacks_a_file_is_not_written(run_dir: Path, key, fill, name: str) -> None:
    with Log.create(run_dir, ORIGIN, key) as log:
        fill(log, 3)
    (run_dir / "log" / name).unlink()
    with pytest.raises(LogError, match="L132"), Log.open(run_dir, key) as log:
        fill(log, 4)


def test_a_forged_head_is_not_continued(run_dir: Path, key, fill) -> None:
    with Log.create(run_dir, ORIGIN, key) as log:
        fill(log, 3)
    path = run_dir / "log" / "checkpoint"
    path.write_text(path.read_text().replace("\n3\n", "\n2\n"))
    with pytest.raises(LogError, match=r"L112|L132"):
        Log.open(run_dir, key)
