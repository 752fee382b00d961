"""Both verifiers accept the same run and refuse the same changes."""

from __future__ import annotations

import ast
import random
import shutil
import sys
from pathlib import Path

import pytest

# Test folders are no packages: verifier and maker are found through their folders.
sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "vectors"))

from make_log_run import MadeRun, make_log_run
from primitives import BadError
from verify_log import verify_receipt, verify_row, verify_run

from gradledger.log import Log, LogReader, RowReceipt, SigningKey, row_receipt
from gradledger.verify import check_run

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeRun:
    folder = tmp_path_factory.mktemp("made")
    return make_log_run(folder / "run", folder / "witness")


def test_it_shares_no_code_with_the_package() -> None:
    mine = {path.stem for path in Path(__file__).parent.glob("*.py") if path.stem[:4] != "test"}
    mine -= {"evidence_cases"}
    for name in mine:
        tree = ast.parse(Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8"))
        modules = {
            module.split(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for module in (
                [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else [alias.name for alias in node.names]
            )
        }
        assert modules - sys.stdlib_module_names <= {"cryptography", *mine}


@pytest.mark.parametrize("signed", [True, False])
def test_both_accept(tmp_path: Path, signed: bool) -> None:
    made = make_log_run(tmp_path / "run", tmp_path / "witness", signed=signed, num_states=260)
    trusted = [made.owner] if signed else []
    report = check_run(made.run_dir, trusted)
    assert report.is_clean, report.findings
    assert {f.code for f in report.findings} == (set() if signed else {"V901"})
    size = verify_run(made.run_dir, str(made.owner) if signed else "")
    assert size == LogReader(made.run_dir).size > 256


def test_both_accept_receipts(made: MadeRun) -> None:
    reader = LogReader(made.run_dir)
    for index, leaf in enumerate(reader.leaves()):
        receipt = reader.receipt(index)
        assert receipt.check(leaf, [made.successor]) is None
        verify_receipt(bytes(receipt), leaf, str(made.successor))
        with pytest.raises(BadError):
            verify_receipt(bytes(receipt), leaf + b" ", str(made.successor))


def test_both_accept_rows(made: MadeRun) -> None:
    reader = LogReader(made.run_dir)
    contents = list(reader.leaves())
    for segment in made.segments:
        index = next(n for n, leaf in enumerate(contents) if segment.inner_root.encode() in leaf)
        for place in range(segment.num_rows):
            receipt = row_receipt(made.run_dir, segment, place, reader.receipt(index))
            content = bytes(receipt)
            again = RowReceipt.parse(content)
            assert again == receipt
            assert again.check_row() is None
            assert again.check_log() is None
            assert again.leaf == contents[index]
            assert verify_row(content, str(made.successor)) == receipt.row
            assert receipt.values()["step"] == (place + 10 * (segment is made.segments[1])) // 4
            changed = content.replace(receipt.row.hex().encode(), b"00" * len(receipt.row))
            assert RowReceipt.parse(changed).check_row()
            with pytest.raises(BadError):
                verify_row(changed, str(made.successor))


def judge(run_dir: Path, made: MadeRun) -> tuple[bool, bool]:
    """Whether each of the verifiers accepts a run."""
    mine = check_run(run_dir, [made.owner]).is_clean
    try:
        verify_run(run_dir, str(made.owner))
    except (BadError, ValueError, KeyError, TypeError):
        return mine, False
    return mine, True


def test_both_refuse_every_flipped_byte(made: MadeRun, tmp_path: Path) -> None:
    """Some bytes of every file, in every line or region of it; both must find each."""
    draw = random.Random(9162)  # noqa: S311
    files = sorted(path for path in made.run_dir.rglob("*") if path.is_file())
    missed, num_cases = [], 0
    for path in files:
        content = path.read_bytes()
        places = {0, len(content) - 1, *(draw.randrange(len(content)) for _ in range(6))}
        for place in sorted(places):
            changed = bytearray(content)
            changed[place] ^= 1 << draw.randrange(8)
            path.write_bytes(changed)
            verdicts = judge(made.run_dir, made)
            num_cases += 1
            if any(verdicts):
                missed.append((path.relative_to(made.run_dir).as_posix(), place, verdicts))
        path.write_bytes(content)
    assert judge(made.run_dir, made) == (True, True)
    assert missed == []
    assert num_cases >= 150


def test_both_refuse_lost_doubled_and_moved_files(made: MadeRun) -> None:
    run_dir, optional = made.run_dir, earlier_checkpoints(made)
    missed = []
    for path in sorted(path for path in run_dir.rglob("*") if path.is_file()):
        name, content = path.relative_to(run_dir).as_posix(), path.read_bytes()
        path.unlink()
        if any(judge(run_dir, made)) and name not in optional:
            missed.append(("lost", name))
        path.write_bytes(content[:-1])
        if any(judge(run_dir, made)):
            missed.append(("cut", name))
        path.write_bytes(content + b"\0")
        if any(judge(run_dir, made)):
            missed.append(("longer", name))
        path.write_bytes(b"")
        if any(judge(run_dir, made)):
            missed.append(("emptied", name))
        path.write_bytes(content)
    for name in ("log/extra", "log/tile/0/001", "log/checkpoints/7", "visits/part-000009.parquet"):
        (run_dir / name).write_bytes(b"x")
        if any(judge(run_dir, made)):
            missed.append(("added", name))
        (run_dir / name).unlink()
    assert missed == []
    assert judge(run_dir, made) == (True, True)


def earlier_checkpoints(made: MadeRun) -> set[str]:
    """Later checkpoints cover what they said; all but the last and those of a hand-over may go."""
    folder = made.run_dir / "log" / "checkpoints"
    head = LogReader(made.run_dir).size
    alone = {path.name for path in folder.iterdir() if len(path.read_text().split("\n\n")[1]) < 200}
    return {f"log/checkpoints/{name}" for name in alone - {str(head)}}


def test_both_refuse_another_key_and_another_run(made: MadeRun, tmp_path: Path) -> None:
    other = make_log_run(tmp_path / "other", tmp_path / "witness")
    (other.run_dir / "run.json").write_text('{"run_id": "another"}\n')
    assert judge(other.run_dir, made) == (False, False)
    stranger = made.witness
    with pytest.raises(BadError):
        verify_run(made.run_dir, str(stranger))
    found = check_run(made.run_dir, [stranger]).findings
    assert [finding.code for finding in found] == ["V104"]


def test_both_refuse_a_log_made_anew_by_a_stranger(made: MadeRun, tmp_path: Path) -> None:
    """All that the run itself holds is replaced; only the reader's own key tells."""
    forged = tmp_path / "forged"
    shutil.copytree(made.run_dir, forged)
    shutil.rmtree(forged / "log")
    with Log.create(forged, "example.org/runs/1", SigningKey.generate("thief")) as log:
        for leaf in list(LogReader(made.run_dir).leaves())[2:4]:
            log.append(leaf)
        log.publish()
    assert judge(forged, made) == (False, False)
    codes = {finding.code for finding in check_run(forged, [made.owner]).findings}
    assert "V104" in codes
    codes = {finding.code for finding in check_run(forged).findings}
    assert "V902" in codes
