"""Every finding is found where it is due, under its code, and alone where one thing is wrong."""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

# Test folders are no packages: the maker of the run is found through its folder.
sys.path.insert(0, str(Path(__file__).parents[2] / "vectors"))
sys.path.insert(0, str(Path(__file__).parent))

from make_log_run import ORIGIN, RUN_ID, MadeRun, fixed_key, make_log_run

from gradledger.canon import leaf_bytes
from gradledger.errors import StorageError
from gradledger.log import Log, LogReader, QuorumPolicy, SigningKey
from gradledger.schema import CommitmentsLeaf, FileDigest, StateLeaf
from gradledger.verify import Finding, check_log, check_run
from gradledger.verify.catalogue import FINDINGS
from tamper_cases import RECORD_CODES

ZERO = "0" * 64


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> MadeRun:
    folder = tmp_path_factory.mktemp("template")
    return make_log_run(folder / "run", folder / "witness")


@pytest.fixture
def made(template: MadeRun, tmp_path: Path) -> MadeRun:
    shutil.copytree(template.run_dir, tmp_path / "run")
    return replace(template, run_dir=tmp_path / "run")


def codes(made: MadeRun, *, trusted: bool = True) -> list[str]:
    report = check_run(made.run_dir, [made.owner] if trusted else [])
    assert all(finding.title == FINDINGS[finding.code] for finding in report.findings)
    assert report.exit_code == int(any(not finding.is_notice for finding in report.findings))
    return sorted({finding.code for finding in report.findings})


def size_of(made: MadeRun) -> int:
    return LogReader(made.run_dir).size


def replace_in(made: MadeRun, name: str, old: bytes, new: bytes) -> None:
    path = made.run_dir / name
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))


def both_heads(made: MadeRun, old: bytes, new: bytes) -> None:
    for name in ("log/checkpoint", f"log/checkpoints/{size_of(made)}"):
        replace_in(made, name, old, new)


def append(made: MadeRun, *leaves: bytes) -> None:
    with Log.open(made.run_dir, fixed_key("successor")) as log:
        for leaf in leaves:
            log.append(leaf)
        log.publish()


def last_tile(made: MadeRun, level: str) -> str:
    return f"log/tile/{level}/000.p/{size_of(made)}"


def drop_signature(made: MadeRun) -> None:
    note = LogReader(made.run_dir).checkpoint.note
    line = f"{note.signatures[0]}\n".encode()
    both_heads(made, line, b"")


def forged_root(made: MadeRun) -> None:
    root = LogReader(made.run_dir).checkpoint.text.split("\n")[2].encode()
    both_heads(made, root, b"B" * 42 + b"A=" if root[:1] != b"B" else b"A" * 43 + b"=")


def wrong_rows(made: MadeRun) -> None:
    leaf = replace(made.segments[0], inner_root=ZERO)
    append(made, leaf_bytes(leaf))


def wrong_commitments(made: MadeRun) -> None:
    content = bytes(64)
    path = made.run_dir / "commitments" / "source-000007"
    path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    file = FileDigest("commitments/source-000007", 64, digest)
    leaf = CommitmentsLeaf(run_id=RUN_ID, files=(file,), source="s", num_values=2, sorted_root=ZERO)
    append(made, leaf_bytes(leaf))


def state(run_id: str = RUN_ID, **fields: object) -> bytes:
    return leaf_bytes(StateLeaf(run_id=run_id, step=1, state_sha256=ZERO, **fields))  # type: ignore[arg-type]


def escaping(made: MadeRun) -> None:
    append(made, state(files=(FileDigest("../run.json", 1, ZERO),)))


def cut(made: MadeRun) -> None:
    """The log as it was at an earlier checkpoint, but for what was signed last."""
    folder = made.run_dir / "log"
    earlier = sorted(int(path.name) for path in (folder / "checkpoints").iterdir())[-2]
    shutil.copy(folder / "checkpoints" / str(earlier), folder / "checkpoint")
    for path in [*folder.glob("tile/*/000.p/*"), *folder.glob("checkpoints/*")]:
        if int(path.name) > earlier:
            path.unlink()


def linked(made: MadeRun) -> None:
    """Checkpoints lie elsewhere, where they may change unseen."""
    folder = made.run_dir / "log/checkpoints"
    folder.rename(made.run_dir.parent / "elsewhere")
    folder.symlink_to(made.run_dir.parent / "elsewhere")


def waiting(made: MadeRun) -> None:
    with Log.open(made.run_dir, fixed_key("successor")) as log:
        log.append(state())


