"""What is altered in a real run is found: by the log, and by the records where the log is new."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from signed_run import (
    change_json,
    change_table,
    log_anew,
    make_signed_run,
    train,
)

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
from gradledger.segment import read_table
from gradledger.verify import Report, check_run

Change = Callable[[Path], object]


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


def flip(path: Path, place: int = -40) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def swap(first: Path, second: Path) -> None:
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def set_row(row: int, **values: Any) -> Callable[[list[dict[str, Any]]], list[dict[str, Any]]]:
    def change(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        rows[row].update(values)
        return rows

    return change


def leaves_file(run: Path) -> Path:
    (path,) = (run / "log/tile/entries/000.p").iterdir() if _partial(run) else ()
    return path


def _partial(run: Path) -> bool:
    folder = run / "log/tile/entries/000.p"
    newest = max(folder.iterdir(), key=lambda path: int(path.name))
    for path in folder.iterdir():
        if path != newest:
            path.unlink()
    return True


def _append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


def _cut_commitments(path: Path) -> None:
    path.write_bytes(path.read_bytes()[32:])


def _other_state(run: Path) -> None:
    """A state whose files fit their record and whose record claims another digest."""
    change_json(run, "states/step=2/state.json", model_digest="0" * 64)


def _open_closed_block(run: Path) -> None:
    shallow = 1
    rows = read_table(run, "visits", ["decision"])["decision"].to_pylist()
    assert shallow in rows[:4]
    change_table(run, "visits", 0, set_row(rows.index(shallow), gnorm_0=0.5))


#: Done by somebody who cannot sign: name, what is done, codes of which one at least is found where.
OUTSIDE: list[tuple[str, Change, str, str]] = [
    ("byte of a segment", lambda r: flip(r / "visits/part-000001.parquet"), "V302", "visits/"),
    ("byte of a state", lambda r: flip(r / "states/step=2/model.safetensors"), "V302", "states/"),
    ("segment dropped", lambda r: (r / "books/part-000000.parquet").unlink(), "V301", "books/"),
    (
        "segment twice",
        lambda r: shutil.copy(r / "steps/part-000000.parquet", r / "steps/part-000009.parquet"),
        "V304",
        "steps/part-000009",
    ),
    (
        "segments swapped",
        lambda r: swap(r / "visits/part-000000.parquet", r / "visits/part-000001.parquet"),
        "V302",
        "visits/",
    ),
    ("segment cut", lambda r: truncate(r / "visits/part-000000.parquet"), "V302", "visits/"),
    (
        "row changed",
        lambda r: change_table(r, "visits", 0, set_row(0, example=2)),
        "V302",
        "visits/part-000000",
    ),
    ("row dropped", lambda r: change_table(r, "steps", 0, lambda rows: rows[1:]), "V302", "steps/"),
    ("leaf changed", lambda r: flip(leaves_file(r)), "V107", "log/checkpoint"),
    ("checkpoint changed", lambda r: flip(r / "log/checkpoint", 40), "V104", "log/"),
    ("policy changed", lambda r: flip(next((r / "policies").iterdir())), "V302", "policies/"),
    (
        "decision changed",
        lambda r: change_table(r, "decisions/distinct", 0, set_row(2, verdict="admit")),
        "V302",
        "decisions/distinct",
    ),
    (
        "admission record changed",
        lambda r: flip(r / "decisions/admission-0000.json"),
        "V302",
        "decisions/",
    ),
    ("begin changed", lambda r: change_json(r, "run.json", notes="other"), "V302", "run.json"),
    ("commitment changed", lambda r: flip(r / "commitments/source-000000"), "V302", "commitments/"),
    ("state removed", lambda r: shutil.rmtree(r / "states/step=4"), "V301", "states/step=4"),
    ("manifest changed", lambda r: flip(r / "manifest.json", 60), "V306", "manifest.json"),
    ("stray file", lambda r: (r / "notes.txt").write_text("x"), "V307", "notes.txt"),
]

#: Done by somebody who writes a new log over it: name, what is done, code, place.
INSIDE: list[tuple[str, Change, str, str]] = [
    (
        "step twice",
        lambda r: change_table(r, "steps", 0, lambda rows: [*rows, rows[0]]),
        "V401",
        "step 1",
    ),
    (
        "unlogged update",
        lambda r: change_table(r, "steps", 1, set_row(0, fingerprint_before="0" * 16)),
        "V402",
        "step 3",
    ),
    (
        "visit dropped",
        lambda r: change_table(r, "visits", 0, lambda rows: rows[1:]),
        "V403",
        "step 1",
    ),
    ("totals", lambda r: change_json(r, "end.json", num_visits=99), "V404", "end.json"),
    ("no settings", lambda r: change_json(r, "run.json", settings={}), "V405", "permitted weights"),
    ("no groups", lambda r: change_json(r, "run.json", groups=[]), "V502", "books"),
    (
        "line altered",
        lambda r: change_table(r, "books", 0, set_row(0, contributions_dot=1e3)),
        "V501",
        "step 1, group 0",
    ),
    (
        "book dropped",
        lambda r: change_table(r, "books", 0, lambda rows: rows[1:]),
        "V502",
        "step 1",
    ),
    (
        "imbalance",
        lambda r: change_table(r, "books", 0, set_row(1, verdict="unbalanced")),
        "V503",
        "step 1, group 1",
    ),
    (
        "verdict",
        lambda r: change_table(r, "decisions/distinct", 0, set_row(2, verdict="admit")),
        "V601",
        "row 2",
    ),
    (
        "truth",
        lambda r: change_table(r, "decisions/truths", 0, set_row(0, truth="unknown")),
        "V601",
        "truths",
    ),
    (
        "policy text",
        lambda r: _append(next((r / "policies").iterdir()), "# x\nextra: 1\n"),
        "V602",
        "policies/",
    ),
    (
        "example number",
        lambda r: change_table(r, "decisions/examples", 0, set_row(3, example=9)),
        "V603",
        "row 3",
    ),
    (
        "commitment lost",
        lambda r: _cut_commitments(r / "commitments/source-000000"),
        "V604",
        "commitments/",
    ),
    (
        "refused example",
        lambda r: change_table(r, "visits", 0, set_row(1, example=6, decision=2)),
        "V701",
        "step 1, micro-batch 0, position 1",
    ),
    ("closed block", _open_closed_block, "V702", "visits"),
    (
        "content",
        lambda r: change_table(r, "visits", 1, set_row(0, digest=bytes(32))),
        "V703",
        "step 3",
    ),
    ("model state", _other_state, "V801", "states/step=2"),
    (
        "final digest",
        lambda r: change_json(r, "end.json", final_digest="0" * 64),
        "V802",
        "end.json",
    ),
]

RECORD_CODES = {
    *(case[2] for case in (*OUTSIDE, *INSIDE)),
    *("V112", "V204", "V205", "V904", "V905", "V906", "V907"),
}


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
    flip(orphan)
    found = check_run(tmp_path / "run", [key.verifier]).findings
    assert "V302" in {
        f.code for f in found if f.place == "orphans/resume-0001/visits/part-000004.parquet"
    }


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
