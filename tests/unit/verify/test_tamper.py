"""What is altered in a real run is found: by the log, and by the records where the log is new."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from signed_run import SOURCES, change_json, change_table, log_anew, make_signed_run, train

import gradledger as gl
from gradledger.errors import LogError
from gradledger.log import (
    DirectoryWitness,
    KeyKind,
    Log,
    LogReader,
    SigningKey,
    cosign_log,
    load_key,
)
from gradledger.recorder import run_journal
from gradledger.verify import Report, check_run
from tamper_cases import INSIDE, OUTSIDE, Change, flip, set_row

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_signed_run(tmp_path_factory.mktemp("signed"))


@pytest.fixture
def run(template: tuple[Path, Path], tmp_path: Path) -> Path:
    shutil.copytree(template[0], tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def key(template: tuple[Path, Path]) -> SigningKey:
    return load_key(template[1])


def wrong(report: Report) -> set[str]:
    return {finding.code for finding in report.findings if not finding.is_notice}


def noted(report: Report) -> set[str]:
    return {finding.code for finding in report.findings if finding.is_notice}


def test_a_run_is_clean(run: Path, key: SigningKey) -> None:
    report = check_run(run, [key.verifier])
    assert report.findings == ()
    assert report.signers == (str(key.named(report.origin).verifier),)
    assert report.num_leaves == LogReader(run).size > 15
    assert f"clean, {report.num_leaves} leaves, signed by example.org/lab/" in report.in_words
    with gl.open(run) as ledger:
        assert ledger.verify([key.verifier]) == report
    assert noted(check_run(run)) == {"V902"}


@pytest.mark.parametrize(
    ("change", "code", "place"), [case[1:] for case in OUTSIDE], ids=[case[0] for case in OUTSIDE]
)
def test_tampering_from_outside(
    run: Path, key: SigningKey, change: Change, code: str, place: str
) -> None:
    change(run)
    report = check_run(run, [key.verifier])
    assert any(f.code == code and place in f.place for f in report.findings), str(report)
    assert report.exit_code == 1


@pytest.mark.parametrize(
    ("change", "code", "place"), [case[1:] for case in INSIDE], ids=[case[0] for case in INSIDE]
)
def test_tampering_from_inside(run: Path, change: Change, code: str, place: str) -> None:
    change(run)
    log_anew(run, load_key_of(run))
    report = check_run(run)
    assert any(f.code == code and place in f.place for f in report.findings), str(report)
    assert not {c for c in wrong(report) if c.startswith(("V1", "V3"))}, str(report)


def load_key_of(run: Path) -> SigningKey | None:
    """Whoever tampers from inside signs with a key of his own, under the same name."""
    return SigningKey.generate("example.org/lab")


def test_a_log_made_anew_is_not_the_owners(run: Path, key: SigningKey) -> None:
    log_anew(run, load_key_of(run))
    assert wrong(check_run(run)) == {"V205"}
    assert "V104" in wrong(check_run(run, [key.verifier]))


def test_what_stands_behind_the_end_must_be_derived(run: Path, key: SigningKey) -> None:
    reader = LogReader(run)
    leaf = next(leaf for leaf in reader.leaves() if b'"kind":"state"' in leaf)
    with Log.open(run, key) as log:
        log.append(leaf)
        log.publish()
    assert "V204" in wrong(check_run(run, [key.verifier]))


def test_moved_between_runs(run: Path, key: SigningKey, tmp_path: Path) -> None:
    other = SigningKey.generate("example.org/lab")
    train(tmp_path / "other", other)
    for part in ("visits", "log"):
        copy = tmp_path / f"with {part}"
        shutil.copytree(run, copy)
        shutil.rmtree(copy / part)
        shutil.copytree(tmp_path / "other" / part, copy / part)
        assert wrong(check_run(copy, [key.verifier])) & {"V302", "V104", "V202", "V205"}


def test_rollback_by_the_key_holder_is_found_with_a_witness(tmp_path: Path) -> None:
    key = SigningKey.generate("example.org/lab")
    witness_key = SigningKey.generate("example.org/watch", KeyKind.WITNESS)
    run, folder = tmp_path / "run", tmp_path / "witness"
    with pytest.raises(RuntimeError):
        train(run, key, fail_at=3)
    shutil.copytree(run, tmp_path / "old")
    train(run, key)
    assert noted(check_run(run, witnessed=[folder])) == {"V902", "V907"}
    log_key = key.named(LogReader(run).origin).verifier
    cosign_log(run, DirectoryWitness(folder, witness_key, [log_key]))
    assert check_run(run, [key.verifier], witnessed=[folder]).findings == ()
    rolled = tmp_path / "old"
    assert wrong(check_run(rolled, [key.verifier])) == set()
    assert wrong(check_run(rolled, [key.verifier], witnessed=[folder])) == {"V112"}
    train(rolled, SigningKey(key.name, key.kind, key.seed))  # the same key signs another history
    assert wrong(check_run(rolled, [key.verifier])) == set()
    assert wrong(check_run(rolled, [key.verifier], witnessed=[folder])) == {"V112"}


def test_clean_after_a_kill_and_a_resume(tmp_path: Path) -> None:
    key = SigningKey.generate("example.org/lab")
    with pytest.raises(RuntimeError):
        train(tmp_path / "run", key, fail_at=6, seal_steps=1)
    report = check_run(tmp_path / "run", [key.verifier])
    assert [finding.code for finding in report.findings] == ["V904"]
    train(tmp_path / "run", key, seal_steps=1)
    orphan = tmp_path / "run/orphans/resume-0001/visits/part-000004.parquet"
    assert orphan.is_file()  # the segment of step 5, which stays in the log
    assert check_run(tmp_path / "run", [key.verifier]).findings == ()
    independent = ROOT / "tests/independent/verify_log.py"
    command = [sys.executable, str(independent), str(tmp_path / "run"), str(key.verifier)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    flip(orphan)
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0
    found = check_run(tmp_path / "run", [key.verifier]).findings
    assert "V302" in {
        f.code for f in found if f.place == "orphans/resume-0001/visits/part-000004.parquet"
    }


def test_clean_after_a_close_that_was_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commitments were in the log already: they are set aside, and sealed once more."""
    key = SigningKey.generate("example.org/lab")
    with monkeypatch.context() as patch:
        patch.setattr(run_journal, "model_digest", _refuse)
        with pytest.raises(RuntimeError, match="cut off"):
            train(tmp_path / "run", key)
    train(tmp_path / "run", key)
    leaves = [leaf for leaf in LogReader(tmp_path / "run").leaves() if b"commitments" in leaf]
    assert len(leaves) > len(set(SOURCES))
    assert check_run(tmp_path / "run", [key.verifier]).findings == ()