Change = Callable[[MadeRun], object]
CASES: list[tuple[str, Change, set[str]]] = [
    ("nothing", lambda made: None, set()),
    ("no log", lambda made: shutil.rmtree(made.run_dir / "log"), {"V101"}),
    ("no head", lambda made: (made.run_dir / "log/checkpoint").unlink(), {"V101"}),
    ("no memory", lambda made: (made.run_dir / "log/last-signed.json").unlink(), {"V101"}),
    ("odd head", lambda made: both_heads(made, b"\n", b"\r\n"), {"V102"}),
    ("odd memory", lambda m: replace_in(m, "log/last-signed.json", b":", b": "), {"V101", "V102"}),
    (
        "odd description",
        lambda m: replace_in(m, "log/log.json", b"true", b"false"),
        {"V102"},
    ),
    ("other origin", lambda made: both_heads(made, b"runs/1\n", b"runs/2\n"), {"V103", "V104"}),
    ("no signature", drop_signature, {"V104"}),
    ("forged size", lambda m: both_heads(m, b"\n%d\n" % size_of(m), b"\n3\n"), {"V102", "V105"}),
    ("forged root", forged_root, {"V104", "V107"}),
    ("tile lost", lambda made: (made.run_dir / last_tile(made, "0")).unlink(), {"V105"}),
    ("bundle lost", lambda m: (m.run_dir / last_tile(m, "entries")).unlink(), {"V105"}),
    ("tile altered", lambda m: (m.run_dir / last_tile(m, "0")).write_bytes(b""), {"V106"}),
    ("leaf altered", lambda m: replace_in(m, last_tile(m, "entries"), b"demo", b"Demo"), {"V107"}),
    ("cut", cut, {"V109"}),
    ("stray", lambda made: (made.run_dir / "log/tile/0/009").write_bytes(b""), {"V110"}),
    ("linked folder", linked, {"V110"}),
    ("no leaf", lambda made: append(made, b"{}"), {"V201"}),
    ("a path that leads out", escaping, {"V201"}),
    ("other run", lambda made: append(made, state("other")), {"V202"}),
    ("twice", lambda made: append(made, leaf_bytes(made.segments[0])), {"V203"}),
    ("file lost", lambda made: (made.run_dir / "policies/p.yaml").unlink(), {"V301"}),
    ("file altered", lambda m: replace_in(m, "policies/p.yaml", b"none", b"some"), {"V302"}),
    ("wrong rows", wrong_rows, {"V203", "V303"}),
    (
        "unlogged segment",
        lambda m: shutil.copy(
            m.run_dir / "visits/part-000000.parquet", m.run_dir / "visits/part-000002.parquet"
        ),
        {"V304"},
    ),
    ("wrong commitments", wrong_commitments, {"V305"}),
    ("waiting", waiting, {"V113", "V903"}),
]


@pytest.mark.parametrize(
    ("change", "expected"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_findings(made: MadeRun, change: Change, expected: set[str]) -> None:
    change(made)
    found = set(codes(made))
    # A damaged leaf also differs from its tile, and checkpoints before the change from the root.
    also = (
        {"V106", "V108"} if expected & {"V103", "V104", "V107", "V109", "V101", "V102"} else set()
    )
    assert expected <= found <= expected | also


def test_two_histories(made: MadeRun) -> None:
    """A second tree over other leaves, signed by the same key, put beside the first."""
    folder = made.run_dir.parent / "second"
    folder.mkdir()
    with Log.create(folder, ORIGIN, fixed_key("owner")) as log:
        for _ in range(2):
            log.append(state())
        log.publish()
    shutil.copy(folder / "log/checkpoints/2", made.run_dir / "log/checkpoints/2")
    assert codes(made) == ["V108"]


def test_an_unsigned_log_is_a_notice_unless_a_key_is_asked_for(tmp_path: Path) -> None:
    made = make_log_run(tmp_path / "run", tmp_path / "witness", signed=False)
    assert codes(made, trusted=False) == ["V901"]
    assert check_run(made.run_dir).exit_code == 0
    assert codes(made) == ["V104", "V901"]


def test_without_a_key_from_elsewhere_a_notice_says_so(made: MadeRun) -> None:
    assert codes(made, trusted=False) == ["V902"]
    for key in (made.owner, made.successor, made.owner.named("any.example/name")):
        assert check_log(made.run_dir, [key]) == []
    found = check_log(made.run_dir, [SigningKey.generate("other").verifier])
    assert [finding.code for finding in found] == ["V104"]


def test_a_quorum_is_asked_for(made: MadeRun) -> None:
    other = fixed_key("other", made.witness.kind).verifier
    lines = f"witness a {made.witness}\nwitness b {other}\n"
    met = QuorumPolicy.parse(f"{lines}quorum a\n".encode())
    unmet = QuorumPolicy.parse(f"{lines}group g all a b\nquorum g\n".encode())
    assert check_log(made.run_dir, [made.owner], met) == []
    found = check_log(made.run_dir, [made.owner], unmet)
    assert [finding.code for finding in found] == ["V111"]
    assert "cosigned by a" in found[0].observed


def test_every_code_is_tested() -> None:
    tested = set().union(*(case[2] for case in CASES)) | {"V106", "V108", "V111", "V901", "V902"}
    # Those of evidence have a test of their own, which names them all.
    evidence = {code for code in FINDINGS if code.startswith(("V85", "V86"))} | {"V908"}
    # So have thinned states, erasures, answers to challenges, forks, and witnesses that are asked.
    evidence |= {"V909", "V910", "V911", "V920", "V921"}
    evidence |= {code for code in FINDINGS if code.startswith(("V87", "V88", "V89"))}
    assert tested | RECORD_CODES == set(FINDINGS) - evidence


def test_what_cannot_be_read_is_an_error(tmp_path: Path, made: MadeRun) -> None:
    with pytest.raises(StorageError, match="S113"):
        check_log(tmp_path / "nowhere")
    (made.run_dir / "log/checkpoint").unlink()
    (made.run_dir / "log/checkpoint").mkdir()
    with pytest.raises(StorageError, match="S113"):
        check_log(made.run_dir)


def test_a_finding_is_a_line() -> None:
    finding = Finding("V301", "run.json", "no ordinary file", "as leaf 0 says")
    assert str(finding) == (
        "[V301] file is missing: observed no ordinary file, expected as leaf 0 says (run.json)"
    )
    assert not finding.is_notice