def _refuse(_: object) -> str:
    message = "cut off"
    raise RuntimeError(message)


def test_a_resume_that_was_cut_off_is_a_notice(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        train(tmp_path / "run", None, fail_at=6, seal_steps=1)
    target = tmp_path / "run/orphans/resume-0001/books"
    target.mkdir(parents=True)
    (tmp_path / "run/books/part-000004.parquet").rename(target / "part-000004.parquet")
    report = check_run(tmp_path / "run")
    assert "V906" in noted(report)
    assert not {c for c in wrong(report) if c.startswith("V3")}


def test_an_erased_attribute_is_a_notice(run: Path) -> None:
    import pyarrow.parquet as pq

    path = run / "decisions/examples/part-000000.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["source"]), path)
    log_anew(run)
    report = check_run(run)
    assert "V905" in noted(report)
    assert "V601" not in wrong(report)


@pytest.mark.parametrize("scope", [{"step": 3}, {"example": 2}])
def test_a_part_is_checked(run: Path, key: SigningKey, scope: dict[str, int]) -> None:
    with gl.open(run) as ledger:
        assert ledger.verify([key.verifier], **scope).findings == ()
    change_table(run, "visits", 1, set_row(0, digest=bytes(32)))
    with gl.open(run) as ledger:
        assert ledger.verify(step=1).is_clean
        assert not ledger.verify(step=3).is_clean


@pytest.mark.parametrize("content", [b"[]", b'"format"', b"3", b'{"format":"gradledger.run/1"}'])
def test_a_begin_record_of_another_form(run: Path, key: SigningKey, content: bytes) -> None:
    (run / "run.json").write_bytes(content)
    assert "V302" in wrong(check_run(run, [key.verifier]))


@pytest.mark.parametrize(
    ("name", "member"), [("run.json", "opening_balance"), ("end.json", "totals")]
)
def test_members_of_another_type_are_a_finding(run: Path, name: str, member: str) -> None:
    """They were exceptions, of whichever check met them first."""
    change_json(run, name, **{member: ["x"]})
    log_anew(run, load_key_of(run))
    assert "V405" in wrong(check_run(run))


def test_a_key_that_does_not_fit_is_refused(run: Path, tmp_path: Path) -> None:
    key = SigningKey.generate("example.org/lab")
    with pytest.raises(RuntimeError):
        train(tmp_path / "cut", key, fail_at=4)
    with pytest.raises(LogError, match="L136"):
        train(tmp_path / "cut", SigningKey.generate("example.org/lab"))
    with pytest.raises(LogError, match="L136"):
        train(tmp_path / "cut", None)
    train(tmp_path / "cut", key)


def test_the_variable_is_read_when_a_run_begins(
    template: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(template[1], tmp_path / "k")
    monkeypatch.setenv("GRADLEDGER_KEY", str(tmp_path / "k"))
    train(tmp_path / "run", None)
    assert LogReader(tmp_path / "run").signed


def test_sampled_flips_are_found(run: Path, key: SigningKey) -> None:
    """Every file of the run, one random bit at a time; a lock or a temporary file has none."""
    rng = random.Random(0)  # noqa: S311 - the same places every time
    files = sorted(p for p in run.rglob("*") if p.is_file() and "private" not in p.parts)
    for path in rng.sample(files, 25):
        before = path.read_bytes()
        changed = bytearray(before)
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        report = check_run(run, [key.verifier])
        assert not report.is_clean, path
        path.write_bytes(before)
    assert check_run(run, [key.verifier]).is_clean


def test_verification_needs_no_torch(run: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from gradledger.cli.main import main\n"
        f"sys.exit(main(['verify', {str(run)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("verify: clean, ")
